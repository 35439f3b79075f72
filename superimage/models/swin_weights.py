"""Adapts the weights of a Swin to another Swin: parameter names, tables of relative positions, classifier.

Reads the parameter names of Microsoft, of SIFAR (Microsoft's plus ``frame_pos_embed``) and of timm.
"""

import logging
import re

import torch
from torch import nn
from torch.nn import functional as F

from superimage.models.weights import check_fit, unwrap, without_other_head

TABLE = "relative_position_bias_table"
TILES = "patch_embed.frame_pos_embed"
_BUFFERS = ("relative_position_index", "attn_mask")
_log = logging.getLogger("models")


def adapt_swin(state_dict: dict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Translate the ``state_dict`` of any Swin for ``model``. Tables of relative positions are resized bilinearly.

    SIFAR's code resizes them the same way. The classifier is dropped if its number of classes differs. If the weights
    have no tile vectors, the model keeps its own. Raises ValueError for missing and for unknown weights.
    """
    own = model.state_dict()
    adapted = {name: fit_table(tensor, name, model) for name, tensor in timm_names(unwrap(state_dict)).items()}
    if TILES in adapted and TILES not in own:
        raise ValueError(f"the weights have {TILES}, but the model does not: choose a model whose name ends in _ape")
    if TILES in own and TILES not in adapted:
        _log.info("the weights have no tile vectors, so the tile vectors are initialized at random")
        adapted[TILES] = own[TILES]
    adapted = without_other_head(adapted, own)
    check_fit(adapted, own)
    return adapted


def timm_names(state_dict: dict) -> dict[str, torch.Tensor]:
    """Rename weights as in timm, and drop buffers: ``layers.0.downsample.norm.bias -> layers.1.downsample.norm.bias``.

    In Microsoft's code a stage ends with the downsampling; in timm the next stage begins with it.
    """
    microsoft = "layers.0.downsample.reduction.weight" in state_dict
    return {_timm_name(name, microsoft): tensor for name, tensor in state_dict.items() if not name.endswith(_BUFFERS)}


def _timm_name(name: str, microsoft: bool) -> str:
    if microsoft:
        name = re.sub(r"^layers\.(\d+)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample", name)
        name = re.sub(r"^head\.(weight|bias)$", r"head.fc.\1", name)
    return TILES if name == "frame_pos_embed" else name


def fit_table(tensor: torch.Tensor, name: str, model: nn.Module) -> torch.Tensor:
    """Resize a table of relative positions to ``model``'s window. Other weights are returned unchanged."""
    if not name.endswith(TABLE):
        return tensor
    try:
        height, width = model.get_submodule(name.removesuffix(f".{TABLE}")).window_size
    except AttributeError:
        return tensor
    return resize_table(tensor, (2 * height - 1, 2 * width - 1))


def resize_table(table: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize bilinearly: ((2h-1)(2w-1), heads) -> (size[0] * size[1], heads). The source window must be square.

    ``(169, 4)`` of window 7, for window 14 -> ``(729, 4)``. Raises ValueError for a source that is not square.
    """
    if len(table) == size[0] * size[1]:
        return table
    side = round(len(table) ** 0.5)
    if side * side != len(table):
        raise ValueError(f"a table of {len(table)} relative positions cannot be resized: its window is not square")
    image = table.float().T.reshape(1, -1, side, side)
    resized = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
    return resized.flatten(2)[0].T.contiguous().to(table.dtype)
