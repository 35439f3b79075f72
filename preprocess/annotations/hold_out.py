"""Which videos of a data set without a validation split are held out for one. Pure."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence


def check_group(pattern: str | None) -> None:
    """ValueError for a ``group`` that is no regular expression."""
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"group={pattern!r}: not a regular expression ({error}), such as '_(g[0-9]+)_'") from error


def held_out(videos: Mapping[str, Sequence[str]], share: float, group: str | None = None) -> dict[str, frozenset[str]]:
    """The file names to hold out of each class: at least ``share`` of the class, where it has videos enough.

    ``videos``: {class: file names}. ``group`` is a regular expression; videos whose names have the same text in its
    first group (or in the whole match, if it has none) come from one source and stay together, across classes too:
    ``v_Punch_g10_c05.avi`` with ``_(g[0-9]+)_`` belongs to ``g10``. A class keeps at least one source for training, so
    a class of one source has no video held out.

    The choice depends on the names alone, by their SHA-256, so it is the same on every machine, and a new video moves
    few others.
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
    """Add sources of one class to ``chosen`` until ``wanted`` of its videos are held out, or one source is left."""
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
