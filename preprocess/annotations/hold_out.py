"""Chooses the videos to hold out if a data set has no validation split. Pure."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence


def check_group(pattern: str | None) -> None:
    """ValueError for a ``group`` that is not a regular expression."""
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"group={pattern!r}: not a regular expression ({error}), such as '_(g[0-9]+)_'") from error


def held_out(videos: Mapping[str, Sequence[str]], share: float, group: str | None = None) -> dict[str, frozenset[str]]:
    """The file names to hold out of each class: at least ``share`` of the class, if it has enough videos.

    ``videos``: {class: file names}. ``group`` is a regular expression. Videos whose names have the same text in its
    first group (in the whole match, if it has no group) come from one source and stay together, also across classes:
    ``v_Punch_g10_c05.avi`` with ``_(g[0-9]+)_`` belongs to ``g10``. A class keeps at least one source for training, so
    no video of a class with one source is held out.

    The choice depends only on the SHA-256 of the names. So it is the same everywhere, and a new video changes the split
    of few others.
    """
    sources = {name: defaultdict(list) for name in videos}  # {class: {source: its videos}}
    for name, files in videos.items():
        for file in files:
            sources[name][_source_of(name, file, group)].append(file)
    chosen: set[str] = set()
    for name in sorted(videos):
        _choose(sources[name], share * len(videos[name]), chosen)
    return {
        name: frozenset(file for source, files in of_class.items() if source in chosen for file in files)
        for name, of_class in sources.items()
    }


def _choose(of_class: Mapping[str, Sequence[str]], wanted: float, chosen: set[str]) -> None:
    """Add sources of one class to ``chosen`` until ``wanted`` of its videos are held out or one source remains."""
    num_held = sum(len(files) for source, files in of_class.items() if source in chosen)
    left = sorted((source for source in of_class if source not in chosen), key=_digest)
    while num_held < wanted and len(left) > 1:
        source = left.pop(0)
        chosen.add(source)
        num_held += len(of_class[source])


def _source_of(class_name: str, file: str, group: str | None) -> str:
    match = re.search(group, file) if group else None
    if match is None:
        return f"video {class_name}/{file}"
    return f"group {match.group(1) if match.re.groups else match.group(0)}"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
