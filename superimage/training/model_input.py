"""Whether a model takes the images that it is to be trained on, found out before anything is written.

One forward on the meta device, which needs no memory and no data: 192x192 px and crossvit_tiny_240 -> one line, with
the sizes that it does take. What a model would leave out of each image without a word is told too.
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
# Builds the model of the flags for images of (height, width) px, or for those that the flags name if None.
Make = Callable[[Size | None], nn.Module]
_SUGGESTED, _TRIED, _WORDS = 2, 16, 160
# Sides that the networks of timm ask for: multiples of a stride, of a patch, of a stride times a window.
_UNITS = (32, 16, 14, 56, 64)


def check_input(args: argparse.Namespace, manifest: Manifest | None, make: Make) -> None:
    """ValueError, in one line, for a model whose forward fails on the data's images, or that would drop their edges.

    ``make(size)`` builds the model without weights. What is dropped of images that are no super images, or with
    --allow-grid-breaking, is a warning; so is a patch that spans two tiles, and a window of a Swin that timm pads.
    """
    sheet = Sheet(args, manifest, make)
    model, size = sheet.build()
    windows = _window_note(model)
    seen = sheet.forward(model, size)
    told = patch_problem(seen, size, sheet.grid)
    if told:
        told = f"--model {args.model}: {told}; {sheet.way_out(size, seen)}"
        if any(seen.dropped) and manifest is not None and not args.allow_grid_breaking:
            raise ValueError(f"{told}. Or permit it with --allow-grid-breaking")
    for note in filter(None, (told, windows and f"--model {args.model}: {windows}")):
        _log.warning(note)


class Sheet:
    """The images that a model of the flags is given, and the search for a size that it takes."""

    def __init__(self, args: argparse.Namespace, manifest: Manifest | None, make: Make):
        self.args, self.make = args, make
        self.grid = (1, 1) if manifest is None else (manifest.layout.rows, manifest.layout.columns)
        self.in_chans = args.input_size[0] if args.input_size else 3

    def build(self) -> tuple[nn.Module, Size]:
        """The model on the meta device, and (height, width) in px of its images."""
        given = given_size(self.args)
        try:
            with torch.device("meta"):
                model = self.make(given)
        except ValueError as error:
            fitting = self._fitting(given) if given is not None else []
            if not fitting:
                told_size = given is not None and needs_img_size(self.args.model)
                raise ValueError(f"{error}{f', at {given[0]}x{given[1]} px' if told_size else ''}") from error
            raise ValueError(f"{error}, at {given[0]}x{given[1]} px; {_listed(fitting)}") from error
        if self.args.grad_checkpointing:
            set_checkpointing(model, self.args.model)
        return model, tuple(resolve_data_config(vars(self.args), model=model)["input_size"][1:])

    def forward(self, model: nn.Module, size: Size) -> Seen:
        try:
            return forward_on_meta(model, size, batch_size=min(self.args.batch_size, 2), in_chans=self.in_chans)
        except ValueError as error:
            why = shorten(str(error), _WORDS, placeholder=" ...")
            told = f"--model {self.args.model} takes no images of {size[0]}x{size[1]} px ({why})"
            raise ValueError(f"{told}; {self.way_out(size)}") from error

    def way_out(self, size: Size, seen: Seen | None = None) -> str:
        """The sizes that the model takes; with ``seen``, those that its patches divide, tile by tile."""
        return _listed(self._fitting(size, seen.patch[0] if seen is not None and seen.patch else None))

    def _fitting(self, size: Size, patch: int | None = None) -> list[Size]:
        """The first of the candidates that a model made for them takes whole, the nearest first."""
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
        """Sizes of the same shape: the model's own if it has that shape, then those whose tiles have round sides."""
        preset = get_pretrained_cfg(self.args.model, allow_unregistered=True)
        own = tuple(preset.input_size[1:]) if preset is not None else None
        has_shape = own is not None and own[0] * size[1] == own[1] * size[0]
        sizes = [own] if has_shape and patch is None else []
        for unit in _UNITS if patch is None else (patch, 2 * patch, 8 * patch):
            sizes += sorted(same_shape(size, unit, self.grid), key=lambda other: abs(other[0] - size[0]))
        yield from (other for other in dict.fromkeys(sizes) if other != size)


def _listed(sizes: Sequence[Size]) -> str:
    if not sizes:
        return "no size of this shape that was tried fits; choose another model, or another shape of sheet"
    return f"what fits: {' or '.join(map(size_flag, sizes))}"


def set_checkpointing(model: nn.Module, name: str) -> None:
    """Turn gradient checkpointing on; ValueError for a model that has none."""
    try:
        model.set_grad_checkpointing(enable=True)
    except (AssertionError, AttributeError, NotImplementedError, TypeError) as error:
        raise ValueError(f"--grad-checkpointing: {name} has no gradient checkpointing; leave it out") from error


def size_flag(size: Size) -> str:
    return f"--img-size {size[0]}" if size[0] == size[1] else f"--input-size 3 {size[0]} {size[1]}"


def same_shape(size: Size, unit: int, grid: Size = (1, 1)) -> list[Size]:
    """Up to three smaller and three larger sizes of the shape of ``size``, whose tiles have sides of multiples of
    ``unit``: ``(192, 192), 14, (3, 3) -> [(84, 84), (126, 126), (168, 168), (210, 210), ...]``.
    """
    tile = size[0] // grid[0], size[1] // grid[1]
    sides = [side for side in range(unit, 4 * tile[0] + unit, unit) if side * tile[1] % (tile[0] * unit) == 0]
    tiles = [(side, side * tile[1] // tile[0]) for side in sides]
    smaller = [one for one in tiles if one < tile][-3:]
    larger = [one for one in tiles if one > tile][:3]
    return [(height * grid[0], width * grid[1]) for height, width in (*smaller, *larger)]


def patch_problem(seen: Seen, size: Size, grid: Size) -> str | None:
    """What the model does to the edges of images, or of tiles, that its patches do not divide."""
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
    """The stages of a Swin whose map its window does not divide, so that timm pads it with tokens of nothing."""
    try:
        stages = built_stages(model)
    except ValueError:
        return None
    padded = padded_stages(stages)
    if not padded:
        return None
    fits = ", ".join(map(str, windows_for_all([tokens for tokens, _ in stages])))
    return f"timm pads {'; '.join(padded)}; --window with one of {fits} divides all stages, as would one for each"
