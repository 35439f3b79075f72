"""What every annotation reader gives: videos with labels, in splits, and the class names in index order."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from shards.format import video_keys

VIDEO_SUFFIXES = frozenset(
    (".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts")
    + (".webm", ".wmv")
)


@dataclass(frozen=True, kw_only=True)
class Video:
    """One labelled video, or a segment of one.

    ``key`` is its name in the shards; ``path`` is relative to the source where it lies below it, so that shards made on
    another machine are the same. ``labels`` are class indices, the first is the one that
    single-label training uses. ``start`` and ``end`` are seconds of the half-open segment [start, end); None for the
    file's own ends.
    """

    key: str
    path: str
    labels: tuple[int, ...]
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A row of a list: the video's name (unique in its split), its path and labels, and where the row stands."""

    name: str
    path: Path
    labels: tuple[int, ...]
    where: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """The videos on disk by split, those that are listed but missing, and remarks for the person at the terminal."""

    class_names: tuple[str, ...]
    splits: dict[str, tuple[Video, ...]]
    missing: dict[str, tuple[Listed, ...]]
    notes: tuple[str, ...] = ()


def dataset_from(
    source: Path, class_names: Sequence[str], splits: dict[str, Iterable[Listed]], notes: Iterable[str] = ()
) -> Dataset:
    """Give the listed videos keys, and part those on disk from the missing. ValueError for a video listed twice."""
    present, missing = {}, {}
    for split, rows in splits.items():
        rows = tuple(rows)
        _refuse_twice_listed(rows)
        keyed = list(zip(video_keys([row.name for row in rows]), rows))
        missing[split] = tuple(row for row in rows if not row.path.is_file())
        gone = {row.name for row in missing[split]}
        present[split] = tuple(_video(key, row, source) for key, row in keyed if row.name not in gone)
    return Dataset(class_names=tuple(class_names), splits=present, missing=missing, notes=tuple(notes))


def _video(key: str, row: Listed, source: Path) -> Video:
    path = row.path.relative_to(source) if row.path.is_relative_to(source) else row.path.absolute()
    return Video(key=key, path=path.as_posix(), labels=row.labels, start=row.start, end=row.end)


def _refuse_twice_listed(rows: Iterable[Listed]) -> None:
    seen: dict[str, str] = {}
    for row in rows:
        if row.name in seen:
            raise ValueError(f"{row.where}: {row.name!r} is listed already, at {seen[row.name]}; list each video once")
        seen[row.name] = row.where


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(``FILE:LINE``, text) of each line that is not blank; LF and CRLF alike. ValueError when the file is missing."""
    try:
        # utf-8-sig: lists that passed through a spreadsheet begin with a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ValueError(f"{path}: no such annotation file; check --source and the annotations in the config") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8: {error}") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()
