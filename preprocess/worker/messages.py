"""What the processes of a conversion say to each other: the job, what becomes of a video, what became of a shard."""

import os
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from preprocess import reasons
from preprocess.config.schema import Config
from preprocess.worker.versions import shaping_versions
from shards.records import Failure
from shards.write import Sample


class UnfitMachineError(OSError):
    """A machine that cannot do its part; another one may.

    ``unseen``: the files that it does not see although the driver saw them when it planned. ``node``: its id in Ray,
    which is known only once the error has left the machine's worker.
    """

    def __init__(self, message: str, *, unseen: Sequence[str] = ()):
        super().__init__(message)
        self.unseen = tuple(unseen)
        self.node: str | None = None


def unexpected_detail(error: Exception) -> str:
    """``ValueError: its words, at file.py:12``: where an exception that no one foresaw came from."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error}, at {os.path.basename(place.filename)}:{place.lineno}"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every shard of a conversion shares. ``digest`` names configuration and videos together.

    ``videos_url``: where the videos are fetched from that are not below ``source``.
    ``versions``: the libraries that every decoder must have.
    ``subsets``: the class names of each sub-set. ``multi_label``: some video has several labels.
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
    """How many of the videos that were left out count against ``max_failures``: a short one was left out on request."""
    return sum(failure.reason != reasons.TOO_FEW_FRAMES for failure in failures)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a conversion learnt of one video, for the report alone; no shard depends on it.

    ``bytes`` is the file's size. ``cpu_seconds`` counts decoding, rendering and encoding, child processes included.
    ``concealed`` is why the stricter decoder gave up, where the other went over the errors. ``decoded_share`` is as in
    ``VideoInfo``.
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
    concealed: str | None = None
    decoded_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What became of a video: one sample for each (layout, view), or the reason why there is none."""

    samples: Mapping[tuple[str, int], Sample] = field(default_factory=dict)
    failure: Failure | None = None
    facts: Facts = field(default_factory=Facts)
