"""Published weights into a file that a model here, or timm's trainer, takes as it is."""

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
    """Write the weights of ``source`` as those of model ``name`` (``kwargs`` as for build_model); lines that say what.

    Names are translated and tables of relative positions resized bilinearly; the classifier is dropped, or kept with
    its classes. ValueError for a file of no weights, or of another network's.
    """
    weights = read_weights(source)
    classes = head_classes(weights) if keep_head else 0
    if keep_head and not classes:
        raise ValueError(f"{source} has no classifier to keep: leave out --keep-head")
    model = build_model(name, num_classes=classes, **kwargs)
    try:
        adapted = adapter_of(model)(weights, model)
    except ValueError as error:
        raise ValueError(f"{source} does not fit {name}: {error}") from error
    write_checkpoint({"arch": name, "state_dict": adapted}, target)
    resized = {size for size in map(len, table_sizes(weights))} != {size for size in map(len, table_sizes(adapted))}
    tables = f"tables of relative positions: {'resized bilinearly' if resized else 'as they were'}"
    return [
        f"{len(adapted)} tensors of {name}, from {len(weights)} of {source}; others are computed, or dropped",
        *([tables] if table_sizes(adapted) else []),
        f"classifier: {f'kept, {classes} classes' if classes else 'dropped'}",
    ]


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint, without running code that it may hold."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # trainers save their flags beside the weights
            weights = unwrap(load_state_dict(str(path), use_ema=False))
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        told = str(error).strip() or "it is empty"
        raise ValueError(f"{path}: not a checkpoint ({told.splitlines()[0]})") from error
    if not weights or not all(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(f"{path}: not the weights of a network")
    return weights


def head_classes(weights: dict) -> int:
    """Rows of the classifier: 0 where there is none."""
    return next((len(weights[name]) for name in ("head.weight", "head.fc.weight", "fc.weight") if name in weights), 0)


def table_sizes(weights: dict) -> list[torch.Tensor]:
    return [tensor for name, tensor in weights.items() if name.endswith(TABLE)]


def adapter_of(model: nn.Module) -> Any:
    for kind, adapter in ADAPTERS:
        if isinstance(model, kind):
            return adapter
    raise ValueError(
        f"only weights of Swin (V1), ResNet and UniFormer are converted; timm itself adapts {type(model).__name__}'s"
    )


def write_checkpoint(content: dict, target: Path) -> None:
    """Whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.part")
    torch.save(content, partial)
    os.replace(partial, target)
