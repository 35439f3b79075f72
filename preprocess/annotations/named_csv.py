"""CSV files with a header. The configuration names the columns."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import ListEntry, Listing
from preprocess.annotations.lists import (
    check_segment,
    class_index,
    lists_of_splits,
    named_rows,
    names_in_order,
    seconds,
    whole_number,
)
from preprocess.annotations.numbered import (
    are_numbers,
    class_of_number,
    decimals_among,
    names_of_numbers,
    notes_on_numbers,
)

_DEFAULT_LISTS = {"train": ("train.csv",), "validation": ("validation.csv", "val.csv")}
_UNITS = ("seconds", "frames")


@dataclass(frozen=True, kw_only=True)
class NamedCsv:
    """``lists``: {split: file below the source}; ``videos``: the folder that the paths start at.

    A row is the video at ``path_column``, or its half-open segment from ``start_column`` to ``end_column`` in ``unit``
    (frames count from 0). ``label_column`` holds one class, or several between ``label_separator``. ``classes``: a file
    with one class name per line, in index order; without it, the classes are the sorted labels. If all labels are whole
    numbers, and the file does not have them as names, they are class indices that count from ``first_label``.
    """

    format_name: ClassVar[str] = "csv"
    summary: ClassVar[str] = "CSV with a header: the config names its columns for path, label, start and end"
    names_sides: ClassVar[bool] = False
    lists: Annotated[dict | None, "files of the lists, below --source: {split: file}"] = None
    classes: Annotated[
        str | None,
        "file with one class name per line, in index order, below --source; else the sorted labels are the names",
    ] = None
    videos: Annotated[str, "folder that the paths start at, below --source"] = "."
    separator: Annotated[str, "character between the columns"] = ","
    path_column: Annotated[str, "name of the column with the video's path"] = "path"
    label_column: Annotated[str, "name of the column with the class"] = "label"
    label_separator: Annotated[str | None, "text between several labels of one video"] = None
    start_column: Annotated[str | None, "name of the column where a segment starts"] = None
    end_column: Annotated[str | None, "name of the column where a segment ends; the end is not included"] = None
    unit: Annotated[str, f"unit of both columns of a segment: {' or '.join(_UNITS)}, from 0"] = "seconds"
    first_label: Annotated[int, "number of the first class in the lists"] = 0
    frame_rate: Annotated[float | None, "frames per second of videos that are folders of images"] = None

    def __post_init__(self) -> None:
        if len(self.separator) != 1 or self.label_separator == "":
            raise ValueError(
                f"separator={self.separator!r}, label_separator={self.label_separator!r}: "
                "must be one character, and at least one"
            )
        if self.unit not in _UNITS:
            raise ValueError(f"unit={self.unit!r}: must be one of {', '.join(_UNITS)}")
        if self.first_label < 0:
            raise ValueError(f"first_label={self.first_label}: must be 0 or more")
        if (self.start_column is None) != (self.end_column is None):
            raise ValueError("start_column and end_column belong together: give both or neither")

    def read(self, source: Path, splits: Sequence[str] | None = None) -> Listing:
        """One split for each list in ``splits``. ValueErrors name the file, the line and the row."""
        files, notes = lists_of_splits(self.lists, _DEFAULT_LISTS, source, splits)
        columns = [self.path_column, self.label_column, *filter(None, (self.start_column, self.end_column))]
        rows = {
            split: list(named_rows(path, separator=self.separator, columns=columns, setting="annotations.separator"))
            for split, path in files.items()
        }
        first_at: dict[str, str] = {}
        for where, row in (row for entries in rows.values() for row in entries):
            for name in self._names(row, where):
                first_at.setdefault(name, where)
        class_names, index_of, more_notes = self._classes(source, first_at)
        return Listing(
            class_names=class_names,
            splits={split: list(self._listed(source, entries, index_of)) for split, entries in rows.items()},
            entries={split: len(entries) for split, entries in rows.items()},
            notes=(*notes, *more_notes),
        )

    def _classes(
        self, source: Path, first_at: Mapping[str, str]
    ) -> tuple[tuple[str, ...], Callable[[str, str], int], tuple[str, ...]]:
        """(class names in index order, function from (label, place) to class index, notes).

        ``first_at``: {label: the first place where it is used}.
        """
        named = names_in_order(source / self.classes) if self.classes is not None else None
        if are_numbers(first_at) and not (named and first_at.keys() & named.keys()):
            return self._numbered_classes(first_at, named)
        if named is None and (decimals := decimals_among(first_at)):
            raise ValueError(
                f"{first_at[decimals[0]]}: {self.label_column} is {decimals[0]!r}, a whole number with a decimal "
                f"point; write {decimals[0].partition('.')[0]} as in the other rows"
            )
        numbers = [name for name in first_at if are_numbers([name])]
        notes = (
            ()
            if named is not None or not numbers
            else (
                f"{len(numbers)} of {len(first_at)} different labels are numbers, such as {numbers[0]!r} at "
                f"{first_at[numbers[0]]}; since other labels are names, all labels are read as names",
            )
        )
        classes = named if named is not None else {name: index for index, name in enumerate(sorted(first_at))}
        listed_in = self.classes or "the lists"
        return tuple(classes), lambda name, place: class_index(name, classes, place, listed_in), notes

    def _numbered_classes(
        self, first_at: Mapping[str, str], named: Mapping[str, int] | None
    ) -> tuple[tuple[str, ...], Callable[[str, str], int], tuple[str, ...]]:
        limit = len(named) if named is not None else None

        def index_of(text: str, place: str) -> int:
            return class_of_number(text, place, first_label=self.first_label, num_classes=limit)

        used = {index_of(text, f"{where}: {self.label_column}"): where for text, where in first_at.items()}
        if named is not None:
            return tuple(named), index_of, ()
        names = names_of_numbers(used, first_label=self.first_label)
        return names, index_of, tuple(notes_on_numbers(used, first_label=self.first_label))

    def _names(self, row: dict[str, str], where: str) -> list[str]:
        text = row[self.label_column]
        names = text.split(self.label_separator) if self.label_separator else [text]
        if not all(name.strip() for name in names):
            raise ValueError(f"{where}: {self.label_column} is {text!r}, expected a class name")
        return [name.strip() for name in names]

    def _listed(
        self, source: Path, rows: list[tuple[str, dict]], index_of: Callable[[str, str], int]
    ) -> Iterator[ListEntry]:
        for where, row in rows:
            path, place = row[self.path_column], f"{where}: {self.separator.join(row.values())!r}"
            if not path:
                raise ValueError(f"{place}: {self.path_column} is empty, expected the path of a video")
            segment = self._segment(row, place)
            name = "_".join((path, *(f"{round(100 * float(end)):08d}" for end in segment.values())))
            labels = tuple(dict.fromkeys(index_of(name, place) for name in self._names(row, where)))
            yield ListEntry(
                name=name,
                path=source / self.videos / path,
                labels=labels,
                where=where,
                frame_rate=self.frame_rate,
                **segment,
            )

    def _segment(self, row: dict[str, str], place: str) -> dict[str, float]:
        if self.start_column is None:
            return {}
        parse, names = (
            (seconds, ("start", "end")) if self.unit == "seconds" else (whole_number, ("start_frame", "end_frame"))
        )
        columns = self.start_column, self.end_column
        start, end = (parse(row[column], place, column) for column in columns)
        check_segment(start, end, place)
        return dict(zip(names, (start, end)))
