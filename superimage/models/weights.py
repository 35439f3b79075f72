"""Weights on their way into a network: unwrapped, without the head of other classes, and checked name by name."""

from collections.abc import Sequence

import torch


def unwrap(state_dict: dict) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint that keeps them under ``model`` or ``state_dict``, or that is them."""
    for key in ("model", "state_dict"):
        state_dict = state_dict.get(key, state_dict)
    return {name.removeprefix("module."): tensor for name, tensor in state_dict.items()}


def without_other_head(state_dict: dict, own: dict, heads: Sequence[str] = ("head.",)) -> dict[str, torch.Tensor]:
    """The weights less a classifier that is not of the model's number of classes."""
    return {
        name: tensor
        for name, tensor in state_dict.items()
        if not name.startswith(tuple(heads)) or (name in own and own[name].shape == tensor.shape)
    }


def check_fit(state_dict: dict, own: dict, heads: Sequence[str] = ("head.",)) -> None:
    """ValueError unless the names and shapes are those of ``own``, the model's; its head alone may be missing."""
    unknown = sorted(set(state_dict) - set(own))
    missing = sorted(name for name in set(own) - set(state_dict) if not name.startswith(tuple(heads)))
    if unknown or missing:
        first = f"{unknown[0]} has no place in it" if unknown else f"its {missing[0]} is not among them"
        raise ValueError(f"these are not the weights of this model: {first} ({len(unknown) + len(missing)} such names)")
    for name, tensor in state_dict.items():
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} in the weights and {tuple(own[name].shape)} in the model"
            )
