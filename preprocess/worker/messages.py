"""The data that the processes of a conversion exchange: the job, and the result of each video."""

import os
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from preprocess import reasons
from preprocess.config.schema import Config
from preprocess.worker.versions import shaping_versions
from shards.records import Failure
from shards.write import Sample


class UnfitNodeError(OSError):
    """A node cannot work on the conversion, but another node may.

    ``unseen``: the files that the node does not see although the driver saw them while planning. ``node``: the node's
    id in Ray, which is set when the error leaves the node's worker.
    """

    def __init__(self, message: str, *, unseen: Sequence[str] = ()):
        super().__init__(message)
        self.unseen = tuple(unseen)
        self.node: str | None = None


def unexpected_detail(error: Exception) -> str:
    """``ValueError: message, at file.py:12``: an unexpected exception and the place where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}, at {os.path.basename(place.filename)}:{place.lineno}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """The settings that all batches of a conversion share. ``digest`` identifies the configuration and the videos.

    ``videos_url``: the URL of the videos that are not below ``source``. ``versions``: the versions of libraries that
    every decoder must have. ``subsets``: the class names of each subset. ``multi_label``: whether some video has more
    than one label.
    """

    config: Config
    source: str
    output: str
    class_names: tuple[str, ...]
    digest: str
    videos_url: str | None = None
    versions: Mapping[str, str] = field(default_factory=shaping_versions)
    subsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    multi_label: bool = False


def num_broken(failures: Iterable[Failure]) -> int:
    """The number of failures that count against ``max_failures``. Videos below ``min_frames`` do not count."""
    return sum(failure.reason != reasons.TOO_FEW_FRAMES for failure in failures)


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Measurements of one video. Only the report uses them; the content of the shards does not depend on them.

    ``bytes`` is the file's size. ``cpu_seconds`` counts decoding, rendering and encoding, child processes included.
    ``fallback_reason`` is the reason for which PyAV failed, if the ffmpeg command decoded the video in its place.
    ``decoded_share`` is as in ``VideoInfo``.
    """

    bytes: int | None = None
    decoder: str | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    duration_seconds: float | None = None
    cpu_seconds: float | None = None
    wall_seconds: float | None = None
    fallback_reason: str | None = None
    decoded_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class VideoResult:
    """What became of a video: one sample for each (layout, view), or the reason why there is none."""

    samples: Mapping[tuple[str, int], Sample] = field(default_factory=dict)
    failure: Failure | None = None
    statistics: Statistics = field(default_factory=Statistics)
