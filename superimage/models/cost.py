"""Parameters and multiply-adds of a model, counted on the meta device, which needs no memory."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from superimage.models.build import build_model
from superimage.models.windows import Size


@dataclass(frozen=True, kw_only=True)
class Cost:
    """``gmacs``: 10^9 multiply-adds for one image; ``params``: 10^6 parameters."""

    gmacs: float
    params: float


def count_gmacs(model: nn.Module, image_size: Size, in_chans: int = 3) -> float:
    """10^9 multiply-adds for an input (1, in_chans, height, width) in evaluation mode, by PyTorch's FLOP counter.

    Convolutions and matrix products are counted, including attention. Norms, activations, biases and sums are not. The
    papers call multiply-adds FLOPs; ResNet-101 at 224 px has 7.8 GMACs.
    """
    parameter = next(model.parameters())
    was_training = model.training
    model.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, in_chans, *image_size, device=parameter.device, dtype=parameter.dtype))
    model.train(was_training)
    return counter.get_total_flops() / 2e9


def model_cost(name: str, image_size: Size, **kwargs: Any) -> Cost:
    """Cost of the named model at this image size; ``kwargs`` as in :func:`superimage.models.build.build_model`."""
    with torch.device("meta"):
        model = build_model(name, img_size=image_size, **kwargs)
    params = sum(parameter.numel() for parameter in model.parameters())
    return Cost(gmacs=count_gmacs(model, image_size), params=params / 1e6)
