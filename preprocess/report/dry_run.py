"""The output of ``--dry-run``: the videos, the shards, the cost of the conversion, and training commands."""

import os
from collections.abc import Iterator

from preprocess.report.estimate import Estimate, Quantity
from preprocess.report.training_advice import (
    Readers,
    command_of_ours,
    command_of_timm,
    pads_for_timm,
    safe_workers,
    splits_to_train_on,
    warnings,
    what_an_epoch_is,
)
from preprocess.run.pipeline import Prepared
from shards.cores import available_cores

# A batch should take at least this many times as long as the start of its decoder process.
_STARTS_PER_BATCH = 10


def describe(prepared: Prepared, cost: Estimate, readers: Readers, *, shown_output: str) -> Iterator[str]:
    """The lines to print; ``shown_output`` is the output directory as the user wrote it."""
    yield from describe_cost(prepared, cost)
    yield from _training(prepared, cost, readers, shown_output)


def describe_cost(prepared: Prepared, cost: Estimate) -> Iterator[str]:
    """The lines on the videos, and on the disk space, time and memory for converting them."""
    for split, size in cost.splits.items():
        yield (
            f"{split}: {size.videos} videos of {size.classes} classes, {size.missing} missing; {size.views} views "
            f"each, {size.batches * size.views} shards of {size.videos / size.batches:.1f} samples in each layout"
        )
    yield f"estimate from the conversion of {cost.sampled} videos, of which {_failures(cost)}:"
    for layout, quantity in cost.bytes.items():
        yield f"  {layout}: {_range(quantity, 1e6, 'MB') if quantity.value < 1e9 else _range(quantity, 1e9, 'GB')}"
    cores = available_cores()
    hours = cost.cpu_seconds.value / 3600 / cores
    yield f"  CPU-hours: {_range(cost.cpu_seconds, 3600)}; on {_cores(cores)} here, {hours:.3g} hours"
    yield from _small_shards(prepared, cost)
    yield f"  memory of each worker: {cost.worker_bytes / 1e6:.0f} MB, and up to memory_limit_mb more for a large video"


def _failures(cost: Estimate) -> str:
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(cost.failures.items()))
    return f"{sum(cost.failures.values())} failed ({reasons})" if reasons else "none failed"


def _cores(count: int) -> str:
    return "the one core" if count == 1 else f"the {count} cores"


def _range(quantity: Quantity, unit: float, name: str = "") -> str:
    shown = f"{quantity.value / unit:.3g} {name}".strip()
    return f"{shown} ({quantity.low / unit:.3g} to {quantity.high / unit:.3g})"


def _small_shards(prepared: Prepared, cost: Estimate) -> Iterator[str]:
    """A hint if the start of a decoder process for each batch takes a large part of the time."""
    work = cost.cpu_seconds.value / len(prepared.batches)
    if work < _STARTS_PER_BATCH * cost.start_seconds:
        share = cost.start_seconds / (cost.start_seconds + work)
        yield (
            f"  small shards: the videos of a shard take {work:.2g} s, and the start of their decoder process takes "
            f"{cost.start_seconds:.1f} s, so {share:.0%} of the time is spent on starts; raise samples_per_shard "
            f"(now {prepared.job.config.samples_per_shard})"
        )


def _training(prepared: Prepared, cost: Estimate, readers: Readers, shown_output: str) -> Iterator[str]:
    config = prepared.job.config
    tars = {split: size.batches * size.views for split, size in cost.splits.items()}
    splits = splits_to_train_on(config)
    if splits is None:
        yield "no training command: the configuration has no split with mode: train"
        return
    train = splits[0]
    yield (
        f"timm's train.py: ranks x workers must divide {tars[train]}, the number of shards of {train}; train_image.py: "
        f"any number, if each rank gets at least one batch of the {cost.splits[train].videos} videos"
    )
    videos = {split: size.videos for split, size in cost.splits.items()}
    for warning in warnings({train: tars[train]}, videos, config, readers):
        yield f"warning: {warning}"
    if prepared.job.multi_label:
        yield "multi-label videos: train_image.py trains on all labels, timm's train.py only on the first of each video"
    workers, num_views = safe_workers([tars[train]], readers), cost.splits[train].views
    epochs = what_an_epoch_is(train, num_views, safe_workers([tars[train] // num_views], readers))
    if epochs:
        yield epochs
    for name, layout in config.layouts.items():
        directory = os.path.join(shown_output, name)
        yield f"to train on {name}:"
        yield f"  {command_of_ours(directory, layout, splits, readers)}"
        if workers is None:
            yield f"  not timm's train.py: {tars[train]} shards cannot be distributed evenly to {readers.ranks} GPUs"
        else:
            classes = len(prepared.job.class_names)
            numbers = {"num_classes": classes, "workers": workers, "num_views": num_views}
            yield "  " + command_of_timm(directory, layout, splits, readers, **numbers)
            if pads_for_timm(layout):
                yield f"  {pads_for_timm(layout)}"
