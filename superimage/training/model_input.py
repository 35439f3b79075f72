"""Checks, before training starts, that the model takes the images and does not ignore a part of them.

A forward pass on the meta device needs no memory and no data. 192x192 px and crossvit_tiny_240 -> an error in one line,
with sizes that the model takes. Pixels that a model would silently ignore are reported too.
"""

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from textwrap import shorten

import torch
from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg
from torch import nn

from shards.format import Manifest
from superimage.models.build import needs_img_size
from superimage.models.forward import Seen, forward_on_meta
from superimage.models.windows import Size, built_stages, padded_stages, windows_for_all
from superimage.training.grid import given_size

_log = logging.getLogger("train_image")
# Builds the model of the flags for images of (height, width) px; None means the size in the flags.
Make = Callable[[Size | None], nn.Module]
_SUGGESTED, _TRIED, _WORDS = 2, 16, 160
# timm's networks need sides that are multiples of a stride, of a patch, or of a stride times a window.
_UNITS = (32, 16, 14, 56, 64)


def check_input(args: argparse.Namespace, manifest: Manifest | None, make: Make) -> None:
    """Raise ValueError, in one line, if the model fails on the images, or would ignore the edges of super images.

    ``make(size)`` builds the model without weights. Ignored edges are only a warning for ordinary images and with
    --allow-grid-breaking. Patches that span two tiles, and windows of a Swin that timm pads, are warnings too.
    """
    search = SizeSearch(args, manifest, make)
    model, size = search.build()
    windows = _window_note(model)
    seen = search.forward(model, size)
    problem = patch_problem(seen, size, search.grid)
    if problem:
        problem = f"--model {args.model}: {problem}; {search.way_out(size, seen)}"
        if any(seen.dropped) and manifest is not None and not args.allow_grid_breaking:
            raise ValueError(f"{problem}. Or permit it with --allow-grid-breaking")
    for note in filter(None, (problem, windows and f"--model {args.model}: {windows}")):
        _log.warning(note)


class SizeSearch:
    """Builds the model of the flags for its images, and searches for image sizes that it takes."""

    def __init__(self, args: argparse.Namespace, manifest: Manifest | None, make: Make):
        self.args, self.make = args, make
        self.grid = (1, 1) if manifest is None else (manifest.layout.rows, manifest.layout.columns)
        self.in_chans = args.input_size[0] if args.input_size else 3

    def build(self) -> tuple[nn.Module, Size]:
        """The model on the meta device, and the size (height, width) of its images in pixels."""
        given = given_size(self.args)
        try:
            with torch.device("meta"):
                model = self.make(given)
        except ValueError as error:
            fitting = self._fitting(given) if given is not None else []
            if not fitting:
                has_size = given is not None and needs_img_size(self.args.model)
                raise ValueError(f"{error}{f', at {given[0]}x{given[1]} px' if has_size else ''}") from error
            raise ValueError(f"{error}, at {given[0]}x{given[1]} px; {_what_fits(fitting)}") from error
        if self.args.grad_checkpointing:
            set_checkpointing(model, self.args.model)
        return model, tuple(resolve_data_config(vars(self.args), model=model)["input_size"][1:])

    def forward(self, model: nn.Module, size: Size) -> Seen:
        try:
            return forward_on_meta(model, size, batch_size=min(self.args.batch_size, 2), in_chans=self.in_chans)
        except ValueError as error:
            why = shorten(str(error), _WORDS, placeholder=" ...")
            problem = f"--model {self.args.model} takes no images of {size[0]}x{size[1]} px ({why})"
            raise ValueError(f"{problem}; {self.way_out(size)}") from error

    def way_out(self, size: Size, seen: Seen | None = None) -> str:
        """A message with sizes that the model takes. With ``seen``, its patches also divide the tiles."""
        return _what_fits(self._fitting(size, seen.patch[0] if seen is not None and seen.patch else None))

    def _fitting(self, size: Size, patch: int | None = None) -> list[Size]:
        """The first candidate sizes whose model takes whole images, the nearest size first."""
        found = []
        for other in islice(self._candidates(size, patch), _TRIED):
            try:
                with torch.device("meta"):
                    seen = forward_on_meta(self.make(other), other, in_chans=self.in_chans)
            except ValueError:
                continue
            if not (any(seen.dropped) if patch is None else patch_problem(seen, other, self.grid)):
                found.append(other)
            if len(found) == _SUGGESTED:
                break
        return sorted(found, key=lambda other: abs(other[0] - size[0]))

    def _candidates(self, size: Size, patch: int | None) -> Iterator[Size]:
        """Sizes with the same aspect ratio: the model's default, then tiles with multiples of _UNITS."""
        preset = get_pretrained_cfg(self.args.model, allow_unregistered=True)
        own = tuple(preset.input_size[1:]) if preset is not None else None
        has_shape = own is not None and own[0] * size[1] == own[1] * size[0]
        sizes = [own] if has_shape and patch is None else []
        for unit in _UNITS if patch is None else (patch, 2 * patch, 8 * patch):
            sizes += sorted(same_shape(size, unit, self.grid), key=lambda other: abs(other[0] - size[0]))
        yield from (other for other in dict.fromkeys(sizes) if other != size)


