"""Trains a model: adapts the flags to the data, builds everything, and trains epoch by epoch."""

import argparse
import logging
import math
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from timm import utils
from torch import distributed

from shards.allocator import keep_freed_memory
from shards.format import Manifest
from shards.program import shown_command
from superimage.training.command_line import one_line
from superimage.training.data import build_loaders
from superimage.training.device_env import init_device_env, lost_ranks
from superimage.training.device_memory import memory_line, ran_out_of_memory, training_ways_out
from superimage.training.experiment import (
    build_ema,
    experiment_directory,
    open_directory,
    open_tensorboard,
    restore,
    resume_path,
)
from superimage.training.flags import check_values
from superimage.training.grid import find_super_images, fit_to_grid
from superimage.training.interruption import INTERRUPTED, command_to_go_on, release_frames, workers_ignore_interrupts
from superimage.training.loop import Experiment, check_weights, train_epoch, validate
from superimage.training.model import build_loss, build_model, build_optimizer, build_schedule, prepare_model, replicate
from superimage.training.multi_label import fit_to_labels
from superimage.training.no_validation import fit_to_validation
from superimage.training.saver import Saver
from superimage.training.stored import BEST, checkpoint_files
from superimage.training.summary import SUMMARY, write_row
from superimage.training.weights import check_start, describe_data, fit_mean_std, loads_weights, without_weights

_log = logging.getLogger("train_image")


