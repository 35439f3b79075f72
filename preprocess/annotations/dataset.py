"""What every annotation reader gives, a ``Listing``, and what a conversion works on, a ``Dataset``."""

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
FRAME_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp"))  # of a video that is a folder of images


@dataclass(frozen=True, kw_only=True)
class Target:
    """What a view is to be classified as: class indices, the first for single-label training.

    ``subsets``: (name, class index within that subset, or -1 outside it) for each subset.
    """

    labels: tuple[int, ...]
    subsets: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Video:
    """One labelled video, or a segment of one. The file may be a folder of numbered frames.

    ``key`` is its name in the shards; ``path`` is relative to the source where it lies below it, so that shards made on
    another machine are the same. The half-open segment [start, end) is in seconds, [start_frame, end_frame) in frames;
    None for the file's own ends. ``frame_rate`` is that of a folder of frames. ``labels`` and ``subsets`` are as in
    ``Target``; ``mirrored`` is the target of its mirror image where that is another one, and ``may_flip`` says
    whether its mirror image has a class at all.
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
        """All that makes a sample of it another one, as plain data; the key, which is unique, first."""
        segment = self.start, self.end, self.start_frame, self.end_frame, self.frame_rate
        flipped = self.target(flipped=True)
        targets = self.labels, self.subsets, flipped.labels, flipped.subsets, self.may_flip
        return [self.key, self.path, *segment, *targets]

    def target(self, *, flipped: bool) -> Target:
        """What a view of it shows."""
        if flipped and self.mirrored is not None:
            return self.mirrored
        return Target(labels=self.labels, subsets=self.subsets)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A row of a list: the video's name (unique in its split), its path and labels, and where the row stands.

    ``other_paths`` are tried where ``path`` is not there. ``identifier`` is what lists of subsets call the video.
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
    """Entries of one split that become no video: how many there are of one kind, and the first of them."""

    kind: str
    count: int
    example: str


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A data set as its lists tell it, whatever is on the disk; ``notes`` are for the person at the terminal.

    ``entries``: how many rows or files the reader met in each split that it counts itself. ``left_out``: those of them
    that are in no split.
    """

    class_names: tuple[str, ...]
    splits: Mapping[str, Sequence[Listed]]
    notes: tuple[str, ...] = ()
    entries: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, Sequence[LeftOut]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Account:
    """What became of the entries of one split: each is a video to convert, is missing, or is left out with its kind.

    Raises ValueError where the sum is another one: then a reader has lost an entry without a word.
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
                f"{self.num_left_out} left out make {found}; this is a fault of the program, not of the list: report it"
            )

    @property
    def num_left_out(self) -> int:
        return sum(kind.count for kind in self.left_out)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The videos on disk by split, those that are listed but missing, and the class names of each subset."""

    class_names: tuple[str, ...]
    splits: dict[str, tuple[Video, ...]]
    missing: dict[str, tuple[Listed, ...]]
    notes: tuple[str, ...] = ()
    subsets: Mapping[str, tuple[str, ...]]
    accounts: Mapping[str, Account] = field(default_factory=dict)


def missing_table(dataset: Dataset, splits: Iterable[str]) -> str:
    """Every video that is listed but not on the disk: split, path, and the place of its row, between tabs."""
    rows = [(split, row.path, row.where) for split in splits for row in dataset.missing.get(split, ())]
    return "".join("\t".join(map(_in_one_cell, row)) + "\n" for row in (("split", "path", "listed_at"), *rows))


def _in_one_cell(value: object) -> str:
    return str(value).replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


@dataclass(frozen=True, kw_only=True)
class Targets:
    """What becomes of a row's labels: its target, that of its mirror image, and whether there is such a class."""

    target: Target
    mirrored: Target | None = None
    may_flip: bool = True


def find_on_disk(
    source: Path,
    rows: Sequence[tuple[Listed, Targets]],
    *,
    locate: Callable[[Sequence[Listed]], Callable[[Listed], str | None]] | None = None,
) -> tuple[tuple[Video, ...], tuple[Listed, ...]]:
    """(videos on the disk, rows whose file is missing) of one split. ValueError for a video listed twice.

    A symbolic link that leads nowhere is a missing file.

    Keys are made from all rows, so that a file that turns up later changes no other video's key.

    ``locate`` is given where videos can be fetched. It takes the rows whose file is not on the disk, and returns a
    function from such a row to its path below the URL, or None.
    """
    _refuse_twice_listed(row for row, _ in rows)
    exists, name_of = _Existing(), RelativePath(source)
    found = [next((path for path in (row.path, *row.other_paths) if exists(path)), None) for row, _ in rows]
    names = [None if path is None else name_of(path) for path in found]
    if locate is not None and None in names:
        path_of = locate([row for (row, _), name in zip(rows, names) if name is None])
        names = [path_of(row) if name is None else name for (row, _), name in zip(rows, names)]
    present, missing = [], []
    for key, (row, targets), name in zip(video_keys([row.name for row, _ in rows]), rows, names):
        if name is None:
            missing.append(row)
        else:
            present.append(_video(key, row, name, targets))
    return tuple(present), tuple(missing)


class _Existing:
    """Whether a path exists, by one listing of each folder: asking for every file takes hours on a network disk."""

    def __init__(self) -> None:
        self._entries = functools.cache(_entries_of)

    def __call__(self, path: Path) -> bool:
        is_link = self._entries(str(path.parent)).get(path.name)
        return is_link is not None and (not is_link or os.path.exists(path))


def _entries_of(folder: str) -> dict[str, bool]:
    """{name: whether it is a symbolic link} of what a folder holds."""
    try:
        with os.scandir(folder) as entries:
            return {entry.name: entry.is_symlink() for entry in entries}
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            return {}  # no path that a file can have
        raise


class RelativePath:
    """The name of a file in the shards: its path from the source where it lies below it, else its absolute path.

    The name is the same whether the source is given as an absolute path, a relative one, or a symbolic link.
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


def _video(key: str, row: Listed, path: str, targets: Targets) -> Video:
    return Video(
        key=key,
        path=path,
        labels=targets.target.labels,
        subsets=targets.target.subsets,
        mirrored=targets.mirrored,
        may_flip=targets.may_flip,
        start=row.start,
        end=row.end,
        start_frame=row.start_frame,
        end_frame=row.end_frame,
        frame_rate=row.frame_rate,
    )


def _refuse_twice_listed(rows: Iterable[Listed]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        if row.name in seen:
            raise ValueError(f"{row.where}: {row.name!r} is listed already, at {seen[row.name]}; list each video once")
        seen[row.name] = row.where
