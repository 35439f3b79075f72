"""UniFormer for images (Li et al. 2023, "UniFormer: Unifying convolution and self-attention for visual recognition").

The two early stages use convolutions, the two late stages global self-attention. Flatten trains UniFormer on super
images; timm does not have it. No tokens are pruned, since only then the GFLOPs of Flatten's Table 1 are reproduced.
"""

from functools import partial
from typing import Any

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.layers import Attention, ClassifierHead, DropPath, LayerNorm2d, Mlp, get_device_dtype, trunc_normal_
from timm.models import build_model_with_cfg, checkpoint_seq, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import nn
from torch.nn import functional as F

from superimage.models.uniformer_weights import adapt_uniformer

LayerNorm = partial(nn.LayerNorm, eps=1e-6)


class LocalBlock(nn.Module):
    """x += DW3x3(x); x += 1x1(DW5x5(1x1(BN x))); x += MLP(BN x), on (B, C, h, w)."""

    def __init__(self, dim: int, *, mlp_ratio: float, proj_drop: float, drop_path: float, **factory: Any):
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, **factory)
        self.norm1 = nn.BatchNorm2d(dim, **factory)
        self.conv1 = nn.Conv2d(dim, dim, 1, **factory)
        self.attn = nn.Conv2d(dim, dim, 5, padding=2, groups=dim, **factory)
        self.conv2 = nn.Conv2d(dim, dim, 1, **factory)
        self.norm2 = nn.BatchNorm2d(dim, **factory)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop=proj_drop, use_conv=True, **factory)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.pos_embed(x)
        x = x + self.drop_path(self.conv2(self.attn(self.conv1(self.norm1(x)))))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class GlobalBlock(nn.Module):
    """x += DW3x3(x); x += MHSA(LN x); x += MLP(LN x). Every position of (B, C, h, w) is a token."""

    def __init__(
        self, dim: int, *, head_dim: int, mlp_ratio: float, proj_drop: float, drop_path: float, **factory: Any
    ):
        super().__init__()
        self.pos_embed = nn.Conv2d(dim, dim, 3, padding=1, groups=dim, **factory)
        self.norm1 = LayerNorm(dim, **factory)
        self.attn = Attention(dim, num_heads=dim // head_dim, qkv_bias=True, proj_drop=proj_drop, **factory)
        self.norm2 = LayerNorm(dim, **factory)
        self.mlp = Mlp(dim, int(dim * mlp_ratio), drop=proj_drop, **factory)
        self.drop_path = DropPath(drop_path) if drop_path > 0 else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.pos_embed(x)
        batch, channels, height, width = x.shape
        x = x.flatten(2).transpose(1, 2)
        x = x + self.drop_path(self.attn(self.norm1(x)))
        x = x + self.drop_path(self.mlp(self.norm2(x)))
        return x.transpose(1, 2).reshape(batch, channels, height, width)


class PatchDown(nn.Module):
    """Patch embedding of p x p patches and a LayerNorm. A side that p does not divide is padded with zeros."""

    def __init__(self, in_chans: int, dim: int, patch: int, **factory: Any):
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(in_chans, dim, patch, stride=patch, **factory)
        self.norm = LayerNorm2d(dim, eps=1e-5, **factory)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        height, width = x.shape[-2:]
        x = F.pad(x, (0, -width % self.patch, 0, -height % self.patch))
        return self.norm(self.proj(x))


def conv_stem(in_chans: int, dim: int, **factory: Any) -> nn.Sequential:
    """Two 3x3 convolutions of stride 2, which reduce each side to a quarter."""
    return nn.Sequential(
        nn.Conv2d(in_chans, dim // 2, 3, stride=2, padding=1, **factory),
        nn.BatchNorm2d(dim // 2, **factory),
        nn.GELU(),
        nn.Conv2d(dim // 2, dim, 3, stride=2, padding=1, **factory),
        nn.BatchNorm2d(dim, **factory),
    )


def conv_down(in_chans: int, dim: int, **factory: Any) -> nn.Sequential:
    """One 3x3 convolution of stride 2, which halves each side."""
    return nn.Sequential(nn.Conv2d(in_chans, dim, 3, stride=2, padding=1, **factory), nn.BatchNorm2d(dim, **factory))


class Stage(nn.Module):
    """Downsampling, followed by the blocks."""

    def __init__(self, downsample: nn.Module, blocks: list[nn.Module]):
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.Sequential(*blocks)
        self.grad_checkpointing = False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.downsample(x)
        # TorchScript cannot compile activation checkpointing, and a scripted model does not need it.
        if self.grad_checkpointing and not torch.jit.is_scripting():
            return checkpoint_seq(self.blocks, x)
        return self.blocks(x)


class UniFormer(nn.Module):
    """Images (B, in_chans, H, W) of any size -> logits (B, num_classes).

    ``stem`` is ``patch`` (4x4 patches) or ``conv``; ``down`` is the same choice for the downsampling between stages.
    ``device`` and ``dtype`` are those of the parameters; None means PyTorch's defaults.
    """

    def __init__(
        self,
        in_chans: int = 3,
        num_classes: int = 1000,
        global_pool: str = "avg",
        depths: tuple[int, ...] = (3, 4, 8, 3),
        dims: tuple[int, ...] = (64, 128, 320, 512),
        head_dim: int = 64,
        mlp_ratio: float = 4.0,
        stem: str = "patch",
        down: str = "patch",
        drop_rate: float = 0.0,
        proj_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.num_classes, self.in_chans, self.global_pool = num_classes, in_chans, global_pool
        rates = torch.linspace(0, drop_path_rate, sum(depths), device="cpu").split(list(depths))
        stages, self.feature_info = [], []
        for index, dim in enumerate(dims):
            common = {"mlp_ratio": mlp_ratio, "proj_drop": proj_drop_rate, **factory}
            make = partial(LocalBlock, dim) if index < 2 else partial(GlobalBlock, dim, head_dim=head_dim)
            first = _downsample(down if index else stem, index, dims[index - 1] if index else in_chans, dim, **factory)
            stages.append(Stage(first, [make(drop_path=rate, **common) for rate in rates[index].tolist()]))
            self.feature_info.append({"num_chs": dim, "reduction": 4 * 2**index, "module": f"stages.{index}"})
        self.stages = nn.Sequential(*stages)
        self.num_features = self.head_hidden_size = dims[-1]
        self.norm = nn.BatchNorm2d(self.num_features, **factory)
        self.head = ClassifierHead(
            self.num_features, num_classes, pool_type=global_pool, drop_rate=drop_rate, **factory
        )
        self.apply(_init_linear)

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict:
        if coarse:
            return {"stem": r"^stages\.0\.downsample", "blocks": r"^stages\.(\d+)"}
        blocks = [
            (r"^stages\.(\d+)\.downsample", (0,)),
            (r"^stages\.(\d+)\.blocks\.(\d+)", None),
            (r"^norm", (99999,)),
        ]
        return {"stem": r"^stages\.0\.downsample", "blocks": blocks}

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        for stage in self.stages:
            stage.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        return self.head.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        self.num_classes = num_classes
        # A head that was removed has no parameters to take device and type from; the stages always have.
        self.head.reset(num_classes, pool_type=global_pool, **get_device_dtype(self.stages))
        self.head_hidden_size = self.head.num_features
        if global_pool is not None:
            self.global_pool = global_pool

    def forward_intermediates(
        self,
        x: torch.Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[torch.Tensor] | tuple[torch.Tensor, list[torch.Tensor]]:
        """timm's API: the feature maps of the stages in ``indices``, and the last one unless ``intermediates_only``."""
        assert output_fmt == "NCHW", f"output_fmt {output_fmt}: only NCHW"
        wanted, last_wanted = feature_take_indices(len(self.stages), indices)
        last, maps = len(self.stages) - 1, []
        for index, stage in enumerate(self.stages[: last_wanted + 1] if stop_early else self.stages):
            x = stage(x)
            if index in wanted:
                maps.append(self.norm(x) if norm and index == last else x)
        if intermediates_only:
            return maps
        return (self.norm(x) if index == last else x), maps

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """timm's API: drop the stages after the last one in ``indices``; returns the stages that are kept."""
        wanted, last_wanted = feature_take_indices(len(self.stages), indices)
        shorter = last_wanted < len(self.stages) - 1
        self.stages = self.stages[: last_wanted + 1]
        if prune_norm or shorter:
            self.norm = nn.Identity()
        if shorter:
            self.num_features = self.feature_info[last_wanted]["num_chs"]
        if prune_head or shorter:
            self.head.reset(0, pool_type="", in_features=self.num_features)
            self.num_classes, self.head_hidden_size, self.global_pool = 0, self.num_features, ""
        return wanted

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.stages(x))

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        return self.head(x, pre_logits=pre_logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


def _downsample(kind: str, index: int, in_chans: int, dim: int, **factory: Any) -> nn.Module:
    if kind == "patch":
        return PatchDown(in_chans, dim, 2 if index else 4, **factory)
    assert kind == "conv", kind
    return conv_down(in_chans, dim, **factory) if index else conv_stem(in_chans, dim, **factory)


def _init_linear(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


# Depths, widths, head widths and stems: UniFormer, Tables 1 and 3 of the paper and its light variants. The published
# XXS and XS have a convolutional stem and patch downsampling. `xxs_patch` has the GMACs that Flatten prints.
_XXS = {"depths": (2, 5, 8, 2), "dims": (56, 112, 224, 448), "head_dim": 28, "mlp_ratio": 3.0}
VARIANTS = {
    "uniformer_xxs": {**_XXS, "stem": "conv"},
    "uniformer_xxs_patch": _XXS,
    "uniformer_xs": {
        "depths": (3, 5, 9, 3),
        "dims": (64, 128, 256, 512),
        "head_dim": 32,
        "mlp_ratio": 3.0,
        "stem": "conv",
    },
    "uniformer_small": {},
    "uniformer_small_plus": {"depths": (3, 5, 9, 3), "head_dim": 32, "stem": "conv", "down": "conv"},
    "uniformer_base": {"depths": (5, 8, 20, 7)},
}


def _cfg(variant: str) -> dict:
    return {
        "url": "",
        "num_classes": 1000,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "first_conv": "stages.0.downsample" + (".0" if VARIANTS[variant].get("stem") == "conv" else ".proj"),
        "classifier": "head.fc",
    }


default_cfgs = generate_default_cfgs({variant: _cfg(variant) for variant in VARIANTS})


def _register(variant: str) -> None:
    def entrypoint(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return build_model_with_cfg(
            UniFormer,
            variant,
            pretrained,
            pretrained_filter_fn=adapt_uniformer,
            feature_cfg={"out_indices": (0, 1, 2, 3), "flatten_sequential": True},
            **{**VARIANTS[variant], **kwargs},
        )

    entrypoint.__name__ = entrypoint.__qualname__ = variant
    globals()[variant] = register_model(entrypoint)


for _variant in VARIANTS:
    _register(_variant)
