"""Labels that are numbers: the classes that they make, and what is odd about them. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping

# More than any data set of videos has: a larger number is an identifier, a time, or a damaged field.
MAX_CLASSES = 100_000
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)
_DECIMAL = re.compile(r"[+-]?\d+\.0*", re.ASCII)


def are_numbers(labels: Iterable[str]) -> bool:
    """Whether all labels are whole numbers, and there are some; ``-1`` is one too."""
    labels = list(labels)
    return bool(labels) and all(_WHOLE.fullmatch(label) for label in labels)


def decimals_among(labels: Iterable[str]) -> list[str]:
    """Labels such as ``3.0`` where all labels are numbers: whole numbers that a table program wrote as decimals."""
    labels = list(labels)
    decimals = [label for label in labels if _DECIMAL.fullmatch(label)]
    return decimals if all(_WHOLE.fullmatch(label) for label in labels if label not in decimals) else []


def class_of_number(text: str, place: str, *, first_label: int, num_classes: int | None = None) -> int:
    """The class index of a label: ``"3" -> 3``, or 2 where labels begin at ``first_label`` 1.

    ``place`` begins the message of the ValueError for a label that is no whole number from ``first_label`` on, or that
    is beyond ``num_classes`` where a file names the classes.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(
            f"{place}: a label is {text!r}, expected a whole number from {first_label}; "
            "for class names take format: csv; a header names its columns, such as 'path label'"
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
            f"{place}: label {number} would make {index + 1} classes, and {MAX_CLASSES} are the limit: labels number "
            "the classes one after another; if they are identifiers, list them in a file, one a line, and name it as "
            "annotations.classes of format: csv"
        )
    return index


def names_of_numbers(indices: Iterable[int], *, first_label: int) -> tuple[str, ...]:
    """A class for each number up to the highest, named by its number: ``{0, 2} -> ("0", "1", "2")``."""
    return tuple(str(first_label + index) for index in range(max(indices, default=-1) + 1))


def notes_on_numbers(indices: Mapping[int, str], *, first_label: int) -> Iterator[str]:
    """What is odd about the class indices in use, {index: where it is used first}."""
    if indices and first_label == 0 and min(indices) == 1:
        yield (
            "labels begin at 1, so that class 0 has no video; unless there is such a class, set "
            f"annotations.first_label: 1 (label 1 stands at {indices[1]})"
        )
    elif indices and len(indices) <= (max(indices) + 1) // 2:
        used = sorted(first_label + index for index in indices)
        shown = ", ".join(map(str, used[:5])) + (", ..." if len(used) > 5 else "")
        yield (
            f"{len(used)} different labels ({shown}) make {max(indices) + 1} classes, since the numbers between them "
            "are classes too; if labels are identifiers, take format: csv, and list them in a file, annotations.classes"
        )
