"""Finds videos that are in both a training and a test split. They make the measured accuracy too high."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from preprocess.annotations.dataset import Video

_BYTES_COMPARED = 1 << 16
# Each comparison of two files with the same name takes one to three requests on a network disk.
_FILES_COMPARED = 1000


def leak_notes(
    source: Path, videos: Mapping[str, Sequence[Video]], train_splits: Iterable[str], test_splits: Iterable[str]
) -> Iterator[str]:
    """A note for each pair of splits that share a video, by path and segment or by the content of two files."""
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
                    f"accuracy on {test} will be too high"
                )
            if len(pairs) > _FILES_COMPARED:
                yield (
                    f"{len(pairs)} files of {test} have the same name as a file of {train}; only the content of the "
                    f"first {_FILES_COMPARED} was compared"
                )


def _same_segment(train: Sequence[Video], test: Sequence[Video]) -> list[tuple[str, str]]:
    """Videos of ``test`` that overlap with a segment of the same file in ``train``."""
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
    """(file of ``train``, other file of ``test``) that have the same file name and the same labels."""
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
    """Whether two files have the same size and start with the same bytes. Folders of frames are not compared."""
    try:
        if not (one.is_file() and other.is_file()) or one.stat().st_size != other.stat().st_size:
            return False
        with open(one, "rb") as first, open(other, "rb") as second:
            beginning = first.read(_BYTES_COMPARED)
            return bool(beginning) and beginning == second.read(_BYTES_COMPARED)
    except PermissionError:  # the conversion will count this video as failed, with the reason
        return False
