"""A whole conversion: read the lists, plan, convert the batches that are not finished, write the manifests."""

import contextlib
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from preprocess.annotations import read_listing
from preprocess.annotations.classes import untrained_after_failures
from preprocess.annotations.dataset import Dataset, missing_table
from preprocess.annotations.missing import why_missing
from preprocess.annotations.remote import RemoteFolders
from preprocess.annotations.subsets import build_dataset
from preprocess.config.schema import Config
from preprocess.plan import VideoBatch, plan_split
from preprocess.run.identity import identity_of
from preprocess.run.interruption import TO_GO_ON
from preprocess.run.lock import locked
from preprocess.run.output import Output
from preprocess.run.overview import MISSING_NAME, overview_lines
from preprocess.run.progress import Progress, emit_event, sinks_for
from preprocess.run.ray_pool import Observer, Workers, run_on_ray
from preprocess.worker.messages import Job, num_broken
from shards.records import Failure, Record
from shards.storage import exists, join, write_whole

Records = Mapping[str, Record]  # of one batch, by layout


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The outcome of a conversion. ``complete`` means that the manifests are written.

    ``untrained``: the classes that lost all their training videos.
    """

    num_videos: int
    failures: tuple[Failure, ...]
    allowed_failures: int
    missing: int
    complete: bool
    untrained: tuple[str, ...] = ()

    def reasons(self) -> Counter:
        return Counter(failure.reason for failure in self.failures)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A conversion that is planned. Nothing is written yet."""

    dataset: Dataset
    batches: list[VideoBatch]
    output: Output

    @property
    def job(self) -> Job:
        return self.output.job

    @property
    def num_videos(self) -> int:
        return sum(len(batch.videos) for batch in self.batches)

    @property
    def num_missing(self) -> int:
        return sum(len(self.dataset.missing[split]) for split in self.job.config.splits)

    @property
    def allowed_failures(self) -> int:
        """The number of videos that may fail: a share of all, but at least one unless the share is 0."""
        share = self.job.config.max_failures
        return max(1, int(share * self.num_videos)) if share else 0


def prepare(
    config: Config,
    *,
    source: Path,
    output: Path,
    videos_url: str | None = None,
    require_complete: bool = False,
    show: Callable[[str], None] = lambda line: None,
) -> Prepared:
    """Read the lists and plan the batches. ``show`` is called with each line of the overview of the data set.

    Raises ValueError for annotations that cannot be read, and with ``require_complete`` also for missing files.
    """
    dataset = read_dataset(config, source, videos_url=videos_url)
    for line in overview_lines(dataset, config, source):
        show(line)
    if require_complete and any(dataset.missing.get(split) for split in config.splits):
        raise ValueError("videos are missing, as listed above; get them, or leave out --require-complete")
    batches = plan(dataset, config)
    identity = identity_of(config, batches, dataset.class_names, dataset.subsets)
    job = Job(
        config=config,
        source=str(source.absolute()),
        output=str(output.absolute()),
        class_names=dataset.class_names,
        digest=identity.digest,
        videos_url=videos_url,
        subsets=dataset.subsets,
        multi_label=any(len(video.labels) > 1 for batch in batches for video in batch.videos),
    )
    return Prepared(dataset=dataset, batches=batches, output=Output(job=job, identity=identity))


def convert_dataset(
    prepared: Prepared,
    *,
    workers: Workers,
    progress: str = "none",
    retry_failed: bool = False,
    again: str = "the same command again",
) -> Summary:
    """Convert a data set, or continue an interrupted conversion.

    ``progress``: the value of ``--progress``. ``retry_failed``: convert the batches with failures again. ``again``:
    the command that continues the conversion; it is printed if the cluster is lost, and the process ends. Raises
    ValueError if the output belongs to another conversion or another run is writing to it, and OSError if the disk is
    full or fails.
    """
    output = prepared.output
    with locked(output.path):
        output.begin()
        table = missing_table(prepared.dataset, prepared.job.config.splits)
        write_whole(output.path / MISSING_NAME, table.encode("utf-8", "surrogateescape"))
        if retry_failed:
            output.forget([batch for batch in prepared.batches if num_broken(_failures_of(output.finished(batch)))])
        counter = Progress(total=prepared.num_videos, sinks=sinks_for(progress, output.path))
        observer = Observer(
            works=counter.works, waits=counter.waits, lost=partial(_report_loss, counter, progress, again)
        )
        try:
            records, failures = _run_pending(prepared, workers, counter, observer)
        finally:
            counter.finish()
        finished = [found for found in records if found is not None]
        is_complete = len(finished) == len(records) and num_broken(failures) <= prepared.allowed_failures
        if is_complete:
            output.complete(finished)
    return Summary(
        num_videos=prepared.num_videos,
        failures=tuple(failures),
        allowed_failures=prepared.allowed_failures,
        missing=prepared.num_missing,
        complete=is_complete,
        untrained=_untrained(prepared, records),
    )


