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
        Flag("--order", str, "normal", "order of the tiles in time", {"choices": ORDERS}),
        Flag("--seed", int, 0, "seed of --order random"),
        Flag("--batch-size", int, 32, "views in one step"),
        Flag(
            "--workers",
            int,
            min(2, available_cores()),
            "loader processes, by default 2 or the number of cores if that is less; 0 loads in the main process",
        ),
    ),
    "model": (
        Flag("--checkpoint", str, None, "checkpoint to evaluate"),
        Flag("--model", str, None, "name of the model, if the checkpoint does not hold it"),
        Flag(
            "--model-kwargs",
            str,
            {},
            "further arguments of the model",
            {"nargs": "*", "action": KeyValues, "metavar": "KEY=VALUE"},
        ),
        Flag("--mean", float, None, "pixel mean of each channel, 0 to 1; by default that of the checkpoint", MANY),
        Flag(
            "--std",
            float,
            None,
            "pixel standard deviation of each channel, 0 to 1; by default that of the checkpoint",
            MANY,
        ),
        Flag("--allow-other-layout", bool, False, "accept data with another layout of tiles than in training"),
        Flag("--no-ema", bool, False, "evaluate the plain weights even if the checkpoint holds their average (EMA)"),
        Flag("--device", str, None, "device to evaluate on: cpu, cuda, cuda:1, ...; by default cuda if there is one"),
    ),
    "results": (
        Flag("--output", str, None, "directory for the results"),
        Flag(
            "--average",
            str,
            "logits",
            "what is averaged over the views of a video: logits (softmax of the mean logits) or probabilities (mean of "
            "the softmax of each view)",
            {"choices": AVERAGES},
        ),
    ),
}


def check_numbers(args: argparse.Namespace) -> None:
    """ValueError for numbers that no evaluation can have."""
    for name, least in (("batch_size", 1), ("workers", 0)):
        if getattr(args, name) < least:
            raise ValueError(f"--{name.replace('_', '-')} {getattr(args, name)}: must be at least {least}")
    check_mean_std(args, channels=3)
