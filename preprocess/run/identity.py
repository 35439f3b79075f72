"""Decide whether two conversions are the same, from the settings that shape the bytes and the videos that are read.
Pure.

The location and the spelling of lists and videos do not count.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from preprocess.annotations.dataset import Target, Video
from preprocess.config.schema import Config, digest_of
from preprocess.plan import VideoBatch

_NAMES_SHOWN = 3
_OTHER_VERSION = "it was begun by another version of this program, which makes other shards"
# Settings that select the videos and classes. The videos and classes themselves are compared instead.
_READING = ("annotations", "subsets")


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Everything that determines the bytes of a conversion's shards.

    ``settings`` are the settings that shape the bytes. ``reading`` are the settings that select the videos; only
    messages use them. ``class_names`` holds the names in index order, of the data set under ``""`` and of each
    subset. ``videos`` holds, for each split, the number of videos and the SHA-256 of everything that determines their
    samples. ``fingerprints`` is {split: {key: some hex digits of the path, the segment and the label names}};
    messages use it to name the videos that differ.
    """

    settings: Mapping[str, Any]
    reading: Mapping[str, Any]
    class_names: Mapping[str, Sequence[str]]
    videos: Mapping[str, Mapping[str, Any]]
    fingerprints: Mapping[str, Mapping[str, str]]

    @property
    def digest(self) -> str:
        return digest_of({"settings": self.settings, "class_names": self.class_names, "videos": self.videos})

    def to_dict(self) -> dict:
        """Everything but the fingerprints, which are large."""
        return {
            "digest": self.digest,
            "settings": self.settings,
            "reading": self.reading,
            "class_names": self.class_names,
            "videos": self.videos,
        }


def identity_of(
    config: Config,
    batches: Iterable[VideoBatch],
    class_names: Sequence[str],
    subsets: Mapping[str, Sequence[str]],
) -> Identity:
    """Return the identity of a planned conversion. ``subsets``: the class names of each subset."""
    batches = list(batches)
    shaping = config.shaping()
    names = {"": list(class_names), **{name: list(inside) for name, inside in subsets.items()}}
    videos, fingerprints = {}, {}
    for split in config.splits:
        of_split = [video for batch in batches if batch.split == split for video in batch.videos]
        rows = sorted(video.identity() for video in of_split)
        videos[split] = {"count": len(rows), "sha256": digest_of({"rows": rows})}
        fingerprints[split] = {video.key: _fingerprint(video, names) for video in of_split}
    return Identity(
        settings={key: value for key, value in shaping.items() if key not in _READING},
        reading={key: shaping[key] for key in _READING},
        class_names=names,
        videos=videos,
        fingerprints=fingerprints,
    )


def _fingerprint(video: Video, class_names: Mapping[str, Sequence[str]]) -> str:
    """Hash names of classes, not indices: one additional class changes the indices of many videos."""
    segment = (video.path, video.start, video.end, video.start_frame, video.end_frame, video.frame_rate, video.may_flip)
    targets = [_by_name(video.target(flipped=flipped), class_names) for flipped in (False, True)]
    return hashlib.sha256(json.dumps([segment, targets]).encode("ascii")).hexdigest()[:8]


def _by_name(target: Target, class_names: Mapping[str, Sequence[str]]) -> list:
    """The names of a target's classes. None if it is outside a subset, or has no class."""
    labels = [("", label) for label in target.labels]
    return [class_names[part][label] if label >= 0 else None for part, label in (*labels, *target.subsets)]


def packed(fingerprints: Mapping[str, Mapping[str, str]]) -> bytes:
    """Compress the fingerprints. The same videos give the same bytes."""
    return gzip.compress(json.dumps(fingerprints, sort_keys=True).encode("ascii"), mtime=0)


def unpacked(content: bytes) -> dict[str, dict[str, str]] | None:
    """The inverse of ``packed``. None for damaged bytes; messages then count the videos that differ, without names."""
    try:
        return json.loads(gzip.decompress(content))
    except (OSError, EOFError, ValueError, zlib.error):
        return None


def differences(
    before: Mapping[str, Any], fingerprints: Mapping[str, Mapping[str, str]] | None, now: Identity
) -> list[str]:
    """Return one line for each difference between a stored conversion and this one, or [] if they are the same.

    ``before`` is the result of ``Identity.to_dict``. Without ``fingerprints``, videos are counted but not named.
    """
    if "digest" not in before:
        settings = {key: value for key, value in before.get("configuration", {}).items() if key not in _READING}
        return [_OTHER_VERSION, *_trees(settings, now.settings)]
    if before["digest"] == now.digest:
        return []
    lines = [*_trees(before["settings"], now.settings), *_classes(before["class_names"], now.class_names)]
    for split in sorted(before["videos"].keys() & now.videos.keys()):
        lines += _videos(split, before, fingerprints, now)
    if not lines:
        return [_OTHER_VERSION]
    return [*lines, *(f"read with {line}" for line in _trees(before["reading"], now.reading))]


def _trees(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """Yield one line for each place where two trees of plain data differ."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted(before.keys() | now.keys()):
            yield from _trees(before.get(key), now.get(key), f"{where}.{key}" if where else key)
    elif json.dumps(before) != json.dumps(now):  # through JSON, where a tuple and a list are the same
        yield f"{where}: {before!r} there, {now!r} now"


def _classes(before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for part in sorted(before.keys() & now.keys()):
        old, new = before[part], now[part]
        where = f"classes of {part}" if part else "classes"
        came, went = _without(new, frozenset(old)), _without(old, frozenset(new))
        if came or went:
            yield f"{where}: {len(old)} there, {len(new)} now: {_came_and_went(came, went)}"
        elif list(old) != list(new):
            yield f"{where}: the same names in another order"


def _without(names: Sequence[str], others: Collection[str]) -> list[str]:
    return [name for name in names if name not in others]


def _videos(
    split: str, before: Mapping[str, Any], fingerprints: Mapping[str, Mapping[str, str]] | None, now: Identity
) -> Iterator[str]:
    counts = [side[split]["count"] for side in (before["videos"], now.videos)]
    counted = f"videos of {split}: {counts[0]} there, {counts[1]} now"
    if fingerprints is None:
        if before["videos"][split] != now.videos[split]:
            yield counted
        return
    old, new = fingerprints.get(split, {}), now.fingerprints[split]
    came, went = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changed = sorted(key for key in old.keys() & new.keys() if old[key] != new[key])
    if came or went or changed:
        others = f"{len(changed)} have another path, segment or label ({_shown(changed)})" if changed else ""
        yield f"{counted}: {', '.join(filter(None, (_came_and_went(came, went), others)))}"


def _came_and_went(came: Sequence[str], went: Sequence[str]) -> str:
    parts = [f"{len(names)} {what} ({_shown(names)})" for names, what in ((came, "came"), (went, "went")) if names]
    return ", ".join(parts)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
