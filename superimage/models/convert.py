"""Converts published weights into a file that our models and timm's train.py load without changes."""

import argparse
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from timm.models import ResNet, SwinTransformer, load_state_dict
from torch import nn

from superimage.models.build import build_model
from superimage.models.sifar_resnet import SifarResNet, adapt_resnet, keep_extra_blocks
from superimage.models.swin_weights import TABLE, adapt_swin
from superimage.models.uniformer import UniFormer
from superimage.models.uniformer_weights import adapt_uniformer
from superimage.models.weights import unwrap

ADAPTERS = (
    (SwinTransformer, adapt_swin),
    (UniFormer, adapt_uniformer),
    (SifarResNet, keep_extra_blocks),
    (ResNet, adapt_resnet),
)


def convert(source: Path, target: Path, name: str, *, keep_head: bool = False, **kwargs: Any) -> list[str]:
    """Convert the weights in ``source`` for model ``name`` and write them to ``target``; returns lines to print.

    Translates parameter names and resizes tables of relative positions bilinearly. The classifier is dropped, or kept
    with its classes. ``kwargs`` are those of ``build_model``. Raises ValueError for a file that holds no weights, or
    the weights of another network.
    """
    weights = read_weights(source)
    classes = head_classes(weights) if keep_head else 0
    if keep_head and not classes:
        raise ValueError(f"{source} has no classifier; leave out --keep-head")
    model = build_model(name, num_classes=classes, **kwargs)
    try:
        adapted = adapter_of(model)(weights, model)
    except ValueError as error:
        raise ValueError(f"{source} does not fit {name}: {error}") from error
    write_checkpoint({"arch": name, "state_dict": adapted}, target)
    resized = {size for size in map(len, table_sizes(weights))} != {size for size in map(len, table_sizes(adapted))}
    tables = f"tables of relative positions: {'resized bilinearly' if resized else 'unchanged'}"
    return [
        f"{len(adapted)} tensors of {name} from {len(weights)} tensors of {source}; the others are dropped",
        *([tables] if table_sizes(adapted) else []),
        f"classifier: {f'kept, {classes} classes' if classes else 'dropped'}",
    ]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint. Code in the file is not executed."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # trainers also save their flags
            weights = unwrap(load_state_dict(str(path), use_ema=False))
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip() or "the file is empty"
        raise ValueError(f"{path}: not a checkpoint ({reason.splitlines()[0]})") from error
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f"{path}: the file holds no weights")
    return weights


def head_classes(weights: dict) -> int:
    """Number of classes of the classifier; 0 if there is none."""
    return next((len(weights[name]) for name in ("head.weight", "head.fc.weight", "fc.weight") if name in weights), 0)


def table_sizes(weights: dict) -> list[torch.Tensor]:
    return [tensor for name, tensor in weights.items() if name.endswith(TABLE)]


def adapter_of(model: nn.Module) -> Any:
    for kind, adapter in ADAPTERS:
        if isinstance(model, kind):
            return adapter
    raise ValueError(
        f"{type(model).__name__}: only weights of Swin (V1), ResNet and UniFormer can be converted; timm loads others"
    )


def write_checkpoint(content: dict, target: Path) -> None:
    """Write a checkpoint; an interrupted write leaves no file at ``target``."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    torch.save(content, partial)
    os.replace(partial, target)
