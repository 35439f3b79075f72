"""``Listing``, which every annotation reader returns, and ``Dataset``, which a conversion processes."""

import errno
import functools
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shards.format import video_keys

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".asf", ".avi", ".dv", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts")
    + (".mxf", ".ogg", ".ogv", ".ts", ".vob", ".webm", ".wmv")
)
FRAME_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))  # images of a video that is a folder


@dataclass(frozen=True, kw_only=True)
class Target:
    """The class indices of a view. Single-label training uses the first one.

    ``subsets`` holds (name, class index in that subset, or -1 if the video is not in it) for each subset.
    """

    labels: tuple[int, ...]
    subsets: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Video:
    """One labelled video, or a segment of one. The file may be a folder of numbered frames.

    ``key`` is the video's name in the shards. ``path`` is relative to the source if the file is below it, so the shards
    do not depend on where the source is. The half-open segment [start, end) is in seconds, [start_frame, end_frame) in
    frames; None stands for the start or the end of the file. ``frame_rate`` (frames per second) is for a folder of
    frames. ``labels`` and ``subsets`` are as in ``Target``. ``mirrored`` is the target of the mirror image if it
    differs, and ``may_flip`` is False if the mirror image has no class.
    """

    key: str
    path: str
    labels: tuple[int, ...]
    start: float | None = None
    end: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    frame_rate: float | None = None
    subsets: tuple[tuple[str, int], ...] = ()
    mirrored: Target | None = None
    may_flip: bool = True

    def identity(self) -> list:
        """Everything about the video that changes its samples, as plain data. The unique key comes first."""
        segment = self.start, self.end, self.start_frame, self.end_frame, self.frame_rate
        flipped = self.target(flipped=True)
        targets = self.labels, self.subsets, flipped.labels, flipped.subsets, self.may_flip
        return [self.key, self.path, *segment, *targets]

    def target(self, *, flipped: bool) -> Target:
        """The target of a view, mirrored (``flipped``) or not."""
        if flipped and self.mirrored is not None:
            return self.mirrored
        return Target(labels=self.labels, subsets=self.subsets)


@dataclass(frozen=True, kw_only=True)
class ListEntry:
    """One entry of a list: the video's name (unique in its split), path and labels.

    ``where`` is the place of the entry, such as ``FILE:LINE``. ``other_paths`` are tried if ``path`` does not exist.
    ``identifier`` is the name of the video in lists of subsets.
    """

    name: str
    path: Path
    labels: tuple[int, ...]
    where: str
    start: float | None = None
    end: float | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    frame_rate: float | None = None
    other_paths: tuple[Path, ...] = ()
    identifier: str | None = None


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Entries of one split that are skipped for the same reason: their number and the first of them."""

    kind: str
    count: int
    example: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A data set as its lists describe it, before the files are looked up. ``notes`` are printed for the user.

    ``entries`` is the number of entries or files that the reader found in each split, for readers that count them.
    ``left_out`` holds the entries that the reader skipped.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Sequence[ListEntry]]
    notes: tuple[str, ...] = ()
    entries: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, Sequence[LeftOut]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SplitCounts:
    """The numbers of entries of one split that are videos to convert, missing, or skipped.

    Raises ValueError if they do not add up to ``entries``, because then a reader has lost an entry silently.
    """

    entries: int
    videos: int
    missing: int
    left_out: tuple[LeftOut, ...] = ()

    def __post_init__(self) -> None:
        found = self.videos + self.missing + self.num_left_out
        if found != self.entries:
            raise ValueError(
                f"{self.entries} entries were read, but {self.videos} videos, {self.missing} missing and "
                f"{self.num_left_out} left out make {found}; this is a bug of the program, not of the list: report it"
            )

    @property
    def num_left_out(self) -> int:
        return sum(kind.count for kind in self.left_out)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The videos on the disk and the missing ones, by split, and the class names of the data set and its subsets."""

    class_names: tuple[str, ...]
    splits: dict[str, tuple[Video, ...]]
    missing: dict[str, tuple[ListEntry, ...]]
    notes: tuple[str, ...] = ()
    subsets: Mapping[str, tuple[str, ...]]
    counts: Mapping[str, SplitCounts] = field(default_factory=dict)


