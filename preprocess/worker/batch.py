"""Convert one video batch: decode its videos in the sandbox, and write shards, statistics and records. Knows no Ray."""

import contextlib
import dataclasses
import platform
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from preprocess import reasons
from preprocess.annotations.dataset import Video
from preprocess.annotations.subsets import OUTSIDE
from preprocess.plan import VideoBatch
from preprocess.worker.messages import Job, VideoResult
from preprocess.worker.node_check import refuse_unfit_directories, refuse_unseen_videos
from preprocess.worker.sandbox import Sandbox
from preprocess.worker.statistics import BatchStatistics, VideoStatistics, statistics_of
from shards.format import shard_name, subset_field
from shards.records import Failure, Record, Tar
from shards.storage import remove_partial_files
from shards.write import Member, ShardWriter, members_of, open_shard

_SECONDS_BETWEEN_STATES = 1.0


@dataclass(frozen=True, kw_only=True)
class BatchState:
    """The progress of a batch. ``videos`` are finished, and ``failures`` of them were skipped.

    The last state also has the records, by layout.
    """

    videos: int
    failures: tuple[Failure, ...]
    records: Mapping[str, Record] = field(default_factory=dict)


def write_batch(job: Job, batch: VideoBatch, gone: frozenset[str] = frozenset()) -> Iterator[BatchState]:
    """Write the shards of all layouts and views, then the statistics, then a record for each layout.

    A video that fails is in none of the shards, so that every view has the same videos in the same order. ``gone``
    names the files that the driver no longer sees either. They count as failed videos. OSError (a full disk) and
    UnfitNodeError (this node does not see the output, the source or a video that the driver saw) leave no partial
    shard and no record.
    """
    refuse_unfit_directories(job)
    refuse_unseen_videos(job, batch.videos, gone)
    began = last_report = time.monotonic()
    with _OpenShards(job, batch) as tars, Sandbox(job) as sandbox:
        for number, video in enumerate(batch.videos, 1):
            result = sandbox.result_of(batch.split, video)
            if result.failure:  # the disk with the videos may have been lost since the batch began
                refuse_unseen_videos(job, [video], gone)
            tars.add(video, result)
            if time.monotonic() - last_report > _SECONDS_BETWEEN_STATES:
                last_report = time.monotonic()
                yield BatchState(videos=number, failures=tuple(tars.failures))
    tars.statistics(time.monotonic() - began).write(Path(job.output))
    records = {layout: tars.record(layout) for layout in job.config.layouts}
    for layout, record in records.items():
        record.write(Path(job.output) / layout)
    yield BatchState(videos=len(batch.videos), failures=tuple(tars.failures), records=records)


class _OpenShards:
    """The shards of one batch, one for each layout and view. At the end of the ``with`` block all are complete, or
    none exists.
    """

    def __init__(self, job: Job, batch: VideoBatch):
        self._job = job
        self._batch = batch
        self._views = range(job.config.splits[batch.split].num_views)
        self._stack = contextlib.ExitStack()
        self._writers: dict[tuple[str, int], ShardWriter] = {}
        self._subsets: defaultdict[tuple[str, int], Counter] = defaultdict(Counter)
        self._videos: list[VideoStatistics] = []
        self.failures: list[Failure] = []

    def __enter__(self) -> "_OpenShards":
        with contextlib.ExitStack() as stack:
            for layout in self._job.config.layouts:
                for view in self._views:
                    directory, name = Path(self._job.output) / layout, self._name(view)
                    # Left by a worker that was killed. In a job of days such files would fill the disk.
                    remove_partial_files(directory, name)
                    self._writers[layout, view] = stack.enter_context(open_shard(directory / name))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> bool | None:
        return self._stack.__exit__(*exception)

    def add(self, video: Video, result: VideoResult) -> None:
        """Write a video's samples. If a sample does not fit into a tar, its video fails, not the conversion."""
        members: dict[tuple[str, int], tuple[Member, ...]] = {}
        failure = result.failure
        if failure is None:
            try:
                members = self._members(result)
            except (ValueError, TypeError) as error:
                detail = f"its samples cannot be written: {error}"
                failure = Failure(video=video.key, path=video.path, reason=reasons.UNEXPECTED, detail=detail)
        self._videos.append(statistics_of(video, dataclasses.replace(result, failure=failure)))
        if failure:
            self.failures.append(failure)
        for tar, sample_members in members.items():
            self._writers[tar].add_members(sample_members)
            metadata = result.samples[tar].metadata
            self._subsets[tar].update(name for name in self._job.subsets if metadata[subset_field(name)] != OUTSIDE)

    def _members(self, result: VideoResult) -> dict[tuple[str, int], tuple[Member, ...]]:
        """Build the tar members of all samples before any is written, so that all shards hold the same videos."""
        samples = result.samples
        if samples.keys() != self._writers.keys():
            raise ValueError(f"{len(samples)} samples instead of {len(self._writers)}, one for each layout and view")
        return {tar: members_of(sample) for tar, sample in samples.items()}

    def statistics(self, wall_seconds: float) -> BatchStatistics:
        return BatchStatistics(
            split=self._batch.split,
            number=self._batch.number,
            node=platform.node(),
            wall_seconds=round(wall_seconds, 3),
            videos=tuple(self._videos),
        )

    def record(self, layout: str) -> Record:
        self._check_counts(layout)
        return Record(
            split=self._batch.split,
            number=self._batch.number,
            digest=self._job.digest,
            tars=tuple(self._tar(layout, view) for view in self._views),
            failures=tuple(self.failures),
        )

    def _check_counts(self, layout: str) -> None:
        """Check that planned videos = stored videos + failures, in every shard."""
        stored = len(self._batch.videos) - len(self.failures)
        for view in self._views:
            written = self._writers[layout, view].num_samples
            if written != stored or len(self._videos) != len(self._batch.videos):
                raise RuntimeError(
                    f"{layout}/{self._name(view)}: {written} samples were written, but {len(self._batch.videos)} "
                    f"videos less {len(self.failures)} failures make {stored}; please report this bug"
                )

    def _tar(self, layout: str, view: int) -> Tar:
        writer = self._writers[layout, view]
        return Tar(
            name=self._name(view),
            sha256=writer.sha256,
            bytes=writer.num_bytes,
            samples=writer.num_samples,
            subsets=dict(self._subsets[layout, view]),
        )

    def _name(self, view: int) -> str:
        return shard_name(self._batch.split, view, self._batch.number)
