"""A Swin's weights made to fit another Swin: names, tables of relative positions, head.

Three spellings are read: Microsoft's, SIFAR's (Microsoft's with ``frame_pos_embed``) and timm's.
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
    """``state_dict`` of any Swin, for ``model``: its names, and its windows by bilinear resizing as SIFAR's code does.

    A head of another number of classes is left out; tiles without vectors keep those that the model was made with.
    ValueError for a weight that has no place, or a place that has no weight.
    """
    own = model.state_dict()
    adapted = {name: fit_table(tensor, name, model) for name, tensor in timm_names(unwrap(state_dict)).items()}
    if TILES in adapted and TILES not in own:
        raise ValueError(f"the weights have {TILES} and the model has none: choose a model that ends in _ape")
    if TILES in own and TILES not in adapted:
        _log.info("the weights have no vectors per tile: these start at random")
        adapted[TILES] = own[TILES]
    adapted = without_other_head(adapted, own)
    check_fit(adapted, own)
    return adapted


def timm_names(state_dict: dict) -> dict[str, torch.Tensor]:
    """timm's spelling, without what is computed: ``layers.0.downsample.norm.bias -> layers.1.downsample.norm.bias``.

    Microsoft's stages end with the step to the next; timm's begin with it.
    """
    microsoft = "layers.0.downsample.reduction.weight" in state_dict
    return {_timm_name(name, microsoft): tensor for name, tensor in state_dict.items() if not name.endswith(_BUFFERS)}


def _timm_name(name: str, microsoft: bool) -> str:
    if microsoft:
        name = re.sub(r"^layers\.(\d+)\.downsample", lambda match: f"layers.{int(match[1]) + 1}.downsample", name)
        name = re.sub(r"^head\.(weight|bias)$", r"head.fc.\1", name)
    return TILES if name == "frame_pos_embed" else name


def fit_table(tensor: torch.Tensor, name: str, model: nn.Module) -> torch.Tensor:
    """A table of relative positions at the size of ``model``'s window; any other weight as it is."""
    if not name.endswith(TABLE):
        return tensor
    try:
        height, width = model.get_submodule(name.removesuffix(f".{TABLE}")).window_size
    except AttributeError:
        return tensor
    return resize_table(tensor, (2 * height - 1, 2 * width - 1))


def resize_table(table: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """((2h-1)(2w-1), heads) -> (size[0] * size[1], heads), bilinear; the window that it came from is square.

    ``(169, 4)`` of window 7, for window 14 -> ``(729, 4)``.
    """
    if len(table) == size[0] * size[1]:
        return table
    side = round(len(table) ** 0.5)
    if side * side != len(table):
        raise ValueError(f"a table of {len(table)} relative positions is of no square window: it cannot be resized")
    image = table.float().T.reshape(1, -1, side, side)
    resized = F.interpolate(image, size=size, mode="bilinear", align_corners=False)
    return resized.flatten(2)[0].T.contiguous().to(table.dtype)
