"""Train an image classifier: an ordinary timm trainer that also knows what a grid of tiles must be spared.

    python train_image.py --config configs/train/demo.yaml --data-dir DIR --output DIR --experiment NAME

Flags have timm's names, types and defaults, and each does something here. A directory whose manifest says that it holds
super images brings its own input size, classes, mean and std; anything else is read as timm reads it.
"""

import argparse
import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from timm import utils
from torch import distributed

from shards.allocator import keep_freed_memory
from shards.format import Manifest
from training.command_line import one_line, parse_flags
from training.data import build_loaders
from training.experiment import (
    build_ema,
    experiment_directory,
    open_board,
    open_directory,
    restore,
    resume_path,
)
from training.flags import FLAGS, check_values
from training.grid import find_super_images, fit_to_grid
from training.interruption import INTERRUPTED, command_to_go_on, workers_ignore_interrupts
from training.loop import Run, check_weights, train_epoch, validate
from training.machine import lost_ranks, start_machine
from training.model import build_loss, build_model, build_optimizer, build_schedule, prepare_model, replicate
from training.multi_label import fit_to_labels
from training.saver import Saver
from training.stored import BEST, checkpoint_files, first_line
from training.summary import SUMMARY, write_row
from training.weights import check_start, describe_data, fit_mean_std, loads_weights, without_weights

