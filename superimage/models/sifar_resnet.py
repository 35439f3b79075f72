"""SIFAR's CNNs (SIFAR 4.2, Table 7): timm's ResNets with one or two extra residual blocks of large kernels.

    timm.create_model("sifar_resnet50_c21_11", num_classes=174)

Small kernels see one tile at a time. A 21 x 21 kernel sees the whole 3x3 super image of 224 px tiles, whose last
feature map is 21 x 21.
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
    """A residual bottleneck ``2048 -> 512 -> 512 (kernel x kernel, stride 1) -> 2048``, initialized as the identity.

    The k x k convolution is dense, as in the paper (115.6 M weights in C21), or ``depthwise`` (0.2 M). ``device`` and
    ``dtype`` are those of the parameters.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(f"extra kernel {kernel}: must be a positive odd number, so that the map keeps its size")
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
    """Append a block for each kernel to the last stage of a timm ResNet. Raises ValueError for another network."""
    if not isinstance(model, ResNet):
        raise ValueError(f"extra kernels {list(kernels)} need a timm ResNet, but the model is {type(model).__name__}")
    factory = get_device_dtype(model)
    for kernel in kernels:
        model.layer4.append(kernel_block(model.num_features, kernel, depthwise=depthwise, **factory))
    return model


class SifarResNet(ResNet):
    """timm's ResNet with an extra block for each of ``extra_kernels``, such as ``(21, 11)``."""

    def __init__(self, *args: Any, extra_kernels: Sequence[int] = (), extra_depthwise: bool = False, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.num_extra = len(extra_kernels)
        add_kernel_blocks(self, extra_kernels, depthwise=extra_depthwise)


def extra_names(model: ResNet, num_blocks: int) -> set[str]:
    """Parameter names of the last ``num_blocks`` blocks: ``layer4.3.conv1.weight``, ..."""
    count = len(model.layer4)
    last = tuple(f"layer4.{index}." for index in range(count - num_blocks, count))
    return {name for name in model.state_dict() if name.startswith(last)}


def keep_extra_blocks(state_dict: dict, model: SifarResNet) -> dict[str, torch.Tensor]:
    """Weights for the whole network. Weights of a plain ResNet are completed by the model's own extra blocks.

    Raises ValueError for the weights of another network.
    """
    own = model.state_dict()
    kept = {name: own[name] for name in extra_names(model, model.num_extra)}
    return adapt_resnet({**kept, **timm_names(unwrap(state_dict))}, model)


def adapt_resnet(state_dict: dict, model: ResNet) -> dict[str, torch.Tensor]:
    """Weights of timm's or SIFAR's ResNet for a timm ResNet, without the classifier if its classes differ.

    Raises ValueError for the weights of another network.
    """
    own = model.state_dict()
    adapted = without_other_head(timm_names(unwrap(state_dict)), own, ("fc.",))
    check_fit(adapted, own, ("fc.",))
    return adapted


def timm_names(state_dict: dict) -> dict[str, torch.Tensor]:
    """Rename the weights of SIFAR's CNN, which has timm's ResNet in ``backbone`` and its own classifier in ``head``.

    ``backbone.layer1.0.conv1.weight -> layer1.0.conv1.weight``, ``head.weight -> fc.weight``. The classifier of the
    backbone is dropped, since SIFAR's code never uses it. Weights of other models are returned unchanged.
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
    """Configuration of the published weights, for 3x3 tiles of 224 px. Other sizes work too."""
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
