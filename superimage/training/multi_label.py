"""What several labels a sample ask of a trainer, as Charades and Multi-Moments in Time have them."""

import argparse
from collections.abc import Collection

from shards.format import Manifest
from shards.timm_reader import ShardReader

# What validation tells of a data set, the first unless another is asked for.
_ONE_LABEL, _SEVERAL_LABELS = ("top1", "top5", "loss"), ("map", "loss")


def fit_to_labels(
    args: argparse.Namespace, explicit: Collection[str], manifest: Manifest | None
) -> tuple[argparse.Namespace, list[str]]:
    """The flags for one or several labels a sample, and a line for all that several change.

    Several: ``--bce-loss`` and ``--eval-metric map``. ValueError for an ``--eval-metric`` that the data does not have.
    """
    several = manifest is not None and manifest.multi_label
    metrics = _SEVERAL_LABELS if several else _ONE_LABEL
    chosen = {"bce_loss": True, "eval_metric": "map"} if several else {}
    chosen = {name: value for name, value in chosen.items() if name not in explicit}
    args = argparse.Namespace(**{**vars(args), **chosen})
    if args.eval_metric not in metrics:
        raise ValueError(
            f"--eval-metric {args.eval_metric}: the data has {'several labels' if several else 'one label'} a sample, "
            f"which is measured by {' or '.join(metrics)}; give one of them, or leave it out"
        )
    notes = [f"several labels a sample: --{name.replace('_', '-')} {value}" for name, value in chosen.items()]
    if several:
        notes.append("several labels a sample: targets are multi-hot, and map is the mean average precision in percent")
    return args, notes


def check_split_labels(reader: ShardReader, manifest: Manifest) -> None:
    """ValueError for a split to validate on that has one label a sample, as a sub-set has, or the other way round."""
    if reader.multi_label != manifest.multi_label:
        several, one = "several labels a sample", "one, as a sub-set has"
        told, other = (several, one) if reader.multi_label else (one, several)
        raise ValueError(f"--val-split {reader.split.name} has {told}, --train-split {other}; give two that agree")
