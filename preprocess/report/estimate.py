"""Estimates the cost of a conversion by converting a sample of its videos. The results are discarded."""

import io
import math
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from preprocess.annotations.dataset import Video
from preprocess.run.pipeline import Prepared
from preprocess.worker.messages import VideoResult
from preprocess.worker.sandbox import Sandbox, peak_memory_bytes
from shards.write import ShardWriter

_LEAST_PER_SPLIT = 4
_TAR_END_BYTES = 6144  # two empty blocks, and on average half of a record of 10240 bytes
_STANDARD_ERRORS = 2  # roughly a 95 % confidence interval


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """An estimate and its confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class SplitSize:
    """The size of a split, which is known without decoding."""

    videos: int
    missing: int
    classes: int
    batches: int
    views: int


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """The cost of a conversion: ``bytes`` by layout, and ``cpu_seconds`` for all videos.

    ``failures`` counts the failures of the sample by reason. ``worker_bytes`` is the peak memory of a worker: the
    decoder process and Ray's worker process. ``start_seconds`` is the start time of a decoder process; each batch
    starts one.
    """

    splits: Mapping[str, SplitSize]
    sampled: int
    failures: Mapping[str, int]
    bytes: Mapping[str, Quantity]
    cpu_seconds: Quantity
    worker_bytes: int
    start_seconds: float


def estimate(prepared: Prepared, *, num_samples: int) -> Estimate:
    """Convert ``num_samples`` videos from all splits, at least four of each, and extrapolate."""
    with Sandbox(prepared.job) as sandbox:
        began = time.monotonic()
        sandbox.start()
        start_seconds = time.monotonic() - began
        measured = {
            split: [sandbox.result_of(split, video) for video in videos]
            for split, videos in choose(prepared, num_samples).items()
        }
        peak = sandbox.peak_memory_bytes()
    everything = [result for split in measured.values() for result in split]
    sizes = {split: _size_of(prepared, split) for split in prepared.job.config.splits}
    return Estimate(
        splits=sizes,
        sampled=len(everything),
        failures=Counter(result.failure.reason for result in everything if result.failure),
        bytes={layout: _bytes_of_layout(layout, measured, sizes) for layout in prepared.job.config.layouts},
        cpu_seconds=_cpu_seconds(measured, sizes),
        worker_bytes=peak + _ray_worker_bytes(),
        start_seconds=start_seconds,
    )


def choose(prepared: Prepared, num_samples: int) -> dict[str, list[Video]]:
    """Random videos of each split, in proportion to its size, drawn with the seed of the configuration."""
    by_split: dict[str, list[Video]] = defaultdict(list)
    for batch in prepared.batches:
        by_split[batch.split].extend(batch.videos)
    rng = random.Random(f"{prepared.job.config.seed} estimate")
    return {
        split: rng.sample(
            videos, min(max(num_samples * len(videos) // prepared.num_videos, _LEAST_PER_SPLIT), len(videos))
        )
        for split, videos in by_split.items()
    }


def _size_of(prepared: Prepared, split: str) -> SplitSize:
    videos = prepared.dataset.splits[split]
    return SplitSize(
        videos=len(videos),
        missing=len(prepared.dataset.missing[split]),
        classes=len({label for video in videos for label in video.labels}),
        batches=sum(batch.split == split for batch in prepared.batches),
        views=prepared.job.config.splits[split].num_views,
    )


def _bytes_of_layout(
    layout: str, measured: Mapping[str, Sequence[VideoResult]], sizes: Mapping[str, SplitSize]
) -> Quantity:
    per_video = {split: [_tar_bytes(one, layout) for one in some] for split, some in measured.items()}
    total = _scaled(per_video, sizes)
    ends = sum(size.batches * size.views * _TAR_END_BYTES for size in sizes.values())
    return Quantity(value=total.value + ends, low=total.low + ends, high=total.high + ends)


def _cpu_seconds(measured: Mapping[str, Sequence[VideoResult]], sizes: Mapping[str, SplitSize]) -> Quantity:
    return _scaled(
        {split: [one.statistics.cpu_seconds or 0.0 for one in some] for split, some in measured.items()}, sizes
    )


def _tar_bytes(result: VideoResult, layout: str) -> int:
    """The bytes that a video adds to the tars of a layout."""
    writer = ShardWriter(io.BytesIO())
    for (name, _), sample in result.samples.items():
        if name == layout:
            writer.add(sample)
    return writer.num_bytes


def _scaled(per_video: Mapping[str, Sequence[float]], sizes: Mapping[str, SplitSize]) -> Quantity:
    """The sum over splits of mean x number of videos, with a finite population correction of the error."""
    value = variance = 0.0
    for split, numbers in per_video.items():
        count = sizes[split].videos
        value += count * statistics.fmean(numbers)
        if len(numbers) > 1:
            unseen = 1 - len(numbers) / count
            variance += count**2 * unseen * statistics.variance(numbers) / len(numbers)
    spread = _STANDARD_ERRORS * math.sqrt(variance)
    return Quantity(value=value, low=max(value - spread, 0.0), high=value + spread)


def _ray_worker_bytes() -> int:
    """The measured memory of a Ray worker with its imports, without the decoder process; 0 if not on Linux."""
    if sys.platform != "linux":
        return 0
    # Not getrusage, because a process inherits the maximum of its parent.
    code = "import ray, preprocess.worker.batch; print(open('/proc/self/status').read())"
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    return peak_memory_bytes(done.stdout)
