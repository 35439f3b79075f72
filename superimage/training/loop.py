"""One epoch of training, and one epoch of validation."""

import argparse
import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from timm import utils
from timm.models import model_parameters
from timm.scheduler.scheduler import Scheduler
from timm.task import MultiLabelClassificationEvaluator
from timm.utils.checkpoint_saver import CheckpointSaver
from timm.utils.cuda import NativeScaler
from timm.utils.model_ema import ModelEmaV3
from torch import distributed, nn

from shards.format import Manifest
from superimage.training.device_env import DeviceEnv
from superimage.training.losses import Losses, LossWatch
from superimage.training.pace import Pace

_log = logging.getLogger("train_image")


@dataclass(kw_only=True)
class Experiment:
    """Everything that training needs from the first epoch to the last."""

    args: argparse.Namespace
    device_env: DeviceEnv
    directory: Path
    model: nn.Module  # the plain model, which is validated and saved
    replica: nn.Module  # what is trained: `model`, or DistributedDataParallel around it
    ema: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    scaler: NativeScaler | None
    scheduler: Scheduler | None
    loss: nn.Module
    train_loader: object
    validation_loader: object | None
    saver: CheckpointSaver | None  # rank 0 only
    tensorboard: object | None  # rank 0 only
    start_epoch: int
    num_epochs: int
    manifest: Manifest | None = None  # None for ordinary images
    watch: LossWatch = field(init=False)

    def __post_init__(self) -> None:
        self.watch = LossWatch(scales=self.scaler is not None)

    @property
    def multi_label(self) -> bool:
        return self.manifest is not None and self.manifest.multi_label

    @property
    def updates_per_epoch(self) -> int:
        return math.ceil(len(self.train_loader) / self.args.grad_accum_steps)

    @property
    def validated(self) -> nn.Module:
        """The model to validate: the averaged weights if they are on this device, as in timm."""
        return self.model if self.ema is None or self.args.model_ema_force_cpu else self.ema.module


