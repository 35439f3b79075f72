"""Training on multi-label data, such as Charades and Multi-Moments in Time: loss, metric and checks of the flags."""

import argparse
from collections.abc import Collection

from shards.format import Manifest
from shards.timm_reader import ShardReader

# The metrics that validation computes; the first is the default.
_SINGLE_LABEL_METRICS, _MULTI_LABEL_METRICS = ("top1", "top5", "loss"), ("map", "loss")


def fit_to_labels(
    args: argparse.Namespace, explicit: Collection[str], manifest: Manifest | None
) -> tuple[argparse.Namespace, list[str]]:
    """Set the flags that depend on the number of labels; returns the flags and a line for each change.

    Multi-label data sets ``--bce-loss`` and ``--eval-metric map``. Raises ValueError for an ``--eval-metric`` that
    cannot be computed from the data.
    """
    multi_label = manifest is not None and manifest.multi_label
    metrics = _MULTI_LABEL_METRICS if multi_label else _SINGLE_LABEL_METRICS
    chosen = {"bce_loss": True, "eval_metric": "map"} if multi_label else {}
    chosen = {name: value for name, value in chosen.items() if name not in explicit}
    args = argparse.Namespace(**{**vars(args), **chosen})
    if args.eval_metric not in metrics:
        raise ValueError(
            f"--eval-metric {args.eval_metric}: {'multi' if multi_label else 'single'}-label data is measured by "
            f"{' or '.join(metrics)}; give one of them, or leave --eval-metric out"
        )
    notes = [f"multi-label data: --{name.replace('_', '-')} {value}" for name, value in chosen.items()]
    if multi_label:
        notes.append("multi-label data: targets are multi-hot, and map is the mean average precision in percent")
    return args, notes


def check_split_labels(reader: ShardReader, manifest: Manifest) -> None:
    """Raise ValueError unless both splits are multi-label or neither is. Subsets are always single-label."""
    if reader.multi_label != manifest.multi_label:
        kinds = ("multi-label", "single-label, as all subsets are")
        validation, train = kinds if reader.multi_label else kinds[::-1]
        raise ValueError(
            f"--val-split {reader.split.name} is {validation}, but --train-split is {train}; give splits of one kind"
        )
