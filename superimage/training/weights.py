"""The weights that a run starts from: what they were trained on, and the mean and std that they expect."""

import argparse
import logging
from collections.abc import Collection
from pathlib import Path

from timm.data import resolve_data_config
from torch import nn

from shards.format import Manifest
from superimage.models.spec import ModelSpec
from superimage.training.comparison import class_difference, grid_differences, other_differences
from superimage.training.stored import flags_in, read_checkpoint, trained_on

_log = logging.getLogger("train_image")


def start_file(args: argparse.Namespace, checkpoint: Path | None) -> tuple[Path, str] | None:
    """(the file whose weights the run starts from, its flag and name); None where there is no file.

    ``checkpoint`` is the one to resume from, before which the others are not read.
    """
    if checkpoint is not None:
        return checkpoint, f"--resume {checkpoint}"
    if args.initial_checkpoint:
        return Path(args.initial_checkpoint), f"--initial-checkpoint {args.initial_checkpoint}"
    if args.pretrained and args.pretrained_path:
        return Path(args.pretrained_path), f"--pretrained-path {args.pretrained_path}"
    return None


def without_weights(args: argparse.Namespace) -> argparse.Namespace:
    """The flags to build a model that a checkpoint fills: no other weights are asked for, read or downloaded."""
    return argparse.Namespace(**{**vars(args), "pretrained": False, "pretrained_path": None, "initial_checkpoint": ""})


def loads_weights(args: argparse.Namespace, checkpoint: Path | None) -> bool:
    return bool(args.pretrained) or start_file(args, checkpoint) is not None


def check_start(args: argparse.Namespace, manifest: Manifest | None, checkpoint: Path | None) -> dict:
    """What the file that the run starts from holds besides tensors; ``{}`` without one.

    Says what differs from the data. ValueError for a file that is no checkpoint, and for ``--initial-checkpoint`` with
    other classes, since its classifier is kept.
    """
    start = start_file(args, checkpoint)
    if start is None:
        return {}
    path, told = start
    content = read_checkpoint(path, told)
    if manifest is None or checkpoint is not None:  # a checkpoint to resume from was compared by its digest
        return content
    # Only what the file says of itself: beside it may lie the manifest of another run.
    section = trained_on(path, content) if "superimage" in content else None
    if section is None:
        _log.info(f"{told}: it does not say what it was trained on; classes and layout are not compared")
        return content
    classes = class_difference(section["class_names"], manifest.class_names)
    if classes and args.initial_checkpoint:
        raise ValueError(
            f"{told}: {classes}. To start from its weights without its classifier, give --pretrained "
            f"--pretrained-path {path}"
        )
    for line in grid_differences(section, manifest.superimage) + other_differences(section, manifest.superimage):
        _log.info(f"{told}: {line}")
    return content


def fit_mean_std(args: argparse.Namespace, explicit: Collection[str], model: nn.Module, start: dict) -> list[str]:
    """Set ``mean`` and ``std`` that no flag gives to those that the loaded weights expect; a line for each.

    ``start``: what ``check_start`` returned. A checkpoint of a trainer says which ones it was trained with; all other
    weights expect those of the model's pretrained configuration.
    """
    stored, config = flags_in(start), resolve_data_config({}, model=model)
    notes = []
    for name in ("mean", "std"):
        if name not in explicit:
            own = stored.get(name)
            setattr(args, name, list(own or config[name]))
            source = "the checkpoint" if own else "the model's pretrained configuration"
            notes.append(f"super images: --{name} {getattr(args, name)} of {source}")
    return notes


def describe_data(args: argparse.Namespace, manifest: Manifest | None, model: nn.Module) -> dict:
    """What a checkpoint holds for those who make the model again.

    ``model_spec`` makes the model without the trainer's flags. ``input`` is timm's data configuration. ``superimage``
    is the section of the manifest: layout, sampling, test views and their crops, class names, digest, versions.
    """
    data = {
        "model_spec": ModelSpec.from_flags({**vars(args), "num_classes": model.num_classes}).to_dict(),
        "input": resolve_data_config(vars(args), model=model),
    }
    return data if manifest is None else {**data, "superimage": manifest.superimage}
