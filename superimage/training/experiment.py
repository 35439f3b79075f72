"""The directory of an experiment: finds the checkpoint to resume from, restores it, and writes flags and manifest."""

import argparse
import json
import logging
import re
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from timm.models import load_checkpoint, resume_checkpoint
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from shards.format import Manifest
from shards.storage import local_path, remove_partial_files, write_whole
from superimage.training.comparison import all_differences, class_difference
from superimage.training.device_memory import ran_out_of_memory
from superimage.training.saver import Saver
from superimage.training.stored import (
    MANIFEST_COPY,
    checkpoint_files,
    first_line,
    newest_whole,
    read_checkpoint,
    trained_on,
)
from superimage.training.summary import SUMMARY, read_rows, repair_summary

_log = logging.getLogger("train_image")
FLAGS_NAME = "args.yaml"


def experiment_directory(args: argparse.Namespace) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    return local_path(args.output or "output/train") / (
        args.experiment or f"{now}-{re.sub(r'[^A-Za-z0-9_.-]', '_', args.model)}"
    )


def resume_path(args: argparse.Namespace, directory: Path, manifest: Manifest | None) -> Path | None:
    """The checkpoint to resume from, or None. ``--resume auto`` chooses the newest undamaged one of the directory.

    Raises ValueError if the directory belongs to another experiment, or if its epochs would be overwritten.
    """
    if args.resume == "auto" and not args.experiment:
        raise ValueError("--resume auto resumes in the experiment's directory; give its name by --experiment")
    if args.resume == "auto":
        path = _own_checkpoint(directory)
    else:
        path = Path(args.resume) if args.resume else None
        _refuse_second_experiment(path, directory)
    if path is not None:
        flag = f"--resume {path}"
        if not path.is_file():
            raise ValueError(f"{flag}: no such checkpoint")
        _check_same_data(path, read_checkpoint(path, flag), args, manifest)
    return path


def _own_checkpoint(directory: Path) -> Path | None:
    path, damages = newest_whole(directory)
    num_rows = max(len(read_rows(directory / SUMMARY)) - 1, 0)
    if path is None and (num_rows or checkpoint_files(directory)):
        raise ValueError(
            f"--resume auto: {directory} has {num_rows} epochs in {SUMMARY}, but no undamaged checkpoint "
            f"({'; '.join(damages) or 'no file'}). Restore one, or start again with another --experiment"
        )
    if path is not None and damages:
        _log.warning(f"--resume auto: {'; '.join(damages)}. Training resumes from {path}, the newest undamaged one")
    return path


def _refuse_second_experiment(path: Path | None, directory: Path) -> None:
    if path is not None and path.parent.resolve() == directory.resolve():
        return
    there = checkpoint_files(directory) or ([directory / SUMMARY] if read_rows(directory / SUMMARY) else [])
    if there:
        raise ValueError(f"{there[0]} exists: resume from it by --resume auto, or give another --experiment")


def _check_same_data(path: Path, content: dict, args: argparse.Namespace, manifest: Manifest | None) -> None:
    section = trained_on(path, content)
    if section is None:
        return
    if manifest is None:
        raise ValueError(
            f"{path} was trained on super images of digest {section['digest']}, but {args.data_dir} has none: give "
            "that data, or another --experiment without --resume"
        )
    if section["digest"] != manifest.digest:
        raise ValueError(
            f"{path} was trained on super images of digest {section['digest']}, but those in {args.data_dir} have "
            f"{manifest.digest} ({all_differences(section, manifest.superimage)}): give the first, or another "
            "--experiment without --resume"
        )
    classes = class_difference(section["class_names"], manifest.class_names)
    if classes:
        raise ValueError(f"{path}: {classes}; give the --train-split that it was trained on")


def restore(args: argparse.Namespace, checkpoint: Path | None, model: nn.Module, optimizer: Any, scaler: Any) -> int:
    """Restore weights, optimizer and loss scale; returns the epoch to train next."""
    if checkpoint is None:
        return 0
    try:
        epoch = resume_checkpoint(
            model,
            str(checkpoint),
            optimizer=None if args.no_resume_opt else optimizer,
            loss_scaler=None if args.no_resume_opt else scaler,
            log_info=False,
        )
    # torch raises many kinds of errors for weights or an optimizer state that do not fit.
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        message = " ".join(str(error).split())[:400] or first_line(error)
        raise ValueError(f"{checkpoint}: not a checkpoint of this model ({message})") from error
    if epoch is None:
        raise ValueError(f"{checkpoint}: contains only weights; start from them by --initial-checkpoint")
    return epoch


def build_ema(args: argparse.Namespace, checkpoint: Path | None, model: nn.Module) -> ModelEmaV3 | None:
    if not args.model_ema:
        return None
    device = "cpu" if args.model_ema_force_cpu else None
    ema = ModelEmaV3(model, decay=args.model_ema_decay, use_warmup=args.model_ema_warmup, device=device)
    if checkpoint is not None:
        load_checkpoint(ema.module, str(checkpoint), use_ema=True)
    return ema


def open_directory(
    args: argparse.Namespace,
    directory: Path,
    checkpoint: Path | None,
    manifest: Manifest | None,
    saver: Saver,
    start_epoch: int,
) -> None:
    """Write args.yaml and a copy of the manifest, and remove the rows after the checkpoint from summary.csv."""
    record, summary = directory / FLAGS_NAME, None
    if checkpoint is not None and checkpoint.parent.resolve() == directory.resolve():
        saver.restore_history(checkpoint)
        summary = read_checkpoint(checkpoint, str(checkpoint)).get("summary")
        before = _flags_before(record)
        for name, value in yaml.safe_load(_to_yaml(args)).items():
            if name != "resume" and name in before and before[name] != value:
                _log.warning(f"--{name.replace('_', '-')} was {before[name]} when this experiment began; now {value}")
    write_whole(record, _to_yaml(args))
    remove_partial_files(directory)
    if manifest is not None:
        write_whole(directory / MANIFEST_COPY, json.dumps(manifest.superimage, indent=1).encode())
    repair_summary(directory / SUMMARY, start_epoch, summary)


def _flags_before(record: Path) -> dict:
    """The flags in args.yaml; empty if it is missing or damaged, since they are only used to report changes."""
    try:
        before = yaml.safe_load(record.read_bytes()) if record.exists() else {}
    except yaml.YAMLError:
        _log.warning(f"{record}: not YAML; it is written again, and changed flags cannot be reported")
        before = {}
    return before if isinstance(before, dict) else {}


def _to_yaml(args: argparse.Namespace) -> bytes:
    return yaml.safe_dump(vars(args), default_flow_style=None).encode()


def open_tensorboard(directory: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("--log-tensorboard needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter(str(directory))
