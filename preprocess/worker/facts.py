"""``<output>/_facts/SPLIT-NUMBER.json``: what a conversion learnt of each video. The report reads it; no shard does."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

from preprocess.annotations.dataset import Video
from preprocess.worker.messages import Converted, Facts
from shards.format import record_name
from shards.storage import whole_file

FACTS_DIR = "_facts"


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """A video's facts beside its class, and the reason where it was left out."""

    key: str
    path: str
    label: int
    reason: str | None
    facts: Facts


@dataclass(frozen=True, kw_only=True)
class ShardFacts:
    """The videos of a planned shard, and the ``machine`` that converted them, in ``wall_seconds``."""

    split: str
    number: int
    machine: str
    wall_seconds: float
    videos: tuple[VideoFacts, ...]

    def write(self, output: Path) -> None:
        content = json.dumps(dataclasses.asdict(self), sort_keys=True) + "\n"
        with whole_file(output / FACTS_DIR / record_name(self.split, self.number)) as file:
            file.write(content.encode("ascii"))


def facts_of(video: Video, converted: Converted) -> VideoFacts:
    reason = converted.failure.reason if converted.failure else None
    return VideoFacts(key=video.key, path=video.path, label=video.labels[0], reason=reason, facts=converted.facts)


def read_facts(output: Path, split: str, number: int) -> ShardFacts | None:
    """The facts of a shard; None where there are none, or they are damaged: the report says for how many."""
    try:
        fields = json.loads((output / FACTS_DIR / record_name(split, number)).read_bytes())
        videos = tuple(VideoFacts(**{**video, "facts": Facts(**video["facts"])}) for video in fields.pop("videos"))
        return ShardFacts(**fields, videos=videos)
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return None
