"""Training without validation: the checkpoint of the lowest training loss is the best one."""

import argparse
from collections.abc import Collection

from shards.format import Manifest

METRIC = "loss"


def fit_to_validation(
    args: argparse.Namespace, explicit: Collection[str], manifest: Manifest | None
) -> tuple[argparse.Namespace, list[str]]:
    """The flags with ``--val-split ''`` where super images have no split to validate on, and lines that say so.

    ValueError where ``--eval-metric`` asks for what only validation can measure.
    """
    lacks_split = manifest is not None and not args.dataset and args.val_split not in manifest.splits
    if not args.val_split:
        reason = "--val-split is empty"
    elif lacks_split and "val_split" not in explicit:
        reason = f"the data has no split {args.val_split!r}"
    else:
        return args, []
    if "eval_metric" in explicit and args.eval_metric != METRIC:
        raise ValueError(f"--eval-metric {args.eval_metric} needs validation, but {reason}; leave it out")
    note = f"{reason}: training without validation, so the best checkpoint is that of the lowest training loss"
    return argparse.Namespace(**{**vars(args), "val_split": "", "eval_metric": METRIC}), [note]
