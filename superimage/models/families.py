"""Tries timm's model families on super images: which take any size, which need ``img_size``, which fail."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from superimage.models.build import build_model, needs_img_size
from superimage.models.forward import reason
from superimage.models.windows import Size

NUM_CLASSES = 5
ANY, NEEDS_SIZE, CANNOT = "any size", "needs img_size", "cannot"

# For each module of timm: the classifier with the fewest parameters.
FAMILIES = {
    "beit": "beit_base_patch16_224",
    "byoanet": "halonet_h1",
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_tiny",
    "convit": "convit_tiny",
    "convmixer": "convmixer_768_32",
    "convnext": "test_convnext",
    "cpubone": "cpubone_nano",
    "crossvit": "crossvit_tiny_240",
    "csatv2": "csatv2",
    "cspnet": "cs3darknet_focus_s",
    "cspnext": "cspnext_tiny",
    "davit": "davit_tiny",
    "deepseek_vit": "deepseek_vit_412m",
    "deit": "deit_tiny_patch16_224",
    "densenet": "densenet121",
    "dla": "dla46x_c",
    "dpn": "dpn48b",
    "edgenext": "edgenext_xx_small",
    "efficientformer": "efficientformer_l1",
    "efficientformer_v2": "efficientformerv2_s0",
    "efficientnet": "test_efficientnet",
    "efficientvim": "efficientvim_m1",
    "efficientvit_mit": "efficientvit_b0",
    "efficientvit_msra": "efficientvit_m0",
    "eva": "vit_tiny_patch16_dinov3_qkvb",
    "fasternet": "fasternet_t0",
    "fastvit": "fastvit_t8",
    "focalnet": "focalnet_tiny_srf",
    "gcvit": "gcvit_xxtiny",
    "gemma4_vit": "gemma4_vit_167m",
    "ghostnet": "ghostnet_050",
    "hardcorenas": "hardcorenas_b",
    "hgnet": "hgnetv2_b0",
    "hiera": "hiera_tiny_224",
    "hieradet_sam2": "sam2_hiera_tiny",
    "hrnet": "hrnet_w18_small",
    "iformer": "iformer_t",
    "inception_next": "inception_next_atto",
    "inception_resnet_v2": "inception_resnet_v2",
    "inception_v3": "inception_v3",
    "inception_v4": "inception_v4",
    "lcnetv2": "lcnetv2_small",
    "levit": "levit_128s",
    "lowformer": "lowformer_b0",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "metaformer": "poolformerv2_s12",
    "mlp_mixer": "gmlp_ti16_224",
    "mobilenetv3": "mobilenetv3_small_050",
    "mobilenetv5": "mobilenetv5_base",
    "mobilevit": "mobilevit_xxs",
    "mvitv2": "mvitv2_tiny",
    "naflexvit": "naflexvit_base_patch16_parfac_gap",
    "nasnet": "nasnetalarge",
    "nest": "nest_tiny",
    "nextvit": "nextvit_small",
    "nfnet": "test_nfnet",
    "pit": "pit_ti_224",
    "pnasnet": "pnasnet5large",
    "pvt_v2": "pvt_v2_b0",
    "qwen3_vit": "qwen3_vit_88m",
    "rdnet": "rdnet_tiny",
    "regnet": "regnetx_002",
    "repghost": "repghostnet_050",
    "repvit": "repvit_m1",
    "res2net": "res2next50",
    "resnest": "resnest14d",
    "resnet": "test_resnet",
    "resnetv2": "resnetv2_18",
    "rexnet": "rexnet_100",
    "selecsls": "selecsls42",
    "senet": "legacy_seresnet18",
    "sequencer": "sequencer2d_s",
    "shvit": "shvit_s1",
    "sknet": "skresnet18",
    "starnet": "starnet_s050",
    "swiftformer": "swiftformer_xs",
    "swin_transformer": "swin_tiny_patch4_window7_224",
    "swin_transformer_v2": "swinv2_tiny_window16_256",
    "swin_transformer_v2_cr": "swinv2_cr_tiny_224",
    "tiny_vit": "tiny_vit_5m_224",
    "tnt": "tnt_s_legacy_patch16_224",
    "tresnet": "tresnet_m",
    "twins": "twins_svt_small",
    "vgg": "vgg11",
    "visformer": "visformer_tiny",
    "vision_transformer": "test_vit",
    "vision_transformer_hybrid": "vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos": "test_vit_relpos",
    "vision_transformer_sam": "samvit_base_patch16_224",
    "vitamin": "vitamin_small_224",
    "volo": "volo_d1_224",
    "vovnet": "ese_vovnet19b_slim_dw",
    "xception": "legacy_xception",
    "xception_aligned": "xception41p",
    "xcit": "xcit_nano_12_p8_224",
}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A super image of ``grid`` (rows, columns) tiles of ``tile`` px."""

    grid: Size
    tile: int

    @property
    def size(self) -> Size:
        return self.grid[0] * self.tile, self.grid[1] * self.tile

    def __str__(self) -> str:
        return f"{self.size[0]}x{self.size[1]}"


