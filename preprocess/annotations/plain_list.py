"""Plain lists: ``path start end label`` as action-recognition-pytorch and SIFAR use; ``path label``; ``path n label``.

Frames count from 1 and both ends are included. A path is a video, or a folder of ``00001.jpg ...``. Numbers after the
label are more labels.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.columns import (
    COUNT,
    END,
    LABEL,
    PATH,
    START,
    Columns,
    columns_hint,
    find_separator,
    named,
    parse_columns,
)
from preprocess.annotations.dataset import LeftOut, ListEntry, Listing
from preprocess.annotations.lists import lists_of_splits, names_in_order, separated_rows, whole_number
from preprocess.annotations.numbered import class_of_number, names_of_numbers, notes_on_numbers

_DEFAULT_LISTS = {"train": ("train.txt",), "validation": ("val.txt", "validation.txt")}
_HEADER = "header lines"


@dataclass(frozen=True, kw_only=True)
class PlainList:
    """``lists``: {split: file below the source}; ``videos``: the folder that the paths start at.

    ``columns``: ``path start end label``, ``path label`` (whole videos), or ``path n label`` (the first n frames).
    ``separator``: a space for any number of blanks, or one character such as ``;`` for Kinetics. By default it is found
    in the first row of each list. A first line with names of columns is a header. ``classes``: a file with one class
    name per line, in index order; without it, the numbers are the names. ``first_label``: the number of the first
    class. ``frame_rate`` (frames per second) is for folders of frames.
    """

    format_name: ClassVar[str] = "list"
    summary: ClassVar[str] = "plain lists: 'path start end label', 'path label', 'path n label'; videos or frames"
    names_sides: ClassVar[bool] = False
    lists: Annotated[dict | None, "files of the lists, below --source: {split: file}"] = None
    classes: Annotated[
        str | None,
        "file with one class name per line, in index order, below --source; else the numbers are the names",
    ] = None
    videos: Annotated[str, "folder that the paths start at, below --source"] = "."
    columns: Annotated[
        str, "path start end label, path label, or path n label; frames count from 1, and end is included"
    ] = "path start end label"
    separator: Annotated[
        str | None,
        "character between the fields; a space means any number of blanks; by default found in the first row",
    ] = None
    first_label: Annotated[int, "number of the first class in the lists"] = 0
    frame_rate: Annotated[float | None, "frames per second of videos that are folders of images"] = None

    def __post_init__(self) -> None:
        if self.separator is not None and len(self.separator) != 1:
            raise ValueError(f"separator={self.separator!r}: must be one character")
        if self.first_label < 0:
            raise ValueError(f"first_label={self.first_label}: must be 0 or more")
        parse_columns(self.columns)

    def read(self, source: Path, splits: Sequence[str] | None = None) -> Listing:
        """One split for each list in ``splits``. ValueErrors name the file, the line and the row."""
        class_names = tuple(names_in_order(source / self.classes)) if self.classes is not None else None
        files, notes = lists_of_splits(self.lists, _DEFAULT_LISTS, source, splits)
        read = {split: self._read(path) for split, path in files.items()}
        listed = {
            split: list(self._listed(rows, source / self.videos, class_names)) for split, (rows, _) in read.items()
        }
        if class_names is None:
            used: dict[int, str] = {}
            for row in (row for rows in listed.values() for row in rows):
                for label in row.labels:
                    used.setdefault(label, row.where)
            class_names = names_of_numbers(used, first_label=self.first_label)
            notes += tuple(notes_on_numbers(used, first_label=self.first_label))
        return Listing(
            class_names=class_names,
            splits=listed,
            entries={split: len(rows) + len(headers) for split, (rows, headers) in read.items()},
            left_out={
                split: [LeftOut(kind=_HEADER, count=1, example=header) for header in headers]
                for split, (_, headers) in read.items()
            },
            notes=notes,
        )

    def _read(self, path: Path) -> tuple[list[tuple[str, list[str]]], list[str]]:
        """(rows, place of the header line if there is one) of one list."""
        columns = parse_columns(self.columns)
        separator = self.separator if self.separator is not None else find_separator(path, columns)
        rows = []
        headers = []
        for where, fields in separated_rows(
            path, separator=separator, columns=columns.expected, at_least=1, at_most=None
        ):
            if not rows and not headers and columns.is_header(fields):
                headers.append(f"{where}: {separator.join(fields)!r}")
            elif len(fields) < len(columns.names):
                raise ValueError(_too_few(where, fields, separator, columns))
            elif separator == " " and len(fields) > len(columns.names) and not columns.is_row(fields):
                raise ValueError(
                    f"{where}: {' '.join(fields)!r}: {len(fields)} fields, expected {columns.expected}; a path with "
                    "blanks needs quotes, or another separator between the fields"
                )
            else:
                rows.append((where, fields))
        if not rows:
            raise ValueError(f"{path}: has a header and no row; expected {columns.expected}")
        return rows, headers

    def _listed(
        self, rows: Sequence[tuple[str, list[str]]], videos: Path, class_names: tuple[str, ...] | None
    ) -> Iterator[ListEntry]:
        columns = parse_columns(self.columns)
        path_at = columns.place(PATH)
        times_listed = Counter(fields[path_at] for _, fields in rows)
        for where, fields in rows:
            path, place = fields[path_at], f"{where}: {' '.join(fields)!r}"
            if not path:
                raise ValueError(f"{place}: the path is empty; expected {columns.expected}")
            start, end = _segment(fields, columns, place)
            labels = _labels(fields[columns.place(LABEL) :], place, class_names, self.first_label)
            is_cut = columns.place(START) is not None and times_listed[path] > 1
            yield ListEntry(
                name=f"{path}_{start + 1:06d}_{end:06d}" if is_cut else path,
                path=videos / path,
                labels=labels,
                where=where,
                start_frame=start,
                end_frame=end,
                frame_rate=self.frame_rate,
            )


def _segment(fields: Sequence[str], columns: Columns, place: str) -> tuple[int | None, int | None]:
    """The half-open [start, end) in frames from 0; (None, None) for a whole video."""
    if columns.place(COUNT) is not None:
        count = whole_number(fields[columns.place(COUNT)], place, "the number of frames")
        if count < 1:
            raise ValueError(f"{place}: the number of frames is 0, expected at least 1")
        return 0, count
    if columns.place(START) is None:
        return None, None
    first, last = (whole_number(fields[columns.place(name)], place, name) for name in (START, END))
    if not 1 <= first <= last:
        raise ValueError(f"{place}: frames {first} to {last}, expected 1 <= start <= end: frames count from 1")
    return first - 1, last


def _labels(
    fields: Sequence[str], place: str, class_names: tuple[str, ...] | None, first_label: int
) -> tuple[int, ...]:
    num_classes = len(class_names) if class_names is not None else None
    return tuple(
        dict.fromkeys(class_of_number(text, place, first_label=first_label, num_classes=num_classes) for text in fields)
    )


def _too_few(where: str, fields: Sequence[str], separator: str, columns: Columns) -> str:
    text = separator.join(fields)
    likely = [other for other in "\t;," if other != separator and other in text]
    hint = f"; it looks separated by {named(likely[0])}: set annotations.separator: '{likely[0]}'" if likely else ""
    return (
        f"{where}: {text!r}: {len(fields)} fields between {named(separator)}, expected {columns.expected}"
        f"{hint}{columns_hint(text, columns)}"
    )
