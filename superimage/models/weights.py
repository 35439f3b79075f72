"""Prepares a state dict for a model: unwraps it, drops a classifier with other classes, checks names and shapes."""

from collections.abc import Sequence

import torch


def unwrap(state_dict: dict) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint: the entry ``model`` or ``state_dict``, or else the checkpoint itself."""
    for key in ("model", "state_dict"):
        state_dict = state_dict.get(key, state_dict)
    return {name.removeprefix("module."): tensor for name, tensor in state_dict.items()}


def without_other_head(state_dict: dict, own: dict, heads: Sequence[str] = ("head.",)) -> dict[str, torch.Tensor]:
    """The weights, without the classifier if its number of classes differs from the model's."""
    return {
        name: tensor
        for name, tensor in state_dict.items()
        if not name.startswith(tuple(heads)) or (name in own and own[name].shape == tensor.shape)
    }


def check_fit(state_dict: dict, own: dict, heads: Sequence[str] = ("head.",)) -> None:
    """Raise ValueError unless names and shapes equal those of ``own``, the model's. Only the head may be missing."""
    unknown = sorted(set(state_dict) - set(own))
    missing = sorted(name for name in set(own) - set(state_dict) if not name.startswith(tuple(heads)))
    if unknown or missing:
        first = f"the model has no {unknown[0]}" if unknown else f"the weights have no {missing[0]}"
        raise ValueError(f"the weights are of another model: {first} ({len(unknown) + len(missing)} names differ)")
    for name, tensor in state_dict.items():
        if tensor.shape != own[name].shape:
            raise ValueError(
                f"{name} is {tuple(tensor.shape)} in the weights and {tuple(own[name].shape)} in the model"
            )