SQUARE, OBLONG = Shape(grid=(3, 3), tile=64), Shape(grid=(2, 4), tile=64)
SHAPES = (SQUARE, OBLONG)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The result for one model. ``verdicts``: by shape. ``remark``: why it fails, or which pixels it ignores."""

    family: str
    model: str
    params: float
    verdicts: dict[Shape, str]
    remark: str
    seconds: float


def try_family(family: str, shapes: Sequence[Shape] = SHAPES) -> Trial:
    """Run the family's smallest model forward and backward on each shape, built as train_image.py builds it."""
    name, started = FAMILIES[family], time.perf_counter()
    verdicts, remarks, params = {}, [], 0.0
    for shape in shapes:
        torch.manual_seed(0)
        try:
            model = build_model(name, img_size=shape.size, num_classes=NUM_CLASSES)
            params = sum(parameter.numel() for parameter in model.parameters()) / 1e6
            dropped = step(model, shape)
            verdicts[shape] = NEEDS_SIZE if needs_img_size(name) else ANY
            if any(dropped):
                remarks.append(f"{shape}: the last {dropped[0]} rows and {dropped[1]} columns are ignored")
        except Exception as error:  # every error of a network is a result here
            verdicts[shape] = CANNOT
            remarks.append(f"{shape}: {reason(error)}")
    seconds = time.perf_counter() - started
    remark = "; ".join(remarks)
    return Trial(family=family, model=name, params=params, verdicts=verdicts, remark=remark, seconds=seconds)


def step(model: nn.Module, shape: Shape) -> Size:
    """Check logits and gradients of two super images. Raises AssertionError unless every tile influences the logits.

    Returns how many (rows, columns) of pixels at the bottom and on the right have no influence.
    """
    for parameter in model.parameters():
        if not parameter.any():  # a zero-initialized head or branch would have no gradient
            nn.init.normal_(parameter, std=0.02)
    images = torch.randn(2, 3, *shape.size, requires_grad=True)
    logits = model.train()(images)
    assert isinstance(logits, torch.Tensor), f"{type(logits).__name__} was returned in training, not one tensor"
    assert logits.shape == (2, NUM_CLASSES), f"logits are {tuple(logits.shape)}"
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    parts = images.grad.abs().sum((0, 1))
    assert torch.isfinite(parts).all(), "the gradient is not finite"
    rows, columns = shape.grid
    tiles = parts.unflatten(1, (columns, shape.tile)).unflatten(0, (rows, shape.tile)).sum((1, 3))
    assert (tiles > 0).all(), f"{int((tiles == 0).sum())} of {rows * columns} tiles do not influence the logits"
    return _idle_end(parts.sum(1)), _idle_end(parts.sum(0))


def _idle_end(parts: torch.Tensor) -> int:
    """Number of zeros at the end: ``[.3, .1, 0, 0] -> 2``."""
    return len(parts) - 1 - int(parts.nonzero().max())
