"""Finds the folders of the videos behind ``--videos-url`` by trying a few videos of each split."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from preprocess.annotations.dataset import ListEntry

# Names of the folder of each split in common downloads.
_SPLIT_FOLDERS = {"train": ("train",), "validation": ("val", "validate", "validation"), "test": ("test",)}
_VIDEOS_TRIED = 8


class RemoteFolders:
    """Finds the paths of videos below a URL.

    It tries a path first as the list gives it, then as ``<split>/<class>/<file>``, ``<split>/<file>``,
    ``<class>/<file>`` and ``<file>`` below ``videos``. It tries the usual names of a split's folder, and class names
    with spaces or with underscores. ``exists`` returns whether a file exists at a path below the URL.
    """

    def __init__(self, exists: Callable[[str], bool], *, source: Path, class_names: Sequence[str], videos: str = "."):
        self._exists = exists
        self._source = source
        self._class_names = class_names
        self._videos = videos

    def locate(self, split: str, entries: Sequence[ListEntry]) -> Callable[[ListEntry], str | None]:
        """A function from an entry to its path below the URL, or None if the file is outside the source.

        Only a few entries are looked up on the server. Raises ValueError if none of them is found.
        """
        inside = [entry for entry in entries if entry.path.is_relative_to(self._source)]
        if not inside:
            return lambda entry: None
        number = self._number_of_pattern(split, self._some_to_try(inside))

        def path_of(entry: ListEntry) -> str | None:
            return self._candidates(split, entry)[number] if entry.path.is_relative_to(self._source) else None

        return path_of

    def _some_to_try(self, entries: Sequence[ListEntry]) -> list[ListEntry]:
        """A few entries, evenly from the whole list, since one class may have a folder that the others lack.

        If some class names have a space, half of the entries have one: only these show how spaces are written.
        """
        spaced = [entry for entry in entries if entry.labels and " " in self._class_names[entry.labels[0]]]
        some = _evenly(spaced, _VIDEOS_TRIED // 2)
        return some + _evenly(entries, _VIDEOS_TRIED - len(some))

    def _number_of_pattern(self, split: str, entries: Sequence[ListEntry]) -> int:
        """The number of the pattern that finds the most entries; the first one of several."""
        found: Counter[int] = Counter()
        for entry in entries:
            candidates = self._candidates(split, entry)
            place = next(filter(self._exists, dict.fromkeys(candidates)), None)
            found.update(number for number, path in enumerate(candidates) if path == place)
        if found:
            return max(found, key=lambda number: (found[number], -number))
        tried = ", ".join(dict.fromkeys(self._candidates(split, entries[0])))
        raise ValueError(
            f"--videos-url: none of {len(entries)} videos of split {split!r} was found there; tried {tried}, and the "
            "same places for the others; give the URL of the folder that holds the videos"
        )

    def _candidates(self, split: str, entry: ListEntry) -> list[str]:
        return [entry.path.relative_to(self._source).as_posix(), *self._usual_places(split, entry)]

    def _usual_places(self, split: str, entry: ListEntry) -> Iterator[str]:
        """The same number of paths for each entry, so that a number means the same pattern for all."""
        name = self._class_names[entry.labels[0]] if entry.labels else ""
        for folder in (*_SPLIT_FOLDERS.get(split, (split,)), "."):
            for of_class in (name, name.replace(" ", "_"), "."):
                yield (PurePosixPath(self._videos) / folder / of_class / entry.path.name).as_posix()


def _evenly(entries: Sequence[ListEntry], count: int) -> list[ListEntry]:
    """At most ``count`` of the entries: ``5 of 9 -> 0 1 3 5 7``."""
    count = min(count, len(entries))
    return [entries[number * len(entries) // count] for number in range(count)]
