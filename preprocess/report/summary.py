"""The content of ``report.json``: sums over the records, statistics and history of a conversion."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from preprocess.plan import VideoBatch
from preprocess.run.pipeline import Prepared, Records
from preprocess.run.progress import read_history
from preprocess.worker.statistics import BatchStatistics, VideoStatistics, read_statistics
from shards.records import Failure

REPORT_NAME = "report.json"
_EXAMPLES = 5
_NAMES_SHOWN = 12
_BINS = 20
_POINTS = 300


def collect(prepared: Prepared) -> dict:
    """The report as plain data. It reads files only, so it also works while the conversion runs."""
    job = prepared.job
    records = [(batch, prepared.output.finished(batch)) for batch in prepared.batches]
    done = [(batch, found) for batch, found in records if found is not None]
    failures = [failure for _, found in done for failure in next(iter(found.values())).failures]
    measured = [read_statistics(Path(job.output), batch.split, batch.number) for batch, _ in done]
    known = [batch for batch in measured if batch is not None]
    videos = [video for batch in known for video in batch.videos]
    num_done = sum(len(batch.videos) for batch, _ in done)
    return {
        "complete": prepared.output.is_complete(),
        "digest": job.digest,
        "videos": {
            "planned": prepared.num_videos,
            "converted": num_done - len(failures),
            "failed": len(failures),
            "pending": prepared.num_videos - num_done,
            "missing": prepared.num_missing,
        },
        "splits": {split: _split(prepared, split, done) for split in job.config.splits},
        "layouts": {layout: _layout(prepared, layout, [found for _, found in done]) for layout in job.config.layouts},
        "failures": _by_reason(failures),
        "missing_examples": [
            entry.path.as_posix() for split in job.config.splits for entry in prepared.dataset.missing[split]
        ][:_EXAMPLES],
        "source": {**_source(videos), "min_decoded_share": job.config.min_decoded_share},
        "work": {"batches_without_statistics": len(measured) - len(known), **_work(videos, known)},
        "classes": {split: _classes(prepared, split, known) for split in job.config.splits},
        "history": _history(Path(job.output)),
    }


def _split(prepared: Prepared, split: str, done: Sequence[tuple[VideoBatch, Records]]) -> dict:
    return {
        "videos": len(prepared.dataset.splits[split]),
        "missing": len(prepared.dataset.missing[split]),
        "views": prepared.job.config.splits[split].num_views,
        "batches": sum(batch.split == split for batch in prepared.batches),
        "batches_done": sum(batch.split == split for batch, _ in done),
    }


def _layout(prepared: Prepared, layout: str, done: Sequence[Records]) -> dict:
    tars = [tar for records in done for tar in records[layout].tars]
    height, width = prepared.job.config.layouts[layout].image_size
    return {
        "height": height,
        "width": width,
        "tars": len(tars),
        "samples": sum(tar.samples for tar in tars),
        "bytes": sum(tar.bytes for tar in tars),
    }


def _by_reason(failures: Sequence[Failure]) -> dict:
    """{reason: count and a few examples}, the most frequent reason first."""
    return {
        reason: {
            "count": count,
            "examples": [
                {"path": failure.path, "detail": failure.detail} for failure in failures if failure.reason == reason
            ][:_EXAMPLES],
        }
        for reason, count in Counter(failure.reason for failure in failures).most_common()
    }


def _source(videos: Sequence[VideoStatistics]) -> dict:
    """Codecs, decoders, frame sizes, durations and file sizes of the source videos."""
    measured = [video.statistics for video in videos]
    return {
        "codecs": _common(one.codec or "unknown" for one in measured if one.decoder),
        "decoders": _common(one.decoder for one in measured if one.decoder),
        "sizes": _common(f"{one.width}x{one.height}" for one in measured if one.width),
        "fallback_reasons": _common(one.fallback_reason for one in measured if one.fallback_reason),
        "decoded_share_of_damaged": _spread(
            [one.decoded_share for one in measured if one.decoded_share is not None and one.decoded_share < 1]
        ),
        "duration_seconds": _spread([one.duration_seconds for one in measured if one.duration_seconds is not None]),
        "frames": _spread([one.num_frames for one in measured if one.num_frames is not None]),
        "file_bytes": _spread([one.bytes for one in measured if one.bytes is not None]),
    }


def _work(videos: Sequence[VideoStatistics], batches: Sequence[BatchStatistics]) -> dict:
    timed = [video for video in videos if video.statistics.cpu_seconds is not None]
    slowest = sorted(timed, key=lambda video: video.statistics.cpu_seconds, reverse=True)[:_EXAMPLES]
    by_node: Counter[str] = Counter()
    for batch in batches:
        by_node[batch.node] += len(batch.videos)
    return {
        "cpu_seconds": _spread([video.statistics.cpu_seconds for video in timed]),
        "slowest": [{"path": video.path, "cpu_seconds": video.statistics.cpu_seconds} for video in slowest],
        "nodes": _common(by_node.elements()),
    }


def _classes(prepared: Prepared, split: str, batches: Sequence[BatchStatistics]) -> dict[str, int]:
    """The number of converted videos of each class in the lists of the split, including classes with 0."""
    names = prepared.job.class_names
    counts = Counter(
        video.label for batch in batches if batch.split == split for video in batch.videos if not video.reason
    )
    listed = {label for video in prepared.dataset.splits[split] for label in video.labels[:1]}
    return {names[label]: counts[label] for label in sorted(listed)}


def _history(output: Path) -> list[dict]:
    """At most about 300 points of (working seconds, videos, failures). Time between two runs is not counted."""
    points, before, last = [], 0.0, 0.0
    for line in read_history(output):
        if line["begins"]:
            before += last
            points.append({"seconds": before, "videos": line["earlier"], "failures": line["failures"]})
        last = line["seconds"]
        points.append({"seconds": before + last, "videos": line["videos"], "failures": line["failures"]})
    step = max(len(points) // _POINTS, 1)
    return [*points[:-1:step], *points[-1:]]


def _common(names: Iterable[str]) -> dict[str, int]:
    """{name: count} of the most frequent names; the sum of the rest is ``others``."""
    counts = Counter(names)
    shown = dict(counts.most_common(_NAMES_SHOWN))
    others = counts.total() - sum(shown.values())
    return {**shown, **({"others": others} if others else {})}


def _spread(values: Sequence[float]) -> dict | None:
    """Sum, minimum, median, maximum and a histogram up to the 99th percentile; the last bin has the rest."""
    if not values:
        return None
    low, high = min(values), max(values)
    top = statistics.quantiles(values, n=100, method="inclusive")[-1] if len(values) > 1 else high
    width = (top - low) / _BINS or 1
    counts = Counter(min(int((value - low) / width), _BINS - 1) for value in values)
    return {
        "sum": sum(values),
        "min": low,
        "median": statistics.median(values),
        "max": high,
        "bin_start": low,
        "bin_width": width,
        "counts": [counts[number] for number in range(_BINS)],
    }