_log = logging.getLogger("train_image")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 0 when the last epoch is trained, 2 for a user's mistake, told in one line, 130 after Ctrl-C."""
    argv = sys.argv[1:] if argv is None else list(argv)
    directory = None
    try:
        with workers_ignore_interrupts():
            args, explicit = parse_flags(FLAGS, argv, prog="train_image")
            keep_freed_memory()
            start_logging()
            check_values(args)
            manifest = find_super_images(args, explicit)
            directory = experiment_directory(args)
            run(build(args, explicit, manifest, directory))
    except (ValueError, OSError) as error:
        print(f"train_image: {one_line(error)}", file=sys.stderr)
        return 2
    except torch.cuda.OutOfMemoryError as error:
        print(f"train_image: {first_line(error)} Lower --batch-size, or use --amp", file=sys.stderr)
        return 2
    except RuntimeError as error:
        told = lost_ranks(error)
        if told is None:
            raise
        print(f"train_image: {told}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        tell_interrupted(argv, directory)
        return INTERRUPTED
    return 0


def tell_interrupted(argv: Sequence[str], directory: Path | None) -> None:
    """One line, and the command that goes on where there is something to go on with; from rank 0 alone."""
    _, rank, world_size = utils.world_info_from_env()
    if rank != 0:
        return
    if directory is None or not checkpoint_files(directory):
        print("\ntrain_image: interrupted before an epoch was saved; give the same command again", file=sys.stderr)
        return
    again = command_to_go_on(argv, experiment=directory.name, world_size=world_size)
    print(f"\ntrain_image: interrupted; finished epochs are kept. To go on:\n  {again}", file=sys.stderr)


def start_logging() -> None:
    """Progress to stderr, told by rank 0 alone."""
    _, rank, _ = utils.world_info_from_env()
    utils.setup_default_logging(logging.INFO if rank == 0 else logging.WARNING)
    logging.getLogger("timm").setLevel(logging.WARNING)


def adapt(
    args: argparse.Namespace, explicit: set[str], manifest: Manifest | None, checkpoint: Path | None = None
) -> argparse.Namespace:
    """The flags for super images and for several labels a sample; says what differs from timm's defaults."""
    # Weights that are loaded know their mean and std, once the model is there.
    decided = explicit | {"mean", "std"} if loads_weights(args, checkpoint) else explicit
    args, notes = (args, []) if manifest is None else fit_to_grid(args, decided, manifest)
    args, notes_on_labels = fit_to_labels(args, explicit, manifest)
    for note in notes + notes_on_labels:
        _log.info(note)
    return args


def build(args: argparse.Namespace, explicit: set[str], manifest: Manifest | None, directory: Path) -> Run:
    """Everything ready to train, at the first epoch or where the checkpoint left off."""
    checkpoint = resume_path(args, directory, manifest)
    args = adapt(args, explicit, manifest, checkpoint)
    start = check_start(args, manifest, checkpoint)
    machine = start_machine(args)
    utils.random_seed(args.seed, machine.rank)
    model = build_model(args if checkpoint is None else without_weights(args), manifest)
    if manifest is not None and loads_weights(args, checkpoint):
        for note in fit_mean_std(args, explicit, model, start):
            _log.info(note)
    model = prepare_model(model, args, machine)
    train_loader, validation_loader = build_loaders(args, machine, model, manifest)
    optimizer = build_optimizer(args, model, machine)
    scaler = (
        utils.NativeScaler() if args.amp and machine.device.type == "cuda" and args.amp_dtype == "float16" else None
    )
    start_epoch = restore(args, checkpoint, model, optimizer, scaler)
    ema = build_ema(args, checkpoint, model)
    replica = replicate(args, model, machine)
    updates_per_epoch = math.ceil(len(train_loader) / args.grad_accum_steps)
    scheduler, num_epochs = build_schedule(args, optimizer, start_epoch, updates_per_epoch)
    saver = None
    if machine.rank == 0:
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
    return Run(
        args=args,
        machine=machine,
        directory=directory,
        model=model,
        replica=replica,
        ema=ema,
        optimizer=optimizer,
        scaler=scaler,
        scheduler=scheduler,
        loss=build_loss(args).to(machine.device),
        train_loader=train_loader,
        validation_loader=validation_loader,
        saver=saver,
        board=open_board(directory) if args.log_tensorboard and machine.rank == 0 else None,
        start_epoch=start_epoch,
        num_epochs=num_epochs,
        multi_label=manifest is not None and manifest.multi_label,
    )


def run(experiment: Run) -> None:
    """All epochs that are left, then the best one's metric and path on stdout."""
    saver, args = experiment.saver, experiment.args
    if experiment.start_epoch >= experiment.num_epochs:
        _log.info(f"already trained: {experiment.num_epochs} of {experiment.num_epochs} epochs are done")
    for epoch in range(experiment.start_epoch, experiment.num_epochs):
        run_epoch(experiment, epoch)
    if saver is not None:
        if saver.best_metric is None:
            raise ValueError(f"--resume {args.resume} has no epochs left of {experiment.num_epochs}; raise --epochs")
        when = f"epoch {saver.best_epoch + 1} of {experiment.num_epochs}"
        print(f"{args.eval_metric} {saver.best_metric:.4f}, {when}: {experiment.directory / BEST}")
    if experiment.machine.distributed:
        distributed.destroy_process_group()


def run_epoch(experiment: Run, epoch: int) -> None:
    args, machine = experiment.args, experiment.machine
    # Every epoch draws from its own seed, so that a resumed run goes on as an uninterrupted one.
    utils.random_seed(args.seed + epoch * machine.world_size, machine.rank)
    set_epoch(experiment, epoch)
    began = time.perf_counter()
    trained = train_epoch(experiment, epoch)
    if machine.distributed and args.dist_bn:
        utils.distribute_bn(experiment.model, machine.world_size, args.dist_bn == "reduce")
        if experiment.ema is not None and not args.model_ema_force_cpu:
            utils.distribute_bn(experiment.ema, machine.world_size, args.dist_bn == "reduce")
    seen = validate(experiment)
    check_weights(experiment, epoch, seen["loss"])
    rate = sum(group["lr"] for group in experiment.optimizer.param_groups) / len(experiment.optimizer.param_groups)
    if experiment.scheduler is not None:
        experiment.scheduler.step(epoch + 1, seen[args.eval_metric])
    if experiment.saver is not None:
        metrics = "  ".join(f"{name} {value:.2f}" for name, value in seen.items() if name != "loss")
        _log.info(
            f"epoch {epoch + 1}/{experiment.num_epochs}  loss {trained['loss']:.4f}  val loss {seen['loss']:.4f}  "
            f"{metrics}  lr {rate:.2e}  {time.perf_counter() - began:.1f} s"
        )
        record_epoch(experiment, epoch, trained, seen, rate)


def set_epoch(experiment: Run, epoch: int) -> None:
    loader, off = experiment.train_loader, experiment.args.mixup_off_epoch
    loader.set_epoch(epoch)
    if off and epoch >= off:
        loader.stop_mixing()


def record_epoch(experiment: Run, epoch: int, trained: dict, seen: dict, rate: float) -> None:
    """The checkpoint first: it holds the summary's row, which is added on resuming where the run ended in between."""
    row = {"epoch": epoch, "train_metrics": trained, "eval_metrics": seen, "lr": rate}
    experiment.saver.save_epoch(epoch, seen[experiment.args.eval_metric], row)
    write_row(experiment.directory / SUMMARY, row)
    if experiment.board is not None:
        for name, value in {**{f"train/{k}": v for k, v in trained.items()}, **seen, "lr": rate}.items():
            experiment.board.add_scalar(name, value, epoch)
        experiment.board.flush()


if __name__ == "__main__":
    sys.exit(main())
