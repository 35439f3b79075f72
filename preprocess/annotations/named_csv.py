"""CSV with a header, whose columns the configuration names."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from preprocess.annotations.dataset import Listed, Listing
from preprocess.annotations.lists import (
    check_segment,
    class_index,
    named_rows,
    names_in_order,
    seconds,
    whole_number,
)

_DEFAULT_LISTS = {"train": "train.csv", "validation": "validation.csv"}
_UNITS = ("seconds", "frames")


@dataclass(frozen=True, kw_only=True)
class NamedCsv:
    """``lists``: {split: file below the source}; ``videos``: the folder that paths begin at.

    A row is a video at ``path_column``, or its half-open segment from ``start_column`` to ``end_column`` in ``unit``
    (frames count from 0). ``label_column`` holds a class name, or several between ``label_separator``. ``classes``: a
    file with a name a line, in index order; without it the sorted names.
    """

    format_name: ClassVar[str] = "csv"
    summary: ClassVar[str] = "CSV with a header: the config names its columns for path, label, start and end"
    names_sides: ClassVar[bool] = False
    lists: dict | None = None
    classes: str | None = None
    videos: str = "."
    separator: str = ","
    path_column: str = "path"
    label_column: str = "label"
    label_separator: str | None = None
    start_column: str | None = None
    end_column: str | None = None
    unit: str = "seconds"
    frame_rate: float | None = None

    def __post_init__(self):
        if len(self.separator) != 1 or self.label_separator == "":
            raise ValueError(
                f"separator={self.separator!r}, label_separator={self.label_separator!r}: "
                "must be one character, and at least one"
            )
        if self.unit not in _UNITS:
            raise ValueError(f"unit={self.unit!r}: must be one of {', '.join(_UNITS)}")
        if (self.start_column is None) != (self.end_column is None):
            raise ValueError("start_column and end_column belong together: give both or neither")

    def read(self, source: Path) -> Listing:
        """One split for each list."""
        files = {split: source / name for split, name in (self.lists or _DEFAULT_LISTS).items()}
        columns = [self.path_column, self.label_column, *filter(None, (self.start_column, self.end_column))]
        rows = {
            split: list(named_rows(path, separator=self.separator, columns=columns)) for split, path in files.items()
        }
        classes = self._classes(source, rows)
        return Listing(
            class_names=tuple(classes),
            splits={split: list(self._listed(source, entries, classes)) for split, entries in rows.items()},
        )

    def _classes(self, source: Path, rows: dict[str, list[tuple[str, dict]]]) -> dict[str, int]:
        if self.classes is not None:
            return names_in_order(source / self.classes)
        names = {name for entries in rows.values() for where, row in entries for name in self._names(row, where)}
        return {name: index for index, name in enumerate(sorted(names))}

    def _names(self, row: dict[str, str], where: str) -> list[str]:
        text = row[self.label_column]
        names = text.split(self.label_separator) if self.label_separator else [text]
        if not all(name.strip() for name in names):
            raise ValueError(f"{where}: {self.label_column} is {text!r}, expected a class name")
        return [name.strip() for name in names]

    def _listed(self, source: Path, rows: list[tuple[str, dict]], classes: dict[str, int]) -> Iterator[Listed]:
        listed_in = self.classes or "the lists"
        for where, row in rows:
            path = row[self.path_column]
            if not path:
                raise ValueError(f"{where}: {self.path_column} is empty, expected the path of a video")
            segment = self._segment(row, where)
            name = "_".join((path, *(f"{round(100 * float(end)):08d}" for end in segment.values())))
            labels = tuple(
                dict.fromkeys(class_index(name, classes, where, listed_in) for name in self._names(row, where))
            )
            yield Listed(
                name=name,
                path=source / self.videos / path,
                labels=labels,
                where=where,
                frame_rate=self.frame_rate,
                **segment,
            )

    def _segment(self, row: dict[str, str], where: str) -> dict[str, float]:
        if self.start_column is None:
            return {}
        parse, names = (
            (seconds, ("start", "end")) if self.unit == "seconds" else (whole_number, ("start_frame", "end_frame"))
        )
        columns = self.start_column, self.end_column
        start, end = (parse(row[column], where, column) for column in columns)
        check_segment(start, end, where)
        return dict(zip(names, (start, end)))
