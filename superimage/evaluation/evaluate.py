"""Evaluates a checkpoint: loads the model and the data, predicts every view, writes the results."""

import argparse
import logging
import os
import shlex
import sys
from pathlib import Path

import torch
from timm import utils

from shards.allocator import keep_freed_memory
from shards.format import Manifest, read_manifest
from shards.program import shown_command
from shards.storage import local_path
from superimage.evaluation.averages import check_views
from superimage.evaluation.checkpoint import Trained, load_trained
from superimage.evaluation.flags import check_numbers
from superimage.evaluation.outputs import table
from superimage.evaluation.predict import predict
from superimage.evaluation.results import RESULTS, add_picture, describe_inputs, find_results, summarize, write_results
from superimage.evaluation.view_dataset import ViewDataset, expected_views
from superimage.training.command_line import one_line
from superimage.training.device_env import pick_device
from superimage.training.device_memory import memory_line, ran_out_of_memory
from superimage.training.interruption import INTERRUPTED, release_frames, workers_ignore_interrupts

_log = logging.getLogger("eval_video")


def evaluate(args: argparse.Namespace) -> int:
    """Evaluate as the flags say, and print a table.

    Returns the exit status: 0 if every video was evaluated, 2 after a user error, which is printed in one line, and 130
    after Ctrl-C.
    """
    try:
        with workers_ignore_interrupts():
            keep_freed_memory()
            utils.setup_default_logging()
            logging.getLogger("timm").setLevel(logging.WARNING)
            results = find_or_compute(args, *build(args))
    except (ValueError, OSError) as error:
        print(f"eval_video: {one_line(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if not ran_out_of_memory(error):
            raise
        print(f"eval_video: {memory_line(error, f'Lower --batch-size {args.batch_size}')}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        release_frames(error)
        print("\neval_video: interrupted; no results were written. Give the same command again", file=sys.stderr)
        return INTERRUPTED
    print(table(results))
    _show_next(args)
    return 0


def _show_next(args: argparse.Namespace) -> None:
    """Print the command that evaluates reversed frames, which shows how much the model relies on time."""
    if args.order == "normal":
        words = ["--checkpoint", args.checkpoint, "--data-dir", args.data_dir, "--split", args.split]
        words += ["--order", "reverse", "--output", f"{args.output.rstrip('/')}-reverse"]
        print(f"next: {shlex.join([*shown_command('eval'), *words])}", file=sys.stderr)


def build(args: argparse.Namespace) -> tuple[Manifest, Trained, torch.device]:
    """Return the manifest, the model with its weights, and the device. Raises ValueError if they do not match."""
    for name in ("checkpoint", "data_dir", "output"):
        if getattr(args, name) is None:
            raise ValueError(f"--{name.replace('_', '-')} is required")
    check_numbers(args)
    check_output(local_path(args.output))
    device = torch.device(pick_device(args.device))
    manifest = read_manifest(args.data_dir)
    if manifest is None:
        raise ValueError(f"--data-dir {args.data_dir}: no manifest of super images; give the directory of a layout")
    manifest = manifest.for_split(args.split)
    trained = load_trained(
        Path(args.checkpoint),
        manifest,
        model=args.model,
        model_kwargs=args.model_kwargs,
        use_ema=not args.no_ema,
        mean=args.mean,
        std=args.std,
        allow_other_layout=args.allow_other_layout,
    )
    for note in trained.notes:
        _log.warning(note)
    return manifest, trained, device


def check_output(output: Path) -> None:
    """Raise ValueError if no results can be written there. Called before the evaluation, which may take hours."""
    there = next(path for path in (output, *output.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"--output {output}: {there} is not a directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"--output {output}: no permission to write to {there}")


def find_or_compute(args: argparse.Namespace, manifest: Manifest, trained: Trained, device: torch.device) -> dict:
    """Return the stored results if their inputs are the same; otherwise compute and write them."""
    output, inputs = local_path(args.output), describe_inputs(args, manifest, trained)
    done = find_results(output, inputs)
    if done is not None:
        _log.info(f"already evaluated: {output / RESULTS}")
        add_picture(output, done, manifest)
        return done
    when = "" if trained.epoch is None else f" of epoch {trained.epoch}"
    _log.info(f"{trained.model_name}, {trained.weights}{when}, on {device}")
    views = ViewDataset(
        args.data_dir,
        manifest,
        args.split,
        trained=trained,
        order=args.order,
        seed=args.seed,
        batch_size=args.batch_size,
    )
    scored = predict(views, trained.model, device, batch_size=args.batch_size, workers=args.workers)
    check_views({video: scores.logits for video, scores in scored.items()}, expected_views(manifest, args.split))
    results, predictions = summarize(scored, manifest, args, inputs)
    write_results(output, results, predictions, manifest)
    return results
