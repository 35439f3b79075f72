"""SIFAR's CNNs (SIFAR 4.2, Table 7): timm's ResNets, with one or two residual blocks of a large kernel at the end.

    timm.create_model("sifar_resnet50_c21_11", num_classes=174)

Small kernels see a tile at a time; one of 21 x 21 sees the whole 3x3 super image of 224 px tiles, whose last map is
21 x 21.
"""

import re
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import get_device_dtype
from timm.models import ResNet, build_model_with_cfg, generate_default_cfgs, get_pretrained_cfg, register_model
from timm.models.resnet import Bottleneck
from timm.models.resnetv2 import resnetv2_152x2_bit
from torch import nn

from superimage.models.weights import check_fit, unwrap, without_other_head


def kernel_block(
    channels: int, kernel: int, *, depthwise: bool = False, device: Any = None, dtype: Any = None
) -> Bottleneck:
    """``2048 -> 512 -> 512 (kernel x kernel, stride 1) -> 2048``, the input added. It begins as the identity.

    Dense as in the paper, where the k x k convolution of C21 alone has 115.6 M weights; or depthwise, with 0.2 M.
    ``device`` and ``dtype`` are torch's, of the parameters.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"extra kernel {kernel}: an odd number is needed, so that the map keeps its size")
    factory = {"device": device, "dtype": dtype}
    block = Bottleneck(channels, channels // Bottleneck.expansion, **factory)
    width = block.conv2.in_channels
    groups = width if depthwise else 1
    block.conv2 = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=groups, bias=False, **factory)
    for module in block.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    block.zero_init_last()
    return block


def add_kernel_blocks(model: nn.Module, kernels: Sequence[int], *, depthwise: bool = False) -> nn.Module:
    """A timm ResNet with a block for each kernel at the end of its last stage. ValueError for another network."""
    if not isinstance(model, ResNet):
        raise ValueError(f"extra kernels {list(kernels)}: for a timm ResNet, and this is {type(model).__name__}")
    factory = get_device_dtype(model)
    for kernel in kernels:
        model.layer4.append(kernel_block(model.num_features, kernel, depthwise=depthwise, **factory))
    return model


class SifarResNet(ResNet):
    """timm's ResNet with ``extra_kernels=(21, 11)``: a block for each."""

    def __init__(self, *args: Any, extra_kernels: Sequence[int] = (), extra_depthwise: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.num_extra = len(extra_kernels)
        add_kernel_blocks(self, extra_kernels, depthwise=extra_depthwise)


def extra_names(model: ResNet, num_blocks: int) -> set[str]:
    """Names of the weights of the last blocks: ``layer4.3.conv1.weight``, ..."""
    count = len(model.layer4)
    last = tuple(f"layer4.{index}." for index in range(count - num_blocks, count))
    return {name for name in model.state_dict() if name.startswith(last)}


def keep_extra_blocks(state_dict: dict, model: SifarResNet) -> dict[str, torch.Tensor]:
    """Weights for the whole network; of a plain ResNet's, with the extra blocks as the model was made.

    ValueError for the weights of another network.
    """
    own = model.state_dict()
    kept = {name: own[name] for name in extra_names(model, model.num_extra)}
    return adapt_resnet({**kept, **timm_names(unwrap(state_dict))}, model)


def adapt_resnet(state_dict: dict, model: ResNet) -> dict[str, torch.Tensor]:
    """The weights of a ResNet, timm's or SIFAR's, for a timm ResNet; a head of other classes is left out.

    ValueError for the weights of another network.
    """
    own = model.state_dict()
    adapted = without_other_head(timm_names(unwrap(state_dict)), own, ("fc.",))
    check_fit(adapted, own, ("fc.",))
    return adapted


def timm_names(state_dict: dict) -> dict[str, torch.Tensor]:
    """timm's names of SIFAR's CNN, which keeps timm's ResNet in ``backbone`` and its own classifier in ``head``.

    ``backbone.layer1.0.conv1.weight -> layer1.0.conv1.weight``, ``head.weight -> fc.weight``; the classifier of the
    backbone itself, which SIFAR's code never calls, is dropped. Other weights pass unchanged.
    """
    if not any(name.startswith("backbone.") for name in state_dict):
        return dict(state_dict)
    used = {name: tensor for name, tensor in state_dict.items() if not name.startswith("backbone.fc.")}
    return {re.sub("^head", "fc", name.removeprefix("backbone.")): tensor for name, tensor in used.items()}


DEPTHS = {"sifar_resnet50": (3, 4, 6, 3), "sifar_resnet101": (3, 4, 23, 3)}
KERNELS = {"": (), "_c7": (7,), "_c11": (11,), "_c21": (21,), "_c21_11": (21, 11)}
PRESETS = {
    base + suffix: {"layers": layers, "extra_kernels": kernels}
    for base, layers in DEPTHS.items()
    for suffix, kernels in KERNELS.items()
}
BIT = "sifar_resnetv2_152x2_bit"


def _cfg(published_name: str) -> dict:
    """Weights of the published model, for a super image of 3x3 tiles of 224 px: any other size will do as well."""
    published = get_pretrained_cfg(published_name).to_dict()
    own = ("architecture", "tag", "test_input_size", "test_crop_pct")
    super_image = {"input_size": (3, 672, 672), "pool_size": (21, 21), "crop_pct": 1.0}
    return {**{name: value for name, value in published.items() if name not in own}, **super_image}


default_cfgs = generate_default_cfgs(
    {
        **{f"{name}.a1_in1k": _cfg(f"{name.split('_')[1]}.a1_in1k") for name in PRESETS},
        f"{BIT}.goog_in21k": _cfg("resnetv2_152x2_bit.goog_in21k"),
    }
)


def _register(name: str) -> None:
    def entrypoint(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return build_model_with_cfg(
            SifarResNet,
            name,
            pretrained,
            pretrained_filter_fn=keep_extra_blocks,
            **{"block": Bottleneck, **PRESETS[name], **kwargs},
        )

    entrypoint.__name__ = entrypoint.__qualname__ = name
    globals()[name] = register_model(entrypoint)


for _name in PRESETS:
    _register(_name)


@register_model
def sifar_resnetv2_152x2_bit(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """SIFAR-R152x2: timm's BiT ResNet, twice as wide as ResNet-152."""
    return resnetv2_152x2_bit(pretrained=pretrained, **kwargs)
