"""List files as text, CSV or JSON, read strictly: each row with its place, ``FILE:LINE``, for whoever must mend it."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from preprocess.annotations.split_names import also_called
from shards.suggestions import did_you_mean

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "blanks"}


def read_list(path: Path) -> str:
    """A list file's text. ValueError when it is missing, no text, or holds nothing."""
    try:
        # utf-8-sig: lists that passed through a spreadsheet begin with a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: no such annotation file; check --source and the annotations in the config") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8: {error}; save it as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(
            f"{path}:{line}: holds a NUL character, as UTF-16 and damaged files do; save it as text in UTF-8"
        )
    if not text.strip():
        raise ValueError(f"{path}: holds nothing; get it again from the owners of the data set")
    return text


def first_of(*paths: Path) -> Path:
    """The first that exists, or else the first, whose absence is then told to whoever reads it."""
    return next((path for path in paths if path.is_file()), paths[0])


def lists_of_splits(
    lists: Mapping[str, str] | None,
    defaults: Mapping[str, Sequence[str]],
    source: Path,
    splits: Sequence[str] | None,
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """({split: its list file}, notes) for ``splits``, or for all lists where it is None.

    ``lists`` are those of the configuration; ``defaults`` the names to look for without them. Raises ValueError for a
    split without a list.
    """
    if lists is not None:
        files = {split: source / name for split, name in lists.items()}
    else:
        files = {split: first_of(*(source / name for name in names)) for split, names in defaults.items()}
    if splits is None:
        return files, ()
    chosen = also_called(list(files), splits, "annotations.lists: no list")
    unused = [split for split in files if split not in chosen.values()]
    told = lists is not None and unused
    notes = (f"annotations.lists: {', '.join(unused)} belong to no configured split and are not read",) if told else ()
    return {split: files[name] for split, name in chosen.items()}, notes


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(``FILE:LINE``, text) of each line that is not blank; LF and CRLF alike."""
    # Not splitlines(): it also cuts at characters that are legal inside a name.
    for number, line in enumerate(read_list(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def separated_rows(
    path: Path, *, separator: str, columns: str, at_least: int, at_most: int | None
) -> Iterator[tuple[str, list[str]]]:
    """(``FILE:LINE``, fields) of a file without a header, quotes as in CSV; ``columns`` says what a row must hold."""
    for where, fields in _csv_rows(path, separator):
        if len(fields) < at_least or (at_most is not None and len(fields) > at_most):
            raise ValueError(
                f"{where}: {separator.join(fields)!r}: {len(fields)} fields, expected {columns}"
                f"{_separator_hint(separator.join(fields), separator)}"
            )
        yield where, fields


def named_rows(
    path: Path, *, separator: str, columns: Sequence[str], setting: str = ""
) -> Iterator[tuple[str, dict[str, str]]]:
    """(``FILE:LINE``, {column: value}) of a CSV with a header; ValueError where one of ``columns`` is missing.

    ``setting``: where the configuration sets the separator, if it can.
    """
    rows = _csv_rows(path, separator)
    where, header = next(rows)
    header = [name.strip() for name in header]
    missing = [column for column in columns if column not in header]
    if missing:
        names = "; annotations.path_column, label_column and so on name other columns" if setting else ""
        hint = _separator_hint(separator.join(header), separator, setting) or names
        raise ValueError(
            f"{where}: no column {', '.join(missing)} in the header {separator.join(header)!r}; "
            f"expected {separator.join(columns)}{hint}"
        )
    twice = [column for column in columns if header.count(column) > 1]
    if twice:
        raise ValueError(
            f"{where}: {separator.join(header)!r}: column {twice[0]!r} stands twice; name each column once"
        )
    for where, fields in rows:
        if len(fields) != len(header):
            raise ValueError(
                f"{where}: {separator.join(fields)!r}: {len(fields)} fields, expected {len(header)}: "
                f"{separator.join(header)}{_separator_hint(separator.join(fields), separator, setting)}"
            )
        yield where, dict(zip(header, fields))


def _csv_rows(path: Path, separator: str) -> Iterator[tuple[str, list[str]]]:
    blanks = separator == " "  # any number of spaces or tabs
    text = read_list(path)
    text = io.StringIO(text.replace("\t", " ") if blanks else text, newline="")
    reader = csv.reader(text, delimiter=separator, strict=True, skipinitialspace=blanks)
    line = 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{path}:{line}: {error}; expected fields between {_named(separator)}") from error
        if fields is None:
            return
        fields = [field.strip() for field in fields]
        if blanks and fields and not fields[-1]:
            fields.pop()  # blanks at the end of the line
        if any(fields):
            yield f"{path}:{line}", fields
        line = reader.line_num + 1  # a quoted field may hold line ends: a row is named by its first line


def _separator_hint(text: str, separator: str, setting: str = "") -> str:
    likely = [other for other in SEPARATORS if other not in (separator, " ") and other in text]
    if not likely:
        return ""
    way_out = f": set {setting}: {likely[0]!r}" if setting else ""
    return f"; it looks separated by {_named(likely[0])}, not {_named(separator)}{way_out}"


def _named(separator: str) -> str:
    return SEPARATORS.get(separator, repr(separator))


def json_content(path: Path, kind: type) -> Any:
    """What a JSON file holds, a list or a dict as ``kind`` asks; ValueError names the line where it is broken."""
    try:
        content = json.loads(read_list(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}, at column {error.colno}") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path}: holds a {type(content).__name__}, expected a {kind.__name__}")
    return content


def json_entries(path: Path, fields: Mapping[str, type]) -> Iterator[tuple[str, dict]]:
    """(``FILE: entry N``, entry) of a JSON list of objects, each with ``fields`` of the given types; N from 1."""
    for number, entry in enumerate(json_content(path, list), start=1):
        where = f"{path}: entry {number}"
        wrong = [
            name
            for name, kind in fields.items()
            if not isinstance(entry, dict) or type(entry.get(name)) is not kind  # type(): True is no label
        ]
        if wrong:
            expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in fields.items())
            raise ValueError(f"{where}: {json.dumps(entry)[:200]}: no good {', '.join(wrong)}; expected {expected}")
        yield where, entry


def class_index(name: str, classes: Mapping[str, int], where: str, classes_from: str) -> int:
    """The index of a class; ValueError with the nearest name for one that is not there."""
    if name not in classes:
        raise ValueError(
            f"{where}: class {name!r} is not among the {len(classes)} of {classes_from}{did_you_mean(name, classes)}"
        )
    return classes[name]


def names_in_order(path: Path) -> dict[str, int]:
    """A class name a line -> its index, from 0; ValueError for a name that stands twice."""
    classes: dict[str, int] = {}
    for where, name in numbered_lines(path):
        if name in classes:
            raise ValueError(f"{where}: {name!r} stands in line {classes[name] + 1} already; expected a new class name")
        classes[name] = len(classes)
    return classes


def whole_number(text: str, where: str, what: str) -> int:
    """``"84" -> 84``; ValueError for anything else, such as what a spreadsheet makes of it."""
    # isdecimal() alone would take digits of other scripts.
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{where}: {what} is {text!r}, expected a whole number from 0")
    return int(text)


def seconds(text: str, where: str, what: str) -> float:
    """``"11.90" -> 11.9``; ValueError for anything that is no time from 0 on."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e7:  # also refuses nan and inf
        raise ValueError(f"{where}: {what} is {text!r}, expected seconds from 0")
    return value


def check_segment(start: float, end: float, where: str) -> None:
    if start >= end:
        raise ValueError(f"{where}: the segment from {start} to {end} is empty; expected start < end")
