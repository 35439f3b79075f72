"""A forward pass on the meta device: whether a network takes images of a size, and which pixels it ignores.

with torch.device("meta"):
    model = build_model("test_vit", img_size=(192, 192), num_classes=5)
forward_on_meta(model, (192, 192))    ->  Seen(patch=(16, 16), dropped=(0, 0))
"""

import os
import traceback
from dataclasses import dataclass

import torch
from torch import nn

from superimage.models.windows import Size


@dataclass(frozen=True, kw_only=True)
class Seen:
    """How a network reads its images.

    ``patch``: (height, width) in pixels of the patches of the first layer, or None if it does not cut patches.
    ``dropped``: numbers of pixel rows at the bottom and columns on the right that are in no patch. Later stages may
    also drop parts of their maps, but not pixels: by then, neighboring positions contain the information.
    """

    patch: Size | None
    dropped: Size


class _Patches:
    """Hooks on the first convolution. If its stride equals its kernel size, it cuts the image into patches."""

    def __init__(self, model: nn.Module, image_size: Size):
        self.image_size, self.first, self.dropped = image_size, None, (0, 0)
        self.seen_any = False
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.register_forward_pre_hook(self._look)

    def _look(self, conv: nn.Conv2d, inputs: tuple[torch.Tensor, ...]) -> None:
        size = tuple(inputs[0].shape[-2:])
        cuts = conv.stride != (1, 1) and conv.kernel_size == conv.stride and conv.padding in ((0, 0), 0)
        if cuts and not self.seen_any and size == self.image_size:
            self.first = tuple(conv.stride)
            self.dropped = tuple(side % stride for side, stride in zip(size, conv.stride))
        self.seen_any = True


def forward_on_meta(model: nn.Module, image_size: Size, *, batch_size: int = 2, in_chans: int = 3) -> Seen:
    """Run ``model`` in training mode on ``batch_size`` images of ``image_size`` pixels; it must be on the meta device.

    The hooks are not removed, so do not use the model afterwards. Raises ValueError, in one line, if the forward pass
    fails or does not return logits (batch_size, num_classes).
    """
    patches = _Patches(model, tuple(image_size))
    try:
        with torch.no_grad():
            logits = model.train()(torch.empty(batch_size, in_chans, *image_size, device="meta"))
    except Exception as error:  # every error of a network is a result here
        raise ValueError(reason(error)) from error
    if not isinstance(logits, torch.Tensor):
        raise ValueError(f"the model returns {type(logits).__name__} in training, not one tensor of logits")
    if logits.shape != (batch_size, model.num_classes):
        raise ValueError(f"the model returns {tuple(logits.shape)}, not logits ({batch_size}, {model.num_classes})")
    return Seen(patch=patches.first, dropped=patches.dropped)


def reason(error: Exception) -> str:
    """First line of an error message, and the next one if it ends in a colon. Bare assertion: its source line."""
    lines = str(error).strip().splitlines()
    if lines:
        # For example "Error(s) in loading state_dict for ResNet:", which gives no reason by itself.
        shown = f"{lines[0]} {lines[1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
        return f"{type(error).__name__}: {shown}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}timm{os.sep}" in frame.filename]
    return f"{type(error).__name__}: {frames[-1].line}" if frames else type(error).__name__