def missing_table(dataset: Dataset, splits: Iterable[str]) -> str:
    """A tab-separated table of the listed videos that are missing: split, path, and the place of the entry."""
    rows = [(split, entry.path, entry.where) for split in splits for entry in dataset.missing.get(split, ())]
    return "".join("\t".join(map(_in_one_cell, row)) + "\n" for row in (("split", "path", "listed_at"), *rows))


def _in_one_cell(value: object) -> str:
    return str(value).replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The targets of an entry and of its mirror image, as in ``Video``."""

    target: Target
    mirrored: Target | None = None
    may_flip: bool = True


def find_on_disk(
    source: Path,
    entries: Sequence[tuple[ListEntry, Targets]],
    *,
    locate: Callable[[Sequence[ListEntry]], Callable[[ListEntry], str | None]] | None = None,
) -> tuple[tuple[Video, ...], tuple[ListEntry, ...]]:
    """(videos on the disk, entries whose file is missing) of one split.

    A broken symbolic link counts as a missing file. Keys are made from all entries, so a file that is added later does
    not change the keys of other videos.

    If videos can be downloaded, ``locate`` takes the entries whose file is missing. It returns a function from an entry
    to the path of the file below the URL, or None.

    Raises ValueError if a video is listed twice.
    """
    _refuse_twice_listed(entry for entry, _ in entries)
    exists, name_of = _Existing(), RelativePath(source)
    found = [next((path for path in (entry.path, *entry.other_paths) if exists(path)), None) for entry, _ in entries]
    names = [None if path is None else name_of(path) for path in found]
    if locate is not None and None in names:
        path_of = locate([entry for (entry, _), name in zip(entries, names) if name is None])
        names = [path_of(entry) if name is None else name for (entry, _), name in zip(entries, names)]
    present, missing = [], []
    for key, (entry, targets), name in zip(video_keys([entry.name for entry, _ in entries]), entries, names):
        if name is None:
            missing.append(entry)
        else:
            present.append(_video(key, entry, name, targets))
    return tuple(present), tuple(missing)


class _Existing:
    """Whether a path exists. Lists each folder once, since one request per file takes hours on a network disk."""

    def __init__(self) -> None:
        self._entries = functools.cache(_entries_of)

    def __call__(self, path: Path) -> bool:
        is_link = self._entries(str(path.parent)).get(path.name)
        return is_link is not None and (not is_link or os.path.exists(path))


def _entries_of(folder: str) -> dict[str, bool]:
    """{name: whether it is a symbolic link} of the entries of a folder; empty if there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_symlink() for entry in entries}
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            return {}
        raise


class RelativePath:
    """The path of a file in the metadata: relative to the source if the file is below it, else absolute.

    The result is the same whether the source is given as an absolute path, a relative path or a symbolic link.
    """

    def __init__(self, source: Path):
        self._source = source
        self._roots = tuple(dict.fromkeys((source.absolute(), Path(os.path.realpath(source)))))
        self._real = functools.cache(os.path.realpath)

    def __call__(self, path: Path) -> str:
        if path.is_relative_to(self._source):
            return path.relative_to(self._source).as_posix()
        whole = path.absolute()
        real = Path(self._real(whole.parent)) / whole.name
        for candidate in (real,) if ".." in whole.parts else (whole, real):
            for root in self._roots:
                if candidate.is_relative_to(root):
                    return candidate.relative_to(root).as_posix()
        return whole.as_posix()


def _video(key: str, entry: ListEntry, path: str, targets: Targets) -> Video:
    return Video(
        key=key,
        path=path,
        labels=targets.target.labels,
        subsets=targets.target.subsets,
        mirrored=targets.mirrored,
        may_flip=targets.may_flip,
        start=entry.start,
        end=entry.end,
        start_frame=entry.start_frame,
        end_frame=entry.end_frame,
        frame_rate=entry.frame_rate,
    )


def _refuse_twice_listed(entries: Iterable[ListEntry]) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.name in seen:
            raise ValueError(
                f"{entry.where}: {entry.name!r} is listed already, at {seen[entry.name]}; list each video once"
            )
        seen[entry.name] = entry.where
