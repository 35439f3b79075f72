"""One planned shard: its videos through the sandbox into tars, facts and records. Knows no Ray."""

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
from preprocess.plan import PlannedShard
from preprocess.worker.facts import ShardFacts, VideoFacts, facts_of
from preprocess.worker.machine import refuse_unfit_directories, refuse_unseen_videos
from preprocess.worker.messages import Converted, Job
from preprocess.worker.sandbox import Sandbox
from shards.format import shard_name, subset_field
from shards.records import Failure, Record, Tar
from shards.storage import remove_partial_files
from shards.write import Member, ShardWriter, members_of, open_shard

_SECONDS_BETWEEN_STATES = 1.0


@dataclass(frozen=True, kw_only=True)
class ShardState:
    """How far a shard is: ``videos`` are done, ``failures`` among them. The last state has the records, by layout."""

    videos: int
    failures: tuple[Failure, ...]
    records: Mapping[str, Record] = field(default_factory=dict)


def convert_shard(job: Job, shard: PlannedShard, gone: frozenset[str] = frozenset()) -> Iterator[ShardState]:
    """Write the tars of all layouts and views, the facts, then a record in each layout's directory.

    A video that fails is in none of the tars, so that every view has the same videos in the same order. ``gone`` names
    the files that even the driver no longer sees: they count as failed videos. OSError (a full disk) and
    UnfitMachineError (this machine does not see the output, the source or a video that the driver saw) leave no tar
    half-written and no record behind.
    """
    refuse_unfit_directories(job)
    refuse_unseen_videos(job, shard.videos, gone)
    began = last_told = time.monotonic()
    with _OpenShard(job, shard) as tars, Sandbox(job) as sandbox:
        for number, video in enumerate(shard.videos, 1):
            converted = sandbox.convert(shard.split, video)
            if converted.failure:  # perhaps because the disk with the videos was lost since the shard began
                refuse_unseen_videos(job, [video], gone)
            tars.add(video, converted)
            if time.monotonic() - last_told > _SECONDS_BETWEEN_STATES:
                last_told = time.monotonic()
                yield ShardState(videos=number, failures=tuple(tars.failures))
    tars.facts(time.monotonic() - began).write(Path(job.output))
    records = {layout: tars.record(layout) for layout in job.config.layouts}
    for layout, record in records.items():
        record.write(Path(job.output) / layout)
    yield ShardState(videos=len(shard.videos), failures=tuple(tars.failures), records=records)


class _OpenShard:
    """The tars of one shard, one for each layout and view: all are whole at the end of the ``with``, or none is."""

    def __init__(self, job: Job, shard: PlannedShard):
        self._job = job
        self._shard = shard
        self._views = range(job.config.splits[shard.split].num_views)
        self._stack = contextlib.ExitStack()
        self._writers: dict[tuple[str, int], ShardWriter] = {}
        self._subsets: defaultdict[tuple[str, int], Counter] = defaultdict(Counter)
        self._videos: list[VideoFacts] = []
        self.failures: list[Failure] = []

    def __enter__(self) -> "_OpenShard":
        with contextlib.ExitStack() as stack:
            for layout in self._job.config.layouts:
                for view in self._views:
                    directory, name = Path(self._job.output) / layout, self._name(view)
                    # Of a worker that was killed over this shard: in a job of days they would fill the disk.
                    remove_partial_files(directory, name)
                    self._writers[layout, view] = stack.enter_context(open_shard(directory / name))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> bool | None:
        return self._stack.__exit__(*exception)

    def add(self, video: Video, converted: Converted) -> None:
        """Write a video's samples. A sample that no tar can hold fails its video, and not the job."""
        members: dict[tuple[str, int], tuple[Member, ...]] = {}
        failure = converted.failure
        if failure is None:
            try:
                members = self._members(converted)
            except (ValueError, TypeError) as error:
                detail = f"its samples cannot be written: {error}"
                failure = Failure(video=video.key, path=video.path, reason=reasons.UNEXPECTED, detail=detail)
        self._videos.append(facts_of(video, dataclasses.replace(converted, failure=failure)))
        if failure:
            self.failures.append(failure)
        for tar, sample_members in members.items():
            self._writers[tar].add_members(sample_members)
            metadata = converted.samples[tar].metadata
            self._subsets[tar].update(name for name in self._job.subsets if metadata[subset_field(name)] != OUTSIDE)

    def _members(self, converted: Converted) -> dict[tuple[str, int], tuple[Member, ...]]:
        """The members of all samples, before any is written, so that all tars hold the same videos."""
        samples = converted.samples
        if samples.keys() != self._writers.keys():
            raise ValueError(f"{len(samples)} samples instead of {len(self._writers)}, one for each layout and view")
        return {tar: members_of(sample) for tar, sample in samples.items()}

    def facts(self, wall_seconds: float) -> ShardFacts:
        return ShardFacts(
            split=self._shard.split,
            number=self._shard.number,
            machine=platform.node(),
            wall_seconds=round(wall_seconds, 3),
            videos=tuple(self._videos),
        )

    def record(self, layout: str) -> Record:
        self._check_counts(layout)
        return Record(
            split=self._shard.split,
            number=self._shard.number,
            digest=self._job.digest,
            tars=tuple(self._tar(layout, view) for view in self._views),
            failures=tuple(self.failures),
        )

    def _check_counts(self, layout: str) -> None:
        """Videos planned = videos stored + failures, in every tar."""
        stored = len(self._shard.videos) - len(self.failures)
        for view in self._views:
            written = self._writers[layout, view].num_samples
            if written != stored or len(self._videos) != len(self._shard.videos):
                raise RuntimeError(
                    f"{layout}/{self._name(view)}: {written} samples were written, but {len(self._shard.videos)} "
                    f"videos less {len(self.failures)} failures make {stored}; please report this fault of the program"
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
        return shard_name(self._shard.split, view, self._shard.number)
