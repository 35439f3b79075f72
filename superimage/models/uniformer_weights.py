"""Renames the published weights of UniFormer for our UniFormer."""

import re

import torch
from torch import nn

from superimage.models.weights import check_fit, unwrap, without_other_head

_TWO_OUTPUTS = ("cls_token", "cls_upsample", "norm_cls", "head_cls", "aux_head")


def adapt_uniformer(state_dict: dict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Rename the weights that UniFormer's authors publish. Weights with our names are returned unchanged.

    ``blocks3.7.attn.qkv.weight -> stages.2.blocks.7.attn.qkv.weight``. The class token and the token-labelling heads
    are dropped, since our network has one output. A classifier with another number of classes is dropped too. Raises
    ValueError for the weights of another network.
    """
    state_dict, own = unwrap(state_dict), model.state_dict()
    if any(name.startswith("patch_embed1.") for name in state_dict):
        ours = {name: tensor for name, tensor in state_dict.items() if not name.startswith(_TWO_OUTPUTS)}
        state_dict = {_our_name(name, model): tensor for name, tensor in ours.items()}
    state_dict = without_other_head(state_dict, own)
    check_fit(state_dict, own)
    return state_dict


def _our_name(name: str, model: nn.Module) -> str:
    stage = re.match(r"^(patch_embed|blocks)(\d)\.", name)
    if stage:
        index, rest = int(stage[2]) - 1, name[stage.end() :]
        if stage[1] == "blocks":
            return f"stages.{index}.blocks.{rest}"
        nested = isinstance(model.stages[index].downsample, nn.Sequential)
        return f"stages.{index}.downsample.{rest.removeprefix('proj.') if nested else rest}"
    return re.sub(r"^head\.", "head.fc.", name)
