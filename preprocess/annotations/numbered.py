"""Labels that are numbers: their classes, and notes on unusual numbers. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping

# No data set of videos has more classes. A larger number is an identifier, a time or a damaged field.
MAX_CLASSES = 100_000
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+\.0*", re.ASCII)


def are_numbers(labels: Iterable[str]) -> bool:
    """Whether there are labels and all of them are whole numbers, such as ``3`` or ``-1``."""
    labels = list(labels)
    return bool(labels) and all(_WHOLE.fullmatch(label) for label in labels)


def decimals_among(labels: Iterable[str]) -> list[str]:
    """Labels such as ``3.0``, which a spreadsheet writes for whole numbers; empty unless all labels are numbers."""
    labels = list(labels)
    decimals = [label for label in labels if _DECIMAL.fullmatch(label)]
    return decimals if all(_WHOLE.fullmatch(label) for label in labels if label not in decimals) else []


def class_of_number(text: str, place: str, *, first_label: int, num_classes: int | None = None) -> int:
    """The class index of a label: ``"3" -> 3``, or 2 if ``first_label`` is 1.

    Raises ValueError, which begins with ``place``, for a label that is not a whole number of at least ``first_label``,
    or that is too large for ``num_classes``, the number of classes in a file.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(
            f"{place}: a label is {text!r}, expected a whole number from {first_label}; "
            "for class names use format: csv; a header consists of names of columns, such as 'path label'"
        )
    number = int(text)
    if number < first_label:
        way_out = (
            "leave out the rows of videos without a label"
            if number < 0
            else "set annotations.first_label to the lowest"
        )
        raise ValueError(f"{place}: label {number}, expected {first_label} or more; {way_out}")
    index = number - first_label
    if num_classes is not None and index >= num_classes:
        hint = "; if labels begin at 1, set annotations.first_label: 1" if index == num_classes and number else ""
        last = first_label + num_classes - 1
        raise ValueError(f"{place}: label {number}, expected {first_label} to {last}, the classes of the file{hint}")
    if index >= MAX_CLASSES:
        raise ValueError(
            f"{place}: label {number} would make {index + 1} classes, and the limit is {MAX_CLASSES}: labels must "
            "number the classes consecutively; if they are identifiers, list them in a file, one per line, and give it "
            "as annotations.classes with format: csv"
        )
    return index


def names_of_numbers(indices: Iterable[int], *, first_label: int) -> tuple[str, ...]:
    """Class names for all numbers up to the highest: ``{0, 2} -> ("0", "1", "2")``."""
    return tuple(str(first_label + index) for index in range(max(indices, default=-1) + 1))


def notes_on_numbers(indices: Mapping[int, str], *, first_label: int) -> Iterator[str]:
    """Notes if the class indices start at 1 or have large gaps. ``indices``: {index: where it is used first}."""
    if indices and first_label == 0 and min(indices) == 1:
        yield (
            "labels begin at 1, so class 0 has no video; if there is no class 0, set "
            f"annotations.first_label: 1 (label 1 is at {indices[1]})"
        )
    elif indices and len(indices) <= (max(indices) + 1) // 2:
        used = sorted(first_label + index for index in indices)
        shown = ", ".join(map(str, used[:5])) + (", ..." if len(used) > 5 else "")
        yield (
            f"{len(used)} different labels ({shown}) make {max(indices) + 1} classes, since the numbers between them "
            "are classes too; if labels are identifiers, use format: csv, and list them in the file annotations.classes"
        )
