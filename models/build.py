"""A timm model, ours or timm's own, with what super images ask of it: a size, windows, large kernels."""

from collections.abc import Sequence

import torch
from timm.models import create_model, get_pretrained_cfg
from torch import nn

from models.sifar_resnet import add_kernel_blocks
from models.windows import Size, Window, built_stages, stage_windows, verify_windows


def build_model(
    name: str,
    *,
    img_size: Size | None = None,
    windows: Sequence[Window] = (),
    extra_kernels: Sequence[int] = (),
    extra_depthwise: bool = False,
    **kwargs,
) -> nn.Module:
    """``timm.create_model(name, **kwargs)`` for an input of ``img_size`` (height, width) px.

    The size is handed to the models that are made for one and to no other. ``windows`` is for a Swin, as
    ``(14, 14, 14, "global")``; ``extra_kernels`` for a ResNet, as ``(21, 11)``. ValueError where they do not fit.
    """
    if img_size is not None and needs_img_size(name):
        kwargs.setdefault("img_size", tuple(img_size))
    if windows:
        kwargs["window_size"] = fit_windows(name, windows, **kwargs)
    model = create_model(name, **kwargs)
    if windows:
        verify_windows(model, kwargs["window_size"])
    return add_kernel_blocks(model, extra_kernels, depthwise=extra_depthwise) if extra_kernels else model


def needs_img_size(name: str) -> bool:
    """Whether the model is made for one size and can be told another. A name with ``hf-hub:`` is left to timm."""
    preset = get_pretrained_cfg(name, allow_unregistered=True)
    return preset is not None and bool(preset.fixed_input_size)


def fit_windows(name: str, windows: Sequence[Window], **kwargs) -> tuple[Size, ...]:
    """(height, width) of each stage's window, from the stages that the named Swin really has at this size."""
    without_weights = {key: value for key, value in kwargs.items() if key not in ("pretrained", "checkpoint_path")}
    with torch.device("meta"):
        stages = [tokens for tokens, _ in built_stages(create_model(name, **without_weights))]
    return stage_windows(windows, stages)
