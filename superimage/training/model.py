"""Builds the model, loss, optimizer and schedule by timm's factories."""

import argparse
import dataclasses
import logging
from functools import partial
from pathlib import Path

import torch
from timm.layers import convert_sync_batchnorm
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy
from timm.models import get_pretrained_cfg
from timm.optim import create_optimizer_v2, optimizer_kwargs
from timm.scheduler import create_scheduler_v2, scheduler_kwargs
from timm.scheduler.scheduler import Scheduler
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from shards.format import Manifest
from superimage import models
from superimage.models.explain import build_or_explain
from superimage.models.spec import ModelSpec
from superimage.training.data import mixes
from superimage.training.device_env import DeviceEnv
from superimage.training.grid import given_size
from superimage.training.model_input import check_input, set_checkpointing

_log = logging.getLogger("train_image")


def build_model(args: argparse.Namespace, manifest: Manifest | None = None) -> nn.Module:
    """Build the model of the flags. Models with a fixed input size get the size of the flags.

    Raises ValueError if the model cannot be built, does not take the images, or has tile vectors for another grid.
    """
    preset = get_pretrained_cfg(args.model, allow_unregistered=True)
    if args.pretrained and not args.pretrained_path and preset is not None and not preset.has_weights:
        raise ValueError(f"--pretrained: timm has no weights for {args.model}; give a file by --pretrained-path")
    for flag, path in (("initial-checkpoint", args.initial_checkpoint), ("pretrained-path", args.pretrained_path)):
        if path and not Path(path).is_file():
            raise ValueError(f"--{flag} {path}: no such file")
    check_input(args, manifest, partial(_create, args, weights=False))
    model = _create(args, given_size(args))
    if manifest is not None:
        models.check_grid(model, (manifest.layout.rows, manifest.layout.columns))
    if args.grad_checkpointing:
        set_checkpointing(model, args.model)
    return model


def _create(args: argparse.Namespace, img_size: tuple[int, int] | None, *, weights: bool = True) -> nn.Module:
    """The model of the flags, for images of ``img_size`` (height, width) px."""
    loaded = {"pretrained": args.pretrained, "pretrained_path": args.pretrained_path}
    loaded |= {"checkpoint_path": args.initial_checkpoint}
    return build_or_explain(
        dataclasses.replace(ModelSpec.from_flags(vars(args)), img_size=img_size),
        initial_checkpoint=args.initial_checkpoint,
        drop_rate=args.drop,
        drop_path_rate=args.drop_path,
        **(loaded if weights else {}),
    )


def prepare_model(model: nn.Module, args: argparse.Namespace, device_env: DeviceEnv) -> nn.Module:
    model.to(device_env.device)
    if args.channels_last:
        model.to(memory_format=torch.channels_last)
    return convert_sync_batchnorm(model) if args.sync_bn and device_env.distributed else model


def replicate(args: argparse.Namespace, model: nn.Module, device_env: DeviceEnv) -> nn.Module:
    """The module to train. Call it after making the EMA, whose model must not be compiled or replicated."""
    if args.torchcompile:
        model.compile(backend=args.torchcompile)
    if not device_env.distributed:
        return model
    return DistributedDataParallel(model, device_ids=None if device_env.device.type == "cpu" else [device_env.device])


def build_loss(args: argparse.Namespace) -> nn.Module:
    if args.bce_loss:
        return BinaryCrossEntropy(
            smoothing=0.0 if mixes(args) else args.smoothing,
            target_threshold=args.bce_target_thresh,
            sum_classes=args.bce_sum,
            pos_weight=args.bce_pos_weight,
            smooth_dense=True,  # for multi-hot targets; the targets of mixup are smoothed already
        )
    if mixes(args):
        return SoftTargetCrossEntropy()
    return LabelSmoothingCrossEntropy(smoothing=args.smoothing) if args.smoothing else nn.CrossEntropyLoss()


def build_optimizer(args: argparse.Namespace, model: nn.Module, device_env: DeviceEnv) -> torch.optim.Optimizer:
    rate = learning_rate(args, device_env.world_size)
    kind = "process" if device_env.world_size == 1 else "processes"
    ranks = f"{device_env.world_size} {device_env.device.type.upper()} {kind}"
    _log.info(f"learning rate {rate:.3g}, batch {args.batch_size} on {ranks}")
    return create_optimizer_v2(
        model, **optimizer_kwargs(cfg=argparse.Namespace(**{**vars(args), "lr": rate})), **args.opt_kwargs
    )


def learning_rate(args: argparse.Namespace, world_size: int) -> float:
    """--lr, or else --lr-base scaled by the global batch size (by its square root for Ada* and Lamb, as in timm)."""
    if args.lr:
        return args.lr
    factor = args.batch_size * world_size * args.grad_accum_steps / args.lr_base_size
    by_root = any(name in args.opt.lower() for name in ("ada", "lamb"))
    scale = args.lr_base_scale or ("sqrt" if by_root else "linear")
    return args.lr_base * (factor**0.5 if scale == "sqrt" else factor)


def build_schedule(
    args: argparse.Namespace, optimizer: torch.optim.Optimizer, start_epoch: int, updates_per_epoch: int
) -> tuple[Scheduler | None, int]:
    """(schedule, number of epochs with cycles and cool-down). Sets the learning rate of the first epoch."""
    if args.sched == "plateau":
        raise ValueError("--sched plateau could not be resumed, since checkpoints do not store its state; use cosine")
    scheduler, num_epochs = create_scheduler_v2(
        optimizer,
        **scheduler_kwargs(args, decreasing_metric=args.eval_metric == "loss"),
        updates_per_epoch=updates_per_epoch,
    )
    if scheduler is not None and start_epoch > 0:
        scheduler.step(start_epoch)
        scheduler.step_update(start_epoch * updates_per_epoch)
    return scheduler, num_epochs
