"""The weights that training starts from: their training data, and the mean and std that they expect."""

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
    """(file of the weights that training starts from, its flag and name for messages); None without a file.

    ``checkpoint`` is the one to resume from. It takes precedence, and the other files are not read.
    """
    if checkpoint is not None:
        return checkpoint, f"--resume {checkpoint}"
    if args.initial_checkpoint:
        return Path(args.initial_checkpoint), f"--initial-checkpoint {args.initial_checkpoint}"
    if args.pretrained and args.pretrained_path:
        return Path(args.pretrained_path), f"--pretrained-path {args.pretrained_path}"
    return None


def without_weights(args: argparse.Namespace) -> argparse.Namespace:
    """The flags to build a model for a checkpoint, so that no other weights are read or downloaded."""
    return argparse.Namespace(**{**vars(args), "pretrained": False, "pretrained_path": None, "initial_checkpoint": ""})


def loads_weights(args: argparse.Namespace, checkpoint: Path | None) -> bool:
    return bool(args.pretrained) or start_file(args, checkpoint) is not None


def check_start(args: argparse.Namespace, manifest: Manifest | None, checkpoint: Path | None) -> dict:
    """The content, without tensors, of the file that training starts from; empty without a file.

    Logs the differences between its training data and the data. Raises ValueError for a file that is not a checkpoint,
    and for ``--initial-checkpoint`` with other classes, since its classifier is kept.
    """
    start = start_file(args, checkpoint)
    if start is None:
        return {}
    path, flag = start
    content = read_checkpoint(path, flag)
    if manifest is None or checkpoint is not None:  # the digest of a checkpoint to resume from was compared before
        return content
    # Only the section inside the file counts, since the manifest beside it may be of another run.
    section = trained_on(path, content) if "superimage" in content else None
    if section is None:
        _log.info(f"{flag}: no description of its training data, so classes and layout are not compared")
        return content
    classes = class_difference(section["class_names"], manifest.class_names)
    if classes and args.initial_checkpoint:
        raise ValueError(
            f"{flag}: {classes}. To start from its weights without its classifier, give --pretrained "
            f"--pretrained-path {path}"
        )
    for line in grid_differences(section, manifest.superimage) + other_differences(section, manifest.superimage):
        _log.info(f"{flag}: {line}")
    return content


def fit_mean_std(args: argparse.Namespace, explicit: Collection[str], model: nn.Module, start: dict) -> list[str]:
    """Set ``mean`` and ``std``, unless given, to the values that the loaded weights expect; returns a line for each.

    ``start``: the result of ``check_start``. The values come from the flags in a trainer's checkpoint, or else from the
    model's pretrained configuration.
    """
    stored, config = flags_in(start), resolve_data_config({}, model=model)
    notes = []
    for name in ("mean", "std"):
        if name not in explicit:
            own = stored.get(name)
            setattr(args, name, list(own or config[name]))
            source = "the checkpoint" if own else "the model's pretrained configuration"
            notes.append(f"super images: --{name} {getattr(args, name)} from {source}")
    return notes


def describe_data(args: argparse.Namespace, manifest: Manifest | None, model: nn.Module) -> dict:
    """The entries of a checkpoint that evaluation needs to build the model and to check its data.

    ``model_spec``: the model's specification, instead of the trainer's flags. ``input``: timm's data configuration.
    ``superimage``: the section of the manifest, with layout, sampling, test views, class names, digest and versions.
    """
    data = {
        "model_spec": ModelSpec.from_flags({**vars(args), "num_classes": model.num_classes}).to_dict(),
        "input": resolve_data_config(vars(args), model=model),
    }
    return data if manifest is None else {**data, "superimage": manifest.superimage}
