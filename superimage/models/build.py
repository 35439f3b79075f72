"""Builds a timm model, ours or timm's own, for super images: input size, windows, large kernels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import create_model, get_pretrained_cfg, load_checkpoint, load_state_dict
from torch import nn

from superimage.models.sifar_resnet import add_kernel_blocks, extra_names
from superimage.models.windows import Size, Window, built_stages, stage_windows, unshift_squares, verify_windows

_WEIGHTS = ("pretrained", "pretrained_cfg_overlay")


def build_model(
    name: str,
    *,
    img_size: Size | None = None,
    windows: Sequence[Window] = (),
    extra_kernels: Sequence[int] = (),
    extra_depthwise: bool = False,
    pretrained_path: str | Path | None = None,
    checkpoint_path: str | Path = "",
    **kwargs: Any,
) -> nn.Module:
    """``timm.create_model(name, **kwargs)`` for an input of ``img_size`` (height, width) px.

    Only models with a fixed input size get ``img_size``. ``windows`` is for a Swin, such as ``(14, 14, 14, "global")``;
    ``extra_kernels`` is for a ResNet, such as ``(21, 11)``. The weights in ``pretrained_path`` are adapted and loaded
    without their classifier. The weights in ``checkpoint_path`` must fit as they are. Raises ValueError for windows,
    kernels or weights that do not fit the model.
    """
    if img_size is not None and needs_img_size(name):
        kwargs.setdefault("img_size", tuple(img_size))
    if pretrained_path:
        kwargs |= pretrained_file(pretrained_path)
    if windows:
        kwargs["window_size"] = fit_windows(name, windows, **kwargs)
    model = create_model(name, checkpoint_path="" if extra_kernels else str(checkpoint_path), **kwargs)
    unshift_squares(model, windows)
    if extra_kernels:
        add_kernel_blocks(model, extra_kernels, depthwise=extra_depthwise)
        load_blocks(model, len(extra_kernels), pretrained_path)
        if checkpoint_path:
            load_checkpoint(model, str(checkpoint_path))
    return model


def pretrained_file(path: str | Path) -> dict:
    """Arguments that make timm load and adapt the weights of a file as if it had published them."""
    overlay = {"file": str(path), "num_classes": -1, "custom_load": str(path).endswith(".npz")}
    return {"pretrained": True, "pretrained_cfg_overlay": overlay}


def needs_img_size(name: str) -> bool:
    """Whether the model has a fixed input size that ``img_size`` sets. False for ``hf-hub:`` names."""
    preset = get_pretrained_cfg(name, allow_unregistered=True)
    return preset is not None and bool(preset.fixed_input_size)


def fit_windows(name: str, windows: Sequence[Window], **kwargs: Any) -> Size | tuple[Size, ...]:
    """``window_size`` for the named Swin: (height, width) of each stage's window, or one pair if all are equal.

    Builds the model on the meta device. Raises ValueError for windows that do not fit, or that timm would change.
    """
    options = {key: value for key, value in kwargs.items() if key not in _WEIGHTS}
    with torch.device("meta"):
        stages = [tokens for tokens, _ in built_stages(create_model(name, **options))]
        sizes = stage_windows(windows, stages)
        window_size = sizes[0] if len(set(sizes)) == 1 else sizes
        try:
            model = create_model(name, **{**options, "window_size": window_size})
        except (AssertionError, RuntimeError, TypeError) as error:
            raise ValueError(f"timm {timm.__version__} cannot build {name} with windows {sizes}: {error}") from error
    verify_windows(model, sizes)
    return window_size


def load_blocks(model: nn.Module, num_blocks: int, path: str | Path | None) -> None:
    """Load the weights of the extra blocks, if the file has them. timm loads the file before the blocks exist."""
    if not path:
        return
    wanted = extra_names(model, num_blocks)
    found = {name: value for name, value in load_state_dict(str(path)).items() if name in wanted}
    if found:
        model.load_state_dict({**model.state_dict(), **found})
