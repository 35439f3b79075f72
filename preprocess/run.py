"""The only door to Ray: shards to workers, bounded in flight, with progress; and the course of a whole conversion."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from preprocess.annotations.dataset import Dataset
from preprocess.annotations.subsets import build_dataset
from preprocess.config import Config
from preprocess.convert import Job, convert_shard
from preprocess.output import begin, complete, finished_records, identity_of
from preprocess.plan import PlannedShard, plan_split
from shards.records import Failure, Record

_IN_FLIGHT_PER_WORKER = 2
_OBJECT_STORE_BYTES = 100 << 20  # results are small, and Ray would take a third of the memory


@dataclass(frozen=True, kw_only=True)
class Summary:
    """How a conversion ended. ``complete`` means that the manifests are written."""

    num_videos: int
    failures: tuple[Failure, ...]
    allowed_failures: int
    missing: int
    complete: bool

    def reasons(self) -> Counter:
        return Counter(failure.reason for failure in self.failures)


def run(config: Config, *, source: Path, output: Path, workers: int, require_complete: bool = False) -> Summary:
    """Convert a data set, or go on with a conversion that was interrupted.

    Raises ValueError for annotations that cannot be read, an output that is not ours, and files that are listed but
    missing where ``require_complete``; OSError for a full disk.
    """
    dataset = read_dataset(config, source)
    _tell_what_is_there(dataset, config)
    if require_complete and any(dataset.missing.get(split) for split in config.splits):
        raise ValueError("videos are missing, as listed above; get them, or leave out --require-complete")
    shards = plan(dataset, config)
    identity = identity_of(config, shards, dataset.class_names)
    begin(output, config, identity)
    job = Job(
        config=config,
        source=str(source.absolute()),
        output=str(output.absolute()),
        class_names=dataset.class_names,
        digest=identity.digest,
        subsets=dataset.subsets,
        multi_label=any(len(video.labels) > 1 for shard in shards for video in shard.videos),
    )
    num_videos = sum(len(shard.videos) for shard in shards)
    allowed = max(1, int(config.max_failures * num_videos))
    failures = _convert_pending(job, shards, workers=workers, allowed_failures=allowed)
    records = [finished_records(job, shard) for shard in shards]
    done = None not in records and len(failures) <= allowed
    if done:
        complete(job, {layout: [by_layout[layout] for by_layout in records] for layout in config.layouts})
    missing = sum(len(dataset.missing[split]) for split in config.splits)
    return Summary(
        num_videos=num_videos,
        failures=tuple(failures),
        allowed_failures=allowed,
        missing=missing,
        complete=done,
    )


def read_dataset(config: Config, source: Path) -> Dataset:
    """What the lists name and what of it is on the disk."""
    listing = config.annotations.read(source)
    return build_dataset(listing, source, subsets=config.subsets, only=config.only, flip_labels=config.flip_labels)


def plan(dataset: Dataset, config: Config) -> list[PlannedShard]:
    """All shards of the configured splits; ValueError for a split that the data set lacks or that holds no video."""
    shards = []
    for split in config.splits:
        if split not in dataset.splits:
            raise ValueError(
                f"split {split!r} of the configuration is not in the data set: {', '.join(dataset.splits)}"
            )
        if not dataset.splits[split]:
            raise ValueError(
                f"split {split!r} has no video on the disk ({len(dataset.missing[split])} are listed); check --source"
            )
        shards += plan_split(split, dataset.splits[split], samples_per_shard=config.samples_per_shard, seed=config.seed)
    return shards


def _tell_what_is_there(dataset: Dataset, config: Config) -> None:
    for note in (*config.notes, *dataset.notes):
        print(f"note: {note}", file=sys.stderr)
    for split in config.splits:
        missing = dataset.missing.get(split, ())
        print(f"{split}: {len(dataset.splits.get(split, ()))} videos, {len(missing)} missing", file=sys.stderr)
        for row in missing[:5]:
            print(f"  missing: {row.path} (listed at {row.where})", file=sys.stderr)
        if len(missing) > 5:
            print(f"  and {len(missing) - 5} more", file=sys.stderr)


def _convert_pending(job: Job, shards: list[PlannedShard], *, workers: int, allowed_failures: int) -> list[Failure]:
    """Convert what is not yet there; returns all shards' failures, old and new. Stops above the allowed number."""
    failures: list[Failure] = []
    pending = []
    with tqdm(total=sum(len(shard.videos) for shard in shards), unit="video", file=sys.stderr) as bar:
        for shard in shards:
            records = finished_records(job, shard)
            if records is None:
                pending.append(shard)
            else:
                failures += _failures_of(records)
                # Not update(): what an earlier run did is no part of this one's rate.
                bar.initial += len(shard.videos)
                bar.n += len(shard.videos)
        bar.set_postfix(failures=len(failures))
        if not pending or len(failures) > allowed_failures:
            return failures
        for shard, new_failures in _on_ray(job, pending, workers):
            failures += new_failures
            bar.update(len(shard.videos))
            bar.set_postfix(failures=len(failures))
            if len(failures) > allowed_failures:
                break
    return failures


def _failures_of(records: dict[str, Record]) -> tuple[Failure, ...]:
    """Every layout's record tells the same failures."""
    return next(iter(records.values())).failures


def _on_ray(job: Job, shards: list[PlannedShard], workers: int) -> Iterator[tuple[PlannedShard, tuple[Failure, ...]]]:
    """Each shard with its failures, as they are done. A worker that dies is replaced and its shard tried again."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray  # here and not above: it takes a second, and --help should not

    ray.init(
        num_cpus=workers,
        include_dashboard=False,
        object_store_memory=_OBJECT_STORE_BYTES,
        logging_level="warning",
    )
    try:
        task = ray.remote(num_cpus=1, max_retries=3)(convert_shard)
        job_reference = ray.put(job)
        waiting = iter(shards)
        running = {}
        while True:
            while len(running) < workers * _IN_FLIGHT_PER_WORKER and (shard := next(waiting, None)) is not None:
                running[task.remote(job_reference, shard)] = shard
            if not running:
                return
            (finished,), _ = ray.wait(list(running), num_returns=1)
            try:
                failures = ray.get(finished)
            except ray.exceptions.RayTaskError as error:
                raise error.as_instanceof_cause() from error
            yield running.pop(finished), failures
    finally:
        ray.shutdown()
