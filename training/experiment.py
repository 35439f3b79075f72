"""The directory of an experiment: what is written there, and how a run goes on from it."""

import argparse
import json
import logging
import pickle
import re
from datetime import datetime
from pathlib import Path

import yaml
from timm import utils
from timm.models import load_checkpoint, resume_checkpoint
from torch import nn

from shards.format import Manifest
from shards.storage import local_path, write_whole

_log = logging.getLogger("train_image")
LAST = "last.pth.tar"
BEST = "model_best.pth.tar"
FLAGS_NAME = "args.yaml"
SUMMARY = "summary.csv"
# What a checkpoint was trained on, beside it: eval_video.py compares it with what it is given.
MANIFEST_COPY = "superimage.json"


def experiment_directory(args: argparse.Namespace) -> Path:
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    return local_path(args.output or "output/train") / (
        args.experiment or f"{now}-{re.sub(r'[^A-Za-z0-9_.-]', '_', args.model)}"
    )


def resume_path(args: argparse.Namespace, directory: Path, manifest: Manifest | None) -> Path | None:
    """The checkpoint to go on from, if any; ValueError rather than two experiments in one directory."""
    last = directory / LAST
    if args.resume == "auto" and not args.experiment:
        raise ValueError("--resume auto goes on in the experiment's own directory; name it with --experiment")
    if not args.resume and last.exists():
        raise ValueError(f"{last} exists: go on from it with --resume auto, or give another --experiment")
    if args.resume not in ("", "auto"):
        last = Path(args.resume)
        if not last.is_file():
            raise ValueError(f"--resume {last}: no such checkpoint")
    if not last.exists():
        return None
    _check_same_data(last.with_name(MANIFEST_COPY), args, manifest)
    return last


def _check_same_data(copy: Path, args: argparse.Namespace, manifest: Manifest | None) -> None:
    trained_on = json.loads(copy.read_text())["digest"] if copy.exists() else None
    given = manifest.digest if manifest is not None else None
    if trained_on is not None and trained_on != given:
        raise ValueError(
            f"{copy.parent} was trained on super images of digest {trained_on}, but those in {args.data_dir} have "
            f"{given}: give those, or another --experiment without --resume"
        )


def restore(args, checkpoint: Path | None, model: nn.Module, optimizer, scaler) -> int:
    """Weights, optimizer and loss scale as they were; returns the epoch to go on with."""
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
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, ValueError) as error:
        raise ValueError(f"{checkpoint}: no checkpoint of this model ({str(error).splitlines()[0]})") from error
    if epoch is None:
        raise ValueError(f"{checkpoint}: holds weights alone; start from them with --initial-checkpoint")
    return epoch


def build_ema(args: argparse.Namespace, checkpoint: Path | None, model: nn.Module) -> utils.ModelEmaV3 | None:
    if not args.model_ema:
        return None
    device = "cpu" if args.model_ema_force_cpu else None
    ema = utils.ModelEmaV3(model, decay=args.model_ema_decay, use_warmup=args.model_ema_warmup, device=device)
    if checkpoint is not None:
        load_checkpoint(ema.module, str(checkpoint), use_ema=True)
    return ema


def open_directory(
    args: argparse.Namespace,
    directory: Path,
    checkpoint: Path | None,
    manifest: Manifest | None,
    saver: utils.CheckpointSaver,
    start_epoch: int,
) -> None:
    """args.yaml and the manifest's copy; what the checkpoint's epoch came before is dropped from summary.csv."""
    record = directory / FLAGS_NAME
    if checkpoint is not None and checkpoint.parent == directory:
        saver.load_state_dict_from_checkpoint(str(checkpoint))
        before = yaml.safe_load(record.read_text()) if record.exists() else {}
        for name, value in yaml.safe_load(_to_yaml(args)).items():
            if name != "resume" and name in before and before[name] != value:
                _log.warning(f"--{name.replace('_', '-')} was {before[name]} when this experiment began; now {value}")
    write_whole(record, _to_yaml(args))
    if manifest is not None:
        write_whole(directory / MANIFEST_COPY, json.dumps(manifest.superimage, indent=1).encode())
    utils.trim_summary(str(directory / SUMMARY), start_epoch)


def _to_yaml(args: argparse.Namespace) -> bytes:
    return yaml.safe_dump(vars(args), default_flow_style=None).encode()


def open_board(directory: Path):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ValueError("--log-tensorboard needs the package tensorboard: pip install tensorboard") from error
    return SummaryWriter(str(directory))
