"""Training without validation. The best checkpoint is the one with the lowest training loss."""

import argparse
from collections.abc import Collection

from shards.format import Manifest

METRIC = "loss"


def fit_to_validation(
    args: argparse.Namespace, explicit: Collection[str], manifest: Manifest | None
) -> tuple[argparse.Namespace, list[str]]:
    """Set ``--val-split ''`` if super images have no validation split; returns the flags and lines about it.

    Raises ValueError if ``--eval-metric`` needs validation.
    """
    lacks_split = manifest is not None and not args.dataset and args.val_split not in manifest.splits
    if not args.val_split:
        reason = "--val-split is empty"
    elif lacks_split and "val_split" not in explicit:
        reason = f"the data has no split {args.val_split!r}"
    else:
        return args, []
    if "eval_metric" in explicit and args.eval_metric != METRIC:
        raise ValueError(f"--eval-metric {args.eval_metric} needs validation, but {reason}; leave --eval-metric out")
    note = f"{reason}: training without validation; the best checkpoint is the one with the lowest training loss"
    return argparse.Namespace(**{**vars(args), "val_split": "", "eval_metric": METRIC}), [note]
