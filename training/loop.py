"""One epoch of training, and one of validation."""

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
from torch import distributed, nn

from training.machine import Machine

_log = logging.getLogger("train_image")
_HALVINGS = 16  # torch.amp.GradScaler begins at 2 ** 16


class LossWatch:
    """Ends a run whose loss is no longer a number.

    Without a gradient scaler the first such loss ends it: the weights after it are lost. A scaler leaves such updates
    out and halves its scale; then as many in a row end it as there are halvings from its first scale to 1, counted
    through the epochs, which may be shorter.
    """

    def __init__(self, *, scales: bool):
        self._patience, self._where = _HALVINGS if scales else 1, []

    def see(self, loss: float, where: str) -> None:
        """ValueError at the loss that ends the run; ``where``: ``batch 3 of 9 of epoch 1``."""
        self._where = [] if math.isfinite(loss) else [*self._where, f"{loss} at {where}"]
        if len(self._where) == self._patience:
            raise ValueError(
                f"the loss is {self._where[0]}: lower --lr, or limit with --clip-grad; checkpoints of earlier epochs "
                "are kept"
            )


@dataclass(kw_only=True)
class Run:
    """All that an experiment needs from its first epoch to its last."""

    args: argparse.Namespace
    machine: Machine
    directory: Path
    model: nn.Module  # the bare one: what is validated and saved
    replica: nn.Module  # the one that is trained: `model`, or its DistributedDataParallel
    ema: utils.ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    scaler: utils.NativeScaler | None
    scheduler: Scheduler | None
    loss: nn.Module
    train_loader: object
    validation_loader: object
    saver: utils.CheckpointSaver | None  # of rank 0 alone, as is the board
    board: object | None
    start_epoch: int
    num_epochs: int
    multi_label: bool = False
    watch: LossWatch = field(init=False)

    def __post_init__(self):
        self.watch = LossWatch(scales=self.scaler is not None)

    @property
    def updates_per_epoch(self) -> int:
        return math.ceil(len(self.train_loader) / self.args.grad_accum_steps)

    @property
    def validated(self) -> nn.Module:
        """The average of the weights where there is one on this device, as timm does."""
        return self.model if self.ema is None or self.args.model_ema_force_cpu else self.ema.module