def _report_loss(counter: Progress, progress: str, again: str, reason: str) -> None:
    counter.finish()
    if progress == "json":
        emit_event("end", complete=False, error=reason)
    print(f"preprocess: {reason}; {TO_GO_ON}, when Ray runs again:\n  {again}", file=sys.stderr)


def _run_pending(
    prepared: Prepared, workers: Workers, progress: Progress, observer: Observer
) -> tuple[list[Records | None], list[Failure]]:
    """Convert the unfinished batches, up to the allowed failures.

    Returns (the records of each batch or None, all failures). The workers' messages count, not what this machine sees
    on a shared disk, which may lag by some seconds.
    """
    batches = {(batch.split, batch.number): batch for batch in prepared.batches}
    records = {name: prepared.output.finished(batch) for name, batch in batches.items()}
    failures = {name: _failures_of(found) for name, found in records.items()}
    for name, found in records.items():
        if found is not None:
            progress.found(name, videos=len(batches[name].videos), failures=len(failures[name]))
    pending = [batch for name, batch in batches.items() if records[name] is None]
    too_many = sum(map(num_broken, failures.values())) > prepared.allowed_failures
    if pending and not too_many:
        with contextlib.closing(run_on_ray(prepared.job, pending, workers, observer)) as states:
            for batch, state in states:
                name = batch.split, batch.number
                failures[name] = state.failures
                records[name] = state.records or None
                progress.reached(name, videos=state.videos, failures=len(state.failures))
                if sum(map(num_broken, failures.values())) > prepared.allowed_failures:
                    break
    return list(records.values()), [failure for failed in failures.values() for failure in failed]


def _untrained(prepared: Prepared, records: Sequence[Records | None]) -> tuple[str, ...]:
    """Names of the classes with planned but without stored training videos, in the finished batches."""
    planned, stored = Counter(), Counter()
    for batch, found in zip(prepared.batches, records):
        if prepared.job.config.splits[batch.split].mode == "train":
            failed = {failure.video for failure in _failures_of(found)}
            for video in batch.videos:
                planned.update(video.labels)
                stored.update(() if video.key in failed else video.labels)
    return untrained_after_failures(prepared.job.class_names, planned, stored)


def _failures_of(records: Records | None) -> tuple[Failure, ...]:
    """The failures of a batch. The records of all layouts have the same ones."""
    return next(iter(records.values())).failures if records else ()


def read_dataset(config: Config, source: Path, *, videos_url: str | None = None) -> Dataset:
    """Read the lists, and find out which of their videos exist on disk or below ``videos_url``."""
    listing = read_listing(config.annotations, source, tuple(config.splits))
    return build_dataset(
        listing,
        source,
        subsets=config.subsets,
        only=config.only,
        flip_labels=config.flip_labels,
        remote=_remote(config, source, listing.class_names, videos_url) if videos_url else None,
    )


def _remote(config: Config, source: Path, class_names: Sequence[str], videos_url: str) -> RemoteFolders:
    return RemoteFolders(
        lambda path: exists(join(videos_url, path)),
        source=source,
        class_names=class_names,
        videos=getattr(config.annotations, "videos", "."),
    )


def plan(dataset: Dataset, config: Config) -> list[VideoBatch]:
    """Plan the batches of the configured splits.

    Raises ValueError for a split that the data set lacks or that has no video.
    """
    batches = []
    for split in config.splits:
        if split not in dataset.splits:
            raise ValueError(
                f"split {split!r} of the configuration is not in the data set: {', '.join(dataset.splits)}"
            )
        if not dataset.splits[split]:
            missing = dataset.missing[split]
            why = why_missing(missing[0].path) if missing else ""
            shown = f": {missing[0].path}{f' ({why})' if why else ''}, for one" if missing else ""
            raise ValueError(
                f"split {split!r} has no video on the disk ({len(missing)} are listed{shown}); check --source"
            )
        batches += plan_split(
            split, dataset.splits[split], samples_per_shard=config.samples_per_shard, seed=config.seed
        )
    return batches
