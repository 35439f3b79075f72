"""Videos of a test split that are in a training split too: what is measured on them is no accuracy."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from preprocess.annotations.dataset import Video

_BYTES_COMPARED = 1 << 16
# Of the files that two splits name alike: each takes a request, or three, on a network disk.
_FILES_COMPARED = 1000


def leak_notes(
    source: Path, videos: Mapping[str, Sequence[Video]], train_splits: Iterable[str], test_splits: Iterable[str]
) -> Iterator[str]:
    """A note for each pair of splits that share a video: by path and segment, or as two files of the same content."""
    test_splits = list(test_splits)
    for train in train_splits:
        for test in test_splits:
            pairs = _named_alike(videos[train], videos[test])
            copies = [pair for pair in pairs[:_FILES_COMPARED] if _are_copies(*(source / path for path in pair))]
            shared = [*_same_segment(videos[train], videos[test]), *copies]
            if shared:
                one, other = shared[0]
                also = f" and {other}" if other != one else ""
                yield (
                    f"{len(shared)} videos are in both {train} and {test}, such as {one}{also}: "
                    f"what is measured on {test} will be too good"
                )
            if len(pairs) > _FILES_COMPARED:
                yield (
                    f"{len(pairs)} files of {test} have the name of one of {train}; only the first {_FILES_COMPARED} "
                    "were compared, to see whether they are copies"
                )


def _same_segment(train: Sequence[Video], test: Sequence[Video]) -> list[tuple[str, str]]:
    """Videos of ``test`` whose file is in ``train``, with a segment that overlaps."""
    by_path = defaultdict(list)
    for video in train:
        by_path[os.path.normpath(video.path)].append(video)
    return [
        (video.path, video.path)
        for video in test
        if any(_overlap(video, other) for other in by_path.get(os.path.normpath(video.path), ()))
    ]


def _overlap(one: Video, other: Video) -> bool:
    in_seconds = _meet((one.start, one.end), (other.start, other.end))
    return in_seconds and _meet((one.start_frame, one.end_frame), (other.start_frame, other.end_frame))


def _meet(one: tuple[float | None, float | None], other: tuple[float | None, float | None]) -> bool:
    """Whether two half-open intervals share a point; None is an open end."""
    pairs = ((one[0], other[1]), (other[0], one[1]))
    return all(begin is None or end is None or begin < end for begin, end in pairs)


def _named_alike(train: Sequence[Video], test: Sequence[Video]) -> list[tuple[str, str]]:
    """(file of ``train``, another of ``test``) that have the same name in their folders, and the same labels."""
    alike = defaultdict(set)
    for video in train:
        alike[os.path.basename(video.path), video.labels].add(video.path)
    pairs = (
        (path, video.path)
        for video in test
        for path in sorted(alike.get((os.path.basename(video.path), video.labels), ()))
    )
    return list(dict.fromkeys(pair for pair in pairs if os.path.normpath(pair[0]) != os.path.normpath(pair[1])))


def _are_copies(one: Path, other: Path) -> bool:
    """Whether two files have the same size and begin alike; of folders of frames this is not known."""
    try:
        if not (one.is_file() and other.is_file()) or one.stat().st_size != other.stat().st_size:
            return False
        with open(one, "rb") as first, open(other, "rb") as second:
            beginning = first.read(_BYTES_COMPARED)
            return bool(beginning) and beginning == second.read(_BYTES_COMPARED)
    except PermissionError:  # the conversion will count this video as a failure, with its reason
        return False
