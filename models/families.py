"""timm's families on a super image: which take any size, which must be told it, which cannot."""

import os
import time
import traceback
from dataclasses import dataclass

import torch
from timm.models import create_model
from torch import nn

from models.build import build_model, needs_img_size

GRID, TILE_PX, NUM_CLASSES = 3, 96, 5
SIDE_PX = GRID * TILE_PX
ANY, TOLD, CANNOT = "any size", "needs img_size", "cannot"

# Of each of timm's modules the model with the fewest parameters that is a classifier.
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
class Trial:
    """How one model took a super image. ``remark``: what happens without img_size, or why it cannot."""

    family: str
    model: str
    params: float
    verdict: str
    remark: str
    seconds: float


def try_family(family: str) -> Trial:
    """The family's smallest model on 3x3 tiles of 96 px, built as train_image.py builds it, forward and backward."""
    name, started = FAMILIES[family], time.perf_counter()
    size, params, told = (SIDE_PX, SIDE_PX), 0.0, needs_img_size(name)
    torch.manual_seed(0)
    try:
        model = build_model(name, img_size=size, num_classes=NUM_CLASSES)
        params = sum(parameter.numel() for parameter in model.parameters()) / 1e6
        step(model)
        verdict, remarks = (TOLD if told else ANY), []
    except Exception as error:  # any way in which a network can fail is a finding here
        verdict, remarks = CANNOT, [reason(error)]
    if told:
        remarks.append(f"without: {without_size(name)}")
    seconds = time.perf_counter() - started
    return Trial(family=family, model=name, params=params, verdict=verdict, remark="; ".join(remarks), seconds=seconds)


def step(model: nn.Module) -> None:
    """Logits of two super images and their gradient; AssertionError unless every tile has a part in them."""
    for parameter in model.parameters():
        if not parameter.any():  # a head or a branch that begins at nothing would hide what reaches it
            nn.init.normal_(parameter, std=0.02)
    images = torch.randn(2, 3, SIDE_PX, SIDE_PX, requires_grad=True)
    logits = model.train()(images)
    assert isinstance(logits, torch.Tensor), f"{type(logits).__name__} comes out in training, not one tensor"
    assert logits.shape == (2, NUM_CLASSES), f"logits are {tuple(logits.shape)}"
    nn.functional.cross_entropy(logits, torch.tensor([0, 1])).backward()
    tiles = images.grad.unflatten(3, (GRID, TILE_PX)).unflatten(2, (GRID, TILE_PX)).abs().sum((0, 1, 3, 5))
    assert torch.isfinite(tiles).all(), "the gradient is not finite"
    assert (tiles > 0).all(), f"{int((tiles == 0).sum())} of {GRID * GRID} tiles have no part in the logits"


def without_size(name: str) -> str:
    """What becomes of the super image in a model that was told no size."""
    try:
        with torch.no_grad():
            create_model(name, num_classes=NUM_CLASSES).eval()(torch.randn(1, 3, SIDE_PX, SIDE_PX))
    except Exception as error:
        return reason(error)
    return "runs too"


def reason(error: Exception) -> str:
    """First line of what was raised; of a bare assertion, the line that asserts."""
    told = str(error).strip().splitlines()
    if told:
        return f"{type(error).__name__}: {told[0]}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}timm{os.sep}" in frame.filename]
    return f"{type(error).__name__}: {frames[-1].line}" if frames else type(error).__name__