def train(args: argparse.Namespace, explicit: set[str], argv: Sequence[str]) -> int:
    """Train as the flags say. ``explicit``: names of the flags that were given; ``argv``: the words of the command.

    Returns the exit status: 0 after the last epoch, 2 after a user error, which is printed in one line, and 130 after
    Ctrl-C.
    """
    directory = None
    try:
        with workers_ignore_interrupts():
            keep_freed_memory()
            start_logging()
            check_values(args)
            manifest = find_super_images(args, explicit)
            directory = experiment_directory(args)
            train_epochs(build(args, explicit, manifest, directory))
    except (ValueError, OSError) as error:
        print(f"train_image: {one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        line = memory_line(error, training_ways_out(args)) if ran_out_of_memory(error) else lost_ranks(error)
        if line is None:
            raise
        print(f"train_image: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        release_frames(error)
        report_interruption(argv, directory)
        return INTERRUPTED
    return 0


def report_interruption(argv: Sequence[str], directory: Path | None) -> None:
    """Print one line, and the command that resumes if there is a checkpoint. Only rank 0 prints."""
    _, rank, world_size = utils.world_info_from_env()
    if rank != 0:
        return
    if directory is None or not checkpoint_files(directory):
        print("\ntrain_image: interrupted before an epoch was saved. Give the same command again", file=sys.stderr)
        return
    again = command_to_go_on(argv, experiment=directory.name, world_size=world_size)
    print(f"\ntrain_image: interrupted; finished epochs are kept. To resume:\n  {again}", file=sys.stderr)


def start_logging() -> None:
    """Log progress to standard error. Only rank 0 logs it."""
    _, rank, _ = utils.world_info_from_env()
    utils.setup_default_logging(logging.INFO if rank == 0 else logging.WARNING)
    logging.getLogger("timm").setLevel(logging.WARNING)


def adapt(
    args: argparse.Namespace, explicit: set[str], manifest: Manifest | None, checkpoint: Path | None = None
) -> argparse.Namespace:
    """Adapt the flags to super images and to their labels; logs what differs from timm's defaults."""
    # The mean and std of loaded weights are set later, when the model is built.
    decided = explicit | {"mean", "std"} if loads_weights(args, checkpoint) else explicit
    args, notes = (args, []) if manifest is None else fit_to_grid(args, decided, manifest)
    args, notes_on_labels = fit_to_labels(args, explicit, manifest)
    args, notes_on_validation = fit_to_validation(args, explicit, manifest)
    for note in notes + notes_on_labels + notes_on_validation:
        _log.info(note)
    return args


def build(args: argparse.Namespace, explicit: set[str], manifest: Manifest | None, directory: Path) -> Experiment:
    """Build everything for training, at the first epoch or at the one after the checkpoint."""
    checkpoint = resume_path(args, directory, manifest)
    args = adapt(args, explicit, manifest, checkpoint)
    start = check_start(args, manifest, checkpoint)
    device_env = init_device_env(args)
    utils.random_seed(args.seed, device_env.rank)
    model = build_model(args if checkpoint is None else without_weights(args), manifest)
    if manifest is not None and loads_weights(args, checkpoint):
        for note in fit_mean_std(args, explicit, model, start):
            _log.info(note)
    model = prepare_model(model, args, device_env)
    train_loader, validation_loader = build_loaders(args, device_env, model, manifest)
    optimizer = build_optimizer(args, model, device_env)
    scaler = (
        utils.NativeScaler() if args.amp and device_env.device.type == "cuda" and args.amp_dtype == "float16" else None
    )
    start_epoch = restore(args, checkpoint, model, optimizer, scaler)
    ema = build_ema(args, checkpoint, model)
    replica = replicate(args, model, device_env)
    updates_per_epoch = math.ceil(len(train_loader) / args.grad_accum_steps)
    scheduler, num_epochs = build_schedule(args, optimizer, start_epoch, updates_per_epoch)
    saver = None
    if device_env.rank == 0:
        saver = Saver(
            model,
            optimizer,
            args=args,
            model_ema=ema,
            amp_scaler=scaler,
            checkpoint_dir=str(directory),
            decreasing=args.eval_metric == "loss",
            max_history=args.checkpoint_hist,
            extras=describe_data(args, manifest, model),
        )
        open_directory(args, directory, checkpoint, manifest, saver, start_epoch)
    return Experiment(
        args=args,
        device_env=device_env,
        directory=directory,
        model=model,
        replica=replica,
        ema=ema,
        optimizer=optimizer,
        scaler=scaler,
        scheduler=scheduler,
        loss=build_loss(args).to(device_env.device),
        train_loader=train_loader,
        validation_loader=validation_loader,
        saver=saver,
        tensorboard=open_tensorboard(directory) if args.log_tensorboard and device_env.rank == 0 else None,
        start_epoch=start_epoch,
        num_epochs=num_epochs,
        manifest=manifest,
    )


def train_epochs(experiment: Experiment) -> None:
    """Train the remaining epochs, then print the metric and the path of the best checkpoint."""
    saver, args = experiment.saver, experiment.args
    if experiment.start_epoch >= experiment.num_epochs:
        _log.info(f"already trained: {experiment.num_epochs} of {experiment.num_epochs} epochs are done")
    for epoch in range(experiment.start_epoch, experiment.num_epochs):
        train_and_validate(experiment, epoch)
    if saver is not None:
        if saver.best_metric is None:
            raise ValueError(f"--resume {args.resume} has no epochs left of {experiment.num_epochs}; raise --epochs")
        when = f"epoch {saver.best_epoch + 1} of {experiment.num_epochs}"
        print(f"{args.eval_metric} {saver.best_metric:.4f}, {when}: {experiment.directory / BEST}")
        _show_evaluation(experiment)
    if experiment.device_env.distributed:
        distributed.destroy_process_group()


def _show_evaluation(experiment: Experiment) -> None:
    """Print the command that evaluates the best checkpoint per video, if the data is super images."""
    if experiment.manifest is None:
        return
    split = next((name for name in experiment.manifest.num_views if name != experiment.args.train_split), "")
    words = ["--checkpoint", str(experiment.directory / BEST), "--data-dir", experiment.args.data_dir]
    words += ["--split", split or experiment.args.train_split, "--output", str(experiment.directory / "evaluation")]
    print(f"next: {shlex.join([*shown_command('eval'), *words])}", file=sys.stderr)


def train_and_validate(experiment: Experiment, epoch: int) -> None:
    args, device_env = experiment.args, experiment.device_env
    # Each epoch has its own seed, so that a resumed run gives the same result as an uninterrupted one.
    utils.random_seed(args.seed + epoch * device_env.world_size, device_env.rank)
    set_epoch(experiment, epoch)
    began = time.perf_counter()
    trained = train_epoch(experiment, epoch)
    if device_env.distributed and args.dist_bn:
        utils.distribute_bn(experiment.model, device_env.world_size, args.dist_bn == "reduce")
        if experiment.ema is not None and not args.model_ema_force_cpu:
            utils.distribute_bn(experiment.ema, device_env.world_size, args.dist_bn == "reduce")
    seen = validate(experiment) if experiment.validation_loader is not None else {}
    check_weights(experiment, epoch, (seen or trained)["loss"])
    metric = (seen or trained)[args.eval_metric]
    rate = sum(group["lr"] for group in experiment.optimizer.param_groups) / len(experiment.optimizer.param_groups)
    if experiment.scheduler is not None:
        experiment.scheduler.step(epoch + 1, metric)
    if experiment.saver is not None:
        parts = [f"val loss {seen['loss']:.4f}"] if seen else []
        parts += [f"{name} {value:.2f}" for name, value in seen.items() if name != "loss"]
        parts += [f"lr {rate:.2e}", f"{time.perf_counter() - began:.1f} s"]
        _log.info("  ".join([f"epoch {epoch + 1}/{experiment.num_epochs}", f"loss {trained['loss']:.4f}", *parts]))
        record_epoch(experiment, epoch, trained, seen, metric, rate)


def set_epoch(experiment: Experiment, epoch: int) -> None:
    loader, off = experiment.train_loader, experiment.args.mixup_off_epoch
    loader.set_epoch(epoch)
    if off and epoch >= off:
        loader.stop_mixing()


def record_epoch(experiment: Experiment, epoch: int, trained: dict, seen: dict, metric: float, rate: float) -> None:
    """Save the checkpoint, then the row of summary.csv. If the run stops in between, resuming adds the row."""
    row = {"epoch": epoch, "train_metrics": trained, "eval_metrics": seen, "lr": rate}
    experiment.saver.save_epoch(epoch, metric, row)
    write_row(experiment.directory / SUMMARY, row)
    if experiment.tensorboard is not None:
        for name, value in {**{f"train/{k}": v for k, v in trained.items()}, **seen, "lr": rate}.items():
            experiment.tensorboard.add_scalar(name, value, epoch)
        experiment.tensorboard.flush()
