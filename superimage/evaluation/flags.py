"""The flags of ``eval_video.py``."""

import argparse

from shards.cores import available_cores
from superimage.evaluation.averages import AVERAGES
from superimage.evaluation.orders import ORDERS
from superimage.training.command_line import Flag, KeyValues
from superimage.training.flags import MANY, check_mean_std

GROUPS = {
    "data": (
        Flag("--data-dir", str, None, "directory of super images"),
        Flag("--split", str, "validation", "split to evaluate"),
        Flag("--order", str, "normal", "order of the frames: as stored, reversed, or random", {"choices": ORDERS}),
        Flag("--seed", int, 0, "random seed of --order random"),
        Flag("--batch-size", int, 32, "number of views in one batch"),
        Flag(
            "--workers",
            int,
            min(2, available_cores()),
            "number of loader processes; by default 2, but at most the number of cores; 0 loads in the main process",
        ),
    ),
    "model": (
        Flag("--checkpoint", str, None, "checkpoint file to evaluate"),
        Flag("--model", str, None, "model name, needed if the checkpoint does not name its model"),
        Flag(
            "--model-kwargs",
            str,
            {},
            "extra arguments of the model constructor",
            {"nargs": "*", "action": KeyValues, "metavar": "KEY=VALUE"},
        ),
        Flag("--mean", float, None, "pixel mean of each channel, 0 to 1; by default the checkpoint's", MANY),
        Flag(
            "--std",
            float,
            None,
            "pixel standard deviation of each channel, 0 to 1; by default the checkpoint's",
            MANY,
        ),
        Flag("--allow-other-layout", bool, False, "accept data whose layout differs from the training data"),
        Flag("--no-ema", bool, False, "evaluate the plain weights even if the checkpoint holds averaged ones (EMA)"),
        Flag("--device", str, None, "device to evaluate on: cpu, cuda, cuda:1, ...; by default cuda if available"),
    ),
    "results": (
        Flag("--output", str, None, "directory for the results"),
        Flag(
            "--average",
            str,
            "logits",
            "how the views of a video are averaged: logits (softmax of the mean logits) or probabilities (mean of the "
            "softmax of each view)",
            {"choices": AVERAGES},
        ),
    ),
}


def check_numbers(args: argparse.Namespace) -> None:
    """Raise ValueError for a batch size, a number of workers, a mean or a std that is out of range."""
    for name, least in (("batch_size", 1), ("workers", 0)):
        if getattr(args, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be at least {least}")
    check_mean_std(args, channels=3)