def _what_fits(sizes: Sequence[Size]) -> str:
    if not sizes:
        return "no size with this aspect ratio was found that fits; choose another model or another grid"
    return f"what fits: {' or '.join(map(size_flag, sizes))}"


def set_checkpointing(model: nn.Module, name: str) -> None:
    """Turn gradient checkpointing on. Raises ValueError if the model does not support it."""
    try:
        model.set_grad_checkpointing(enable=True)
    except (AssertionError, AttributeError, NotImplementedError, TypeError) as error:
        raise ValueError(f"--grad-checkpointing: {name} does not support it; leave --grad-checkpointing out") from error


def size_flag(size: Size) -> str:
    return f"--img-size {size[0]}" if size[0] == size[1] else f"--input-size 3 {size[0]} {size[1]}"


def same_shape(size: Size, unit: int, grid: Size = (1, 1)) -> list[Size]:
    """Up to three smaller and three larger sizes with the same aspect ratio; tile sides are multiples of ``unit``.

    ``(192, 192), 14, (3, 3) -> [(84, 84), (126, 126), (168, 168), (210, 210), ...]``.
    """
    tile = size[0] // grid[0], size[1] // grid[1]
    sides = [side for side in range(unit, 4 * tile[0] + unit, unit) if side * tile[1] % (tile[0] * unit) == 0]
    tiles = [(side, side * tile[1] // tile[0]) for side in sides]
    smaller = [one for one in tiles if one < tile][-3:]
    larger = [one for one in tiles if one > tile][:3]
    return [(height * grid[0], width * grid[1]) for height, width in (*smaller, *larger)]


def patch_problem(seen: Seen, size: Size, grid: Size) -> str | None:
    """The problem if the patches of the model do not divide the image or its tiles, or None."""
    if any(seen.dropped):
        return (
            f"it ignores the last {seen.dropped[0]} rows and {seen.dropped[1]} columns of {size[0]}x{size[1]} px, "
            "which its patches do not divide"
        )
    if seen.patch and any(side // count % patch for side, count, patch in zip(size, grid, seen.patch)):
        tile = "x".join(str(side // count) for side, count in zip(size, grid))
        return f"some of its patches of {seen.patch[0]}x{seen.patch[1]} px span two tiles of {tile} px"
    return None


def _window_note(model: nn.Module) -> str | None:
    """A note about the stages of a Swin that timm pads, since the window does not divide them. None otherwise."""
    try:
        stages = built_stages(model)
    except ValueError:
        return None
    padded = padded_stages(stages)
    if not padded:
        return None
    fits = ", ".join(map(str, windows_for_all([tokens for tokens, _ in stages])))
    return f"timm pads {'; '.join(padded)}; --window with one of {fits} divides all stages, or give one for each stage"
