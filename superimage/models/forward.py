"""One forward on the meta device, without memory: whether a network takes images of a size, and what it leaves out.

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
    """``patch``: (height, width) in px of the patches that the image is cut into first, None where it is not.

    ``dropped``: rows and columns of px, at the bottom and on the right, that are part of no such patch. What a later
    stage leaves out of its map is not counted: its neighbours have seen it by then.
    """

    patch: Size | None
    dropped: Size


class _Patches:
    """Hooks that look at the first convolution: with a stride as long as its kernel, it cuts the image into patches."""

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
    """Run ``model``, which lies on the meta device, in training on ``batch_size`` images of ``image_size`` px.

    The hooks stay, so the model is of no further use. ValueError, in one line, where the forward fails, or where it
    gives anything but logits (batch_size, num_classes).
    """
    patches = _Patches(model, tuple(image_size))
    try:
        with torch.no_grad():
            logits = model.train()(torch.empty(batch_size, in_chans, *image_size, device="meta"))
    except Exception as error:  # any way in which a network can fail is a finding here
        raise ValueError(reason(error)) from error
    if not isinstance(logits, torch.Tensor):
        raise ValueError(f"{type(logits).__name__} comes out in training, not one tensor of logits")
    if logits.shape != (batch_size, model.num_classes):
        raise ValueError(f"{tuple(logits.shape)} comes out, not logits of {batch_size} images x {model.num_classes}")
    return Seen(patch=patches.first, dropped=patches.dropped)


def reason(error: Exception) -> str:
    """First line of the message, and what it introduces; of a bare assertion, the line that asserts."""
    lines = str(error).strip().splitlines()
    if lines:
        # As in "Error(s) in loading state_dict for ResNet:", which says nothing by itself.
        shown = f"{lines[0]} {lines[1].strip()}" if lines[0].endswith(":") and len(lines) > 1 else lines[0]
        return f"{type(error).__name__}: {shown}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}timm{os.sep}" in frame.filename]
    return f"{type(error).__name__}: {frames[-1].line}" if frames else type(error).__name__
