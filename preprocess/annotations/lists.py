"""Reads list files (text, CSV, JSON) strictly. Each row comes with its place, ``FILE:LINE``, for error messages."""

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
    """The text of a list file. ValueError if it is missing, empty, or not text in UTF-8."""
    try:
        # utf-8-sig: a spreadsheet writes a byte order mark at the start.
        text = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: no such annotation file; check --source and the annotations in the config") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a text file in UTF-8: {error}; save it as UTF-8") from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise ValueError(
            f"{path}:{line}: has a NUL character, as UTF-16 and damaged files have; save the file as text in UTF-8"
        )
    if not text.strip():
        raise ValueError(f"{path}: is empty; get it again from the owners of the data set")
    return text


def first_of(*paths: Path) -> Path:
    """The first path that exists. If none exists, the first one, so that reading it raises an error."""
    return next((path for path in paths if path.is_file()), paths[0])


def lists_of_splits(
    lists: Mapping[str, str] | None,
    defaults: Mapping[str, Sequence[str]],
    source: Path,
    splits: Sequence[str] | None,
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """({split: its list file}, notes) for ``splits``, or for all lists if ``splits`` is None.

    ``lists`` comes from the configuration. Without it, the names in ``defaults`` are tried. Raises ValueError for a
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
    notes = ()
    if lists is not None and unused:
        notes = (f"annotations.lists: {', '.join(unused)} are not read, since no configured split has these names",)
    return {split: files[name] for split, name in chosen.items()}, notes


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """(``FILE:LINE``, text) of each line that is not blank. Lines end with LF or CRLF."""
    # Not splitlines(), which also splits at characters that may be part of a name.
    for number, line in enumerate(read_list(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def separated_rows(
    path: Path, *, separator: str, columns: str, at_least: int, at_most: int | None
) -> Iterator[tuple[str, list[str]]]:
    """(``FILE:LINE``, fields) of a CSV file without a header. ``columns`` describes a row in error messages."""
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
    """(``FILE:LINE``, {column: value}) of a CSV file with a header. ValueError if one of ``columns`` is missing.

    ``setting`` is the key of the configuration that sets the separator; empty if there is none.
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
            f"{where}: {separator.join(header)!r}: column {twice[0]!r} appears twice; name each column once"
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
        line = reader.line_num + 1  # a quoted field may hold line ends; a row is named by its first line


def _separator_hint(text: str, separator: str, setting: str = "") -> str:
    likely = [other for other in SEPARATORS if other not in (separator, " ") and other in text]
    if not likely:
        return ""
    way_out = f": set {setting}: {likely[0]!r}" if setting else ""
    return f"; it looks separated by {_named(likely[0])}, not {_named(separator)}{way_out}"


def _named(separator: str) -> str:
    return SEPARATORS.get(separator, repr(separator))


def json_content(path: Path, kind: type) -> Any:
    """The content of a JSON file, a ``kind`` (list or dict). ValueError with the line number for damaged JSON."""
    try:
        content = json.loads(read_list(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: not JSON: {error.msg}, at column {error.colno}") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path}: contains a {type(content).__name__}, expected a {kind.__name__}")
    return content


def json_entries(path: Path, fields: Mapping[str, type]) -> Iterator[tuple[str, dict]]:
    """(``FILE: entry N``, entry) of a JSON list of objects with ``fields`` of the given types; N counts from 1."""
    for number, entry in enumerate(json_content(path, list), start=1):
        where = f"{path}: entry {number}"
        wrong = [
            name
            for name, kind in fields.items()
            if not isinstance(entry, dict) or type(entry.get(name)) is not kind  # type(): True is no label
        ]
        if wrong:
            expected = ", ".join(f"{name} ({kind.__name__})" for name, kind in fields.items())
            raise ValueError(f"{where}: {json.dumps(entry)[:200]}: wrong {', '.join(wrong)}; expected {expected}")
        yield where, entry


def class_index(name: str, classes: Mapping[str, int], where: str, classes_from: str) -> int:
    """The index of a class. ValueError with the nearest name for an unknown class."""
    if name not in classes:
        raise ValueError(
            f"{where}: class {name!r} is not among the {len(classes)} of {classes_from}{did_you_mean(name, classes)}"
        )
    return classes[name]


def names_in_order(path: Path) -> dict[str, int]:
    """{class name: index from 0} of a file with one name per line. ValueError for a name that appears twice."""
    classes: dict[str, int] = {}
    for where, name in numbered_lines(path):
        if name in classes:
            raise ValueError(f"{where}: {name!r} is in line {classes[name] + 1} already; expected a new class name")
        classes[name] = len(classes)
    return classes


def whole_number(text: str, where: str, what: str) -> int:
    """``"84" -> 84``. ValueError for other text, such as ``84.0``."""
    # isdecimal() alone would accept digits of other scripts.
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{where}: {what} is {text!r}, expected a whole number from 0")
    return int(text)


def seconds(text: str, where: str, what: str) -> float:
    """``"11.90" -> 11.9``. ValueError for text that is not a time of at least 0 seconds."""
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
