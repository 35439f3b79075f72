"""Where the videos of a split lie behind ``--videos-url``: found out with a few, then taken for all."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from preprocess.annotations.dataset import Listed

# The names that downloads use for the folder of each split.
_SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "validate", "validation"), "test": ("test",)}
_VIDEOS_TRIED = 8


class RemoteFolders:
    """Paths below a URL. ``exists`` tells whether there is a file at such a path; ``videos`` is a folder of all videos.

    A path is tried first as the list names it, then as ``<split>/<class>/<file>``, ``<split>/<file>``,
    ``<class>/<file>`` and ``<file>`` below ``videos``, with the usual names of a split's folder, and with spaces or
    underscores in the name of a class.
    """

    def __init__(self, exists: Callable[[str], bool], *, source: Path, class_names: Sequence[str], videos: str = "."):
        self._exists = exists
        self._source = source
        self._class_names = class_names
        self._videos = videos

    def locate(self, split: str, rows: Sequence[Listed]) -> Callable[[Listed], str | None]:
        """A function from a row to its path below the URL, None for a file that lies outside the source.

        Asks the server about a few rows alone. Raises ValueError where none of them is found.
        """
        inside = [row for row in rows if row.path.is_relative_to(self._source)]
        if not inside:
            return lambda row: None
        number = self._number_of_pattern(split, self._telling(inside))

        def path_of(row: Listed) -> str | None:
            return self._candidates(split, row)[number] if row.path.is_relative_to(self._source) else None

        return path_of

    def _telling(self, rows: Sequence[Listed]) -> list[Listed]:
        """A few rows: half of them of classes whose name has a space, which alone tell how it is written, if there are.

        Evenly from the whole list, since the rows of one class may lie in a folder that others lack.
        """
        spaced = [row for row in rows if row.labels and " " in self._class_names[row.labels[0]]]
        some = _evenly(spaced, _VIDEOS_TRIED // 2)
        return some + _evenly(rows, _VIDEOS_TRIED - len(some))

    def _number_of_pattern(self, split: str, rows: Sequence[Listed]) -> int:
        """The pattern by which the most rows are found; the first of several."""
        found: Counter[int] = Counter()
        for row in rows:
            candidates = self._candidates(split, row)
            place = next(filter(self._exists, dict.fromkeys(candidates)), None)
            found.update(number for number, path in enumerate(candidates) if path == place)
        if found:
            return max(found, key=lambda number: (found[number], -number))
        tried = ", ".join(dict.fromkeys(self._candidates(split, rows[0])))
        raise ValueError(
            f"--videos-url: none of {len(rows)} videos of split {split!r} is there; tried {tried}, and "
            "the same places for the others; give the URL of the folder that holds them"
        )

    def _candidates(self, split: str, row: Listed) -> list[str]:
        return [row.path.relative_to(self._source).as_posix(), *self._usual_places(split, row)]

    def _usual_places(self, split: str, row: Listed) -> Iterator[str]:
        """Always as many, so that a number names the same pattern for each row."""
        name = self._class_names[row.labels[0]] if row.labels else ""
        for folder in (*_SPLIT_FOLDERS.get(split, (split,)), "."):
            for of_class in (name, name.replace(" ", "_"), "."):
                yield (PurePosixPath(self._videos) / folder / of_class / row.path.name).as_posix()


def _evenly(rows: Sequence[Listed], count: int) -> list[Listed]:
    """At most ``count`` of the rows: ``5 of 9 -> 0 1 3 5 7``."""
    count = min(count, len(rows))
    return [rows[number * len(rows) // count] for number in range(count)]