def train_epoch(experiment: Experiment, epoch: int) -> dict[str, float]:
    """One pass over the training split; returns its mean loss over all ranks."""
    args, num_batches = experiment.args, len(experiment.train_loader)
    experiment.replica.train()
    experiment.optimizer.zero_grad()
    losses = Losses(experiment.watch, where=f"of {num_batches} of epoch {epoch + 1}")
    accumulate = args.grad_accum_steps
    pace = Pace(experiment.device_env.device, experiment.device_env.world_size)
    for index, (images, targets) in enumerate(pace.of(experiment.train_loader)):
        need_update = (index + 1) % accumulate == 0 or index + 1 == num_batches
        in_group = accumulate if index < num_batches - num_batches % accumulate else num_batches % accumulate
        losses.add(train_step(experiment, images, targets, in_group, need_update=need_update))
        if need_update:
            finish_update(experiment, epoch * experiment.updates_per_epoch + index // accumulate + 1)
            if (index // accumulate + 1) % args.log_interval == 0:
                progress = f"epoch {epoch + 1}  batch {index + 1}/{num_batches}  loss {losses.last():.4f}"
                _log.info(f"{progress}  {pace.summary()}")
    mean = losses.mean()
    if experiment.device_env.distributed:
        mean = utils.reduce_tensor(mean, experiment.device_env.world_size)
    return {"loss": mean.item()}


def train_step(
    experiment: Experiment, images: torch.Tensor, targets: torch.Tensor, in_group: int, *, need_update: bool
) -> torch.Tensor:
    """Forward and backward pass, and the update if ``need_update``; returns the loss of the batch."""
    if experiment.args.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    waits = experiment.device_env.distributed and not need_update
    with experiment.replica.no_sync() if waits else contextlib.nullcontext():
        with autocast(experiment):
            loss = experiment.loss(experiment.replica(images), targets)
        backward(experiment, loss / in_group, need_update=need_update)
    return loss.detach()


def autocast(experiment: Experiment) -> torch.autocast:
    args = experiment.args
    return torch.autocast(experiment.device_env.device.type, dtype=getattr(torch, args.amp_dtype), enabled=args.amp)


def backward(experiment: Experiment, loss: torch.Tensor, *, need_update: bool) -> None:
    args, optimizer = experiment.args, experiment.optimizer
    parameters = model_parameters(experiment.model, exclude_head=args.clip_mode == "agc")
    second_order = getattr(optimizer, "is_second_order", False)
    if experiment.scaler is not None:
        experiment.scaler(
            loss,
            optimizer,
            clip_grad=args.clip_grad,
            clip_mode=args.clip_mode,
            parameters=parameters,
            create_graph=second_order,
            need_update=need_update,
        )
        return
    loss.backward(create_graph=second_order)
    if need_update:
        if args.clip_grad is not None:
            utils.dispatch_clip_grad(parameters, args.clip_grad, mode=args.clip_mode)
        optimizer.step()


def finish_update(experiment: Experiment, num_updates: int) -> None:
    experiment.optimizer.zero_grad()
    if experiment.ema is not None:
        experiment.ema.update(experiment.model, step=num_updates)
    if experiment.scheduler is not None:
        experiment.scheduler.step_update(num_updates)


@torch.no_grad()
def validate(experiment: Experiment) -> dict[str, float]:
    """The loss, with top-1 and top-5, or with mAP for multi-label data, in percent.

    Ranks may have different numbers of samples, since they only synchronize at the end.
    """
    seen = _mean_average_precision(experiment) if experiment.multi_label else _accuracy(experiment)
    if seen is None:
        raise ValueError(f"--val-split {experiment.args.val_split}: no samples")
    return seen


def check_weights(experiment: Experiment, epoch: int, loss: float) -> None:
    """Raise ValueError if the validation loss and the weights are not finite, so that no checkpoint is written.

    A batch's loss is computed before its update, so only this check sees the last update of an epoch.
    """
    if math.isfinite(loss):
        return
    finding = f"after epoch {epoch + 1} the validation loss is {loss}"
    broken = [name for name, value in experiment.validated.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(
            f"{finding}, and {len(broken)} weights such as {broken[0]} are not finite: lower --lr, or clip "
            "gradients by --clip-grad; checkpoints of earlier epochs are kept"
        )
    _log.warning(f"{finding}, although all weights are finite")


def _predictions(experiment: Experiment) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(logits, targets) of each validation batch."""
    model = experiment.validated
    model.eval()
    for images, targets in experiment.validation_loader:
        if experiment.args.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with autocast(experiment):
            logits = model(images)
        yield logits, targets


def _accuracy(experiment: Experiment) -> dict[str, float] | None:
    rows = [torch.zeros(4, device=experiment.device_env.device)]
    for logits, targets in _predictions(experiment):
        loss = nn.functional.cross_entropy(logits.float(), targets)
        top1, top5 = utils.accuracy(logits, targets, topk=(1, 5))
        rows.append(torch.stack([loss, top1, top5, torch.ones_like(loss)]) * len(targets))
    sums = torch.stack(rows).sum(0)
    if experiment.device_env.distributed:
        distributed.all_reduce(sums)
    loss, top1, top5, count = sums.tolist()
    return {"loss": loss / count, "top1": top1 / count, "top5": top5 / count} if count else None


def _mean_average_precision(experiment: Experiment) -> dict[str, float] | None:
    """Mean over the classes with positives, computed as in Charades_v1_classify.m (Sigurdsson et al., ECCV 2016)."""
    device_env = experiment.device_env
    evaluator = MultiLabelClassificationEvaluator(device_env.device)
    present = torch.zeros(experiment.args.num_classes, device=device_env.device)
    for logits, targets in _predictions(experiment):
        evaluator.update(logits, targets)
        present = torch.maximum(present, targets.amax(0))
    seen = evaluator.compute(distributed=device_env.distributed)
    if device_env.distributed:
        distributed.all_reduce(present, distributed.ReduceOp.MAX)
    fraction = present.mean().item()
    # timm counts a class without positives as 0, and divides by the number of all classes.
    return {"loss": seen["loss"], "map": seen["map"] / fraction} if fraction else None
