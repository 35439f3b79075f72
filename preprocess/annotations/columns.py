"""The columns of a plain list: their meaning, the separator, and whether the first line is a header."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from preprocess.annotations.lists import SEPARATORS, numbered_lines
from preprocess.annotations.numbered import are_numbers

PATH, LABEL, COUNT, START, END = "path", "label", "n", "start", "end"
_KNOWN = (f"{PATH} {LABEL}", f"{PATH} {COUNT} {LABEL}", f"{PATH} {START} {END} {LABEL}")
# Names that headers use for the columns.
_HEADER_WORDS = frozenset(
    (
        "label",
        "labels",
        "label_id",
        "label_index",
        "class",
        "class_id",
        "class_index",
        "class_label",
        "category",
        "target",
    )
    + ("n", "num_frames", "frames", "n_frames", "total_frames", "frame_count", "length", "duration", "y", "index")
    + ("start", "end", "start_frame", "end_frame", "first", "last", "first_frame", "last_frame", "begin")
    + (
        PATH,
        "video",
        "file",
        "filename",
        "file_name",
        "video_path",
        "filepath",
        "file_path",
        "name",
        "video_name",
        "id",
    )
)


@dataclass(frozen=True)
class Columns:
    """``Columns(("path", "n", "label"))``: the names in order. More fields at the end of a row are more labels."""

    names: tuple[str, ...]

    def place(self, name: str) -> int | None:
        return self.names.index(name) if name in self.names else None

    @property
    def expected(self) -> str:
        """``<path> <n> <label>``"""
        return " ".join(f"<{name}>" for name in self.names)

    def is_row(self, fields: Sequence[str]) -> bool:
        """Whether each field is valid for its column."""
        enough = len(fields) >= len(self.names) and bool(fields[self.names.index(PATH)])
        return enough and are_numbers(self._numbers(fields))

    def is_header(self, fields: Sequence[str]) -> bool:
        """Whether all fields are names of columns. A row whose label is a word is not a header."""
        words = [field.strip("#").strip().casefold().replace(" ", "_").replace("-", "_") for field in fields]
        return len(fields) >= len(self.names) and all(word in _HEADER_WORDS for word in words)

    def _numbers(self, fields: Sequence[str]) -> list[str]:
        return [field for place, field in enumerate(fields) if place != self.names.index(PATH)]


def parse_columns(text: str) -> Columns:
    """``"path label" -> Columns(("path", "label"))``. ValueError for unknown combinations."""
    names = tuple(text.replace(",", " ").split())
    unknown = [name for name in names if name not in (PATH, LABEL, COUNT, START, END)]
    sets = ({PATH, LABEL}, {PATH, LABEL, COUNT}, {PATH, LABEL, START, END})
    if unknown or len(set(names)) != len(names) or set(names) not in sets or names[-1] != LABEL:
        raise ValueError(
            f"columns={text!r}: must be one of {', '.join(map(repr, _KNOWN))}: n is the number of frames, start and "
            "end are the first and the last frame from 1, and the label comes last"
        )
    return Columns(names)


def columns_hint(line: str, columns: Columns) -> str:
    """The hint for a line that fits another known list, as a row or as a header; else empty."""
    for text in _KNOWN:
        other = parse_columns(text)
        for separator in ("\t", ";", ",", " "):
            fields = line.split() if separator == " " else _fields(line, separator)
            fits = len(fields) == len(other.names) and (other.is_row(fields) or other.is_header(fields))
            if fits and len(other.names) < len(columns.names):
                return f"; for rows of {text!r} set annotations.columns: {text}"
    return ""


def find_separator(path: Path, columns: Columns) -> str:
    """The separator of the first two lines: a tab, a semicolon, a comma, or else blanks."""
    lines = [line for _, line in islice(numbered_lines(path), 2)]
    for separator in ("\t", ";", ","):
        if any(columns.is_row(_fields(line, separator)) for line in lines):
            return separator
    return " "


def _fields(line: str, separator: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=separator))]
    except csv.Error:  # such as a field of 200 kB; reading all rows raises it again, with the line
        return []


def named(separator: str) -> str:
    return SEPARATORS.get(separator, repr(separator))
