"""Files ``<output>/_statistics/SPLIT-NUMBER.json``: statistics of each video. Only the report reads them."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from preprocess.annotations.dataset import Video
from preprocess.worker.messages import Statistics, VideoResult
from shards.format import record_name
from shards.storage import whole_file

STATISTICS_DIR = "_statistics"


@dataclass(frozen=True, kw_only=True)
class VideoStatistics:
    """A video's class and statistics, and the reason for which it was skipped, if it was."""

    key: str
    path: str
    label: int
    reason: str | None
    statistics: Statistics


@dataclass(frozen=True, kw_only=True)
class BatchStatistics:
    """The videos of a batch, the ``node`` that converted them, and the ``wall_seconds`` that this took."""

    split: str
    number: int
    node: str
    wall_seconds: float
    videos: tuple[VideoStatistics, ...]

    def write(self, output: Path) -> None:
        content = json.dumps(dataclasses.asdict(self), sort_keys=True) + "\n"
        with whole_file(output / STATISTICS_DIR / record_name(self.split, self.number)) as file:
            file.write(content.encode("ascii"))


def statistics_of(video: Video, result: VideoResult) -> VideoStatistics:
    reason = result.failure.reason if result.failure else None
    return VideoStatistics(
        key=video.key, path=video.path, label=video.labels[0], reason=reason, statistics=result.statistics
    )


def read_statistics(output: Path, split: str, number: int) -> BatchStatistics | None:
    """The statistics of a batch, or None if the file is missing or damaged. The report counts such batches."""
    try:
        fields = json.loads((output / STATISTICS_DIR / record_name(split, number)).read_bytes())
        videos = tuple(
            VideoStatistics(**{**video, "statistics": Statistics(**video["statistics"])})
            for video in fields.pop("videos")
        )
        return BatchStatistics(**fields, videos=videos)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