def train_epoch(experiment: Run, epoch: int) -> dict[str, float]:
    """One pass over the training split; returns its mean loss over all ranks."""
    args, num_batches = experiment.args, len(experiment.train_loader)
    experiment.replica.train()
    experiment.optimizer.zero_grad()
    losses, accumulate = [], args.grad_accum_steps
    watch, where = experiment.watch, f"of {num_batches} of epoch {epoch + 1}"
    for index, (images, targets) in enumerate(experiment.train_loader):
        due = (index + 1) % accumulate == 0 or index + 1 == num_batches
        in_group = accumulate if index < num_batches - num_batches % accumulate else num_batches % accumulate
        loss = train_step(experiment, images, targets, in_group, due=due)
        # One step late, so that the device has work while this waits for it.
        if losses:
            watch.see(losses[-1].item(), f"batch {index} {where}")
        losses.append(loss)
        if due:
            finish_update(experiment, epoch * experiment.updates_per_epoch + index // accumulate + 1)
            if (index // accumulate + 1) % args.log_interval == 0:
                _log.info(f"epoch {epoch + 1}  batch {index + 1}/{num_batches}  loss {losses[-1].item():.4f}")
    watch.see(losses[-1].item(), f"batch {num_batches} {where}")
    mean = torch.stack(losses).mean()
    if experiment.machine.distributed:
        mean = utils.reduce_tensor(mean, experiment.machine.world_size)
    return {"loss": mean.item()}


def train_step(
    experiment: Run, images: torch.Tensor, targets: torch.Tensor, in_group: int, *, due: bool
) -> torch.Tensor:
    """Forward, backward and, when ``due``, the update of the weights; returns the batch's loss."""
    if experiment.args.channels_last:
        images = images.contiguous(memory_format=torch.channels_last)
    waits = experiment.machine.distributed and not due
    with experiment.replica.no_sync() if waits else contextlib.nullcontext():
        with autocast(experiment):
            loss = experiment.loss(experiment.replica(images), targets)
        backward(experiment, loss / in_group, due=due)
    return loss.detach()


def autocast(experiment: Run) -> torch.autocast:
    args = experiment.args
    return torch.autocast(experiment.machine.device.type, dtype=getattr(torch, args.amp_dtype), enabled=args.amp)


def backward(experiment: Run, loss: torch.Tensor, *, due: bool) -> None:
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
            need_update=due,
        )
        return
    loss.backward(create_graph=second_order)
    if due:
        if args.clip_grad is not None:
            utils.dispatch_clip_grad(parameters, args.clip_grad, mode=args.clip_mode)
        optimizer.step()


def finish_update(experiment: Run, num_updates: int) -> None:
    experiment.optimizer.zero_grad()
    if experiment.ema is not None:
        experiment.ema.update(experiment.model, step=num_updates)
    if experiment.scheduler is not None:
        experiment.scheduler.step_update(num_updates)


@torch.no_grad()
def validate(experiment: Run) -> dict[str, float]:
    """Loss, and top-1 and top-5, or mAP of several labels a sample, in percent.

    Ranks may hold different numbers of samples: they meet once, at the end.
    """
    seen = _mean_average_precision(experiment) if experiment.multi_label else _accuracy(experiment)
    if seen is None:
        raise ValueError(f"--val-split {experiment.args.val_split}: no samples")
    return seen


def check_weights(experiment: Run, epoch: int, loss: float) -> None:
    """ValueError where the validation's loss is no number since the weights are not: no checkpoint is made of them.

    The loss of a batch is that before its update, so the last update of an epoch is seen here alone.
    """
    if math.isfinite(loss):
        return
    told = f"after epoch {epoch + 1} the validation's loss is {loss}"
    broken = [name for name, value in experiment.validated.state_dict().items() if not torch.isfinite(value).all()]
    if broken:
        raise ValueError(
            f"{told}, and {len(broken)} weights such as {broken[0]} are not finite: lower --lr, or limit with "
            "--clip-grad; checkpoints of earlier epochs are kept"
        )
    _log.warning(f"{told}, with weights that are finite")


def _predictions(experiment: Run) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """(logits, targets) of each validation batch."""
    model = experiment.validated
    model.eval()
    for images, targets in experiment.validation_loader:
        with autocast(experiment):
            logits = model(images)
        yield logits, targets


def _accuracy(experiment: Run) -> dict[str, float] | None:
    rows = [torch.zeros(4, device=experiment.machine.device)]
    for logits, targets in _predictions(experiment):
        loss = nn.functional.cross_entropy(logits.float(), targets)
        top1, top5 = utils.accuracy(logits, targets, topk=(1, 5))
        rows.append(torch.stack([loss, top1, top5, torch.ones_like(loss)]) * len(targets))
    sums = torch.stack(rows).sum(0)
    if experiment.machine.distributed:
        distributed.all_reduce(sums)
    loss, top1, top5, count = sums.tolist()
    return {"loss": loss / count, "top1": top1 / count, "top5": top5 / count} if count else None


def _mean_average_precision(experiment: Run) -> dict[str, float] | None:
    """Over the classes that have positives; of each as Charades_v1_classify.m has it (Sigurdsson et al., ECCV 2016)."""
    machine = experiment.machine
    evaluator = MultiLabelClassificationEvaluator(machine.device)
    present = torch.zeros(experiment.args.num_classes, device=machine.device)
    for logits, targets in _predictions(experiment):
        evaluator.update(logits, targets)
        present = torch.maximum(present, targets.amax(0))
    seen = evaluator.compute(distributed=machine.distributed)
    if machine.distributed:
        distributed.all_reduce(present, distributed.ReduceOp.MAX)
    share = present.mean().item()
    # timm counts a class without positives as 0 and divides by all.
    return {"loss": seen["loss"], "map": seen["map"] / share} if share else None
