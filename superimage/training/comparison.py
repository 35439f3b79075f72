"""Compares the data that a checkpoint was trained on with the given data, by name and value. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shards.layouts import Layout

# Super images that differ in these are of another kind than those that the model was trained on.
_GRID = ("frames", "rows", "columns", "order", "groups")
_SHOWN = 8


def class_difference(there: Sequence[str], here: Sequence[str]) -> str:
    """The difference between the class names of a checkpoint and the data, in one clause; empty if there is none.

    ``["a", "b"], ["b", "a"] -> "class 0 is 'a' in the checkpoint and 'b' in the data (2 of 2 classes differ)"``.
    """
    there, here = list(there), list(here)
    if there == here:
        return ""
    if len(there) != len(here):
        return f"the checkpoint has {len(there)} classes, the data has {len(here)}{_missing(there, here)}"
    wrong = [index for index, names in enumerate(zip(there, here)) if names[0] != names[1]]
    first = wrong[0]
    return (
        f"class {first} is {there[first]!r} in the checkpoint and {here[first]!r} in the data ({len(wrong)} of "
        f"{len(here)} classes differ)"
    )


def _missing(there: Sequence[str], here: Sequence[str]) -> str:
    only_there, only_here = [name for name in there if name not in set(here)], set(here) - set(there)
    notes = [f"{only_there[0]!r} is only in the checkpoint"] if only_there else []
    notes += [f"{min(only_here)!r} is only in the data"] if only_here else []
    return f" ({', '.join(notes)})" if notes else ""


def grid_differences(there: Mapping, here: Mapping) -> list[str]:
    """The differences between two ``superimage`` sections in the grid of tiles, with both values."""
    return _named(_layout(there), _layout(here), _GRID)


def other_differences(there: Mapping, here: Mapping) -> list[str]:
    """Other differences that may affect results: tile size, pads, sampling, mean and std."""
    before, now = _layout(there), _layout(here)
    lines = _named(before, now, ("tile", "pad"))
    for name in ("sampling", "mean", "std"):
        lines += _leaves(name, there.get(name), here.get(name))
    return lines


def all_differences(there: Mapping, here: Mapping) -> str:
    """All differences between two sections in one line, for error messages."""
    classes = class_difference(there["class_names"], here["class_names"])
    lines = [*([classes] if classes else []), *grid_differences(there, here), *other_differences(there, here)]
    rest = f"; {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return ("; ".join(lines[:_SHOWN]) or "other videos, or another conversion") + rest


def image_size(section: Mapping) -> tuple[int, int]:
    """(height, width) in pixels of the super images that a section describes."""
    return Layout(**_layout(section)).image_size


def _layout(section: Mapping) -> dict:
    """The layout with this version's defaults, so that an older manifest without a key does not count as different."""
    try:
        return Layout(**section["layout"]).to_dict()
    except TypeError as error:
        raise ValueError(f"this version cannot read the layout {dict(section['layout'])}: {error}") from error


def _named(before: Mapping, now: Mapping, names: Sequence[str]) -> list[str]:
    return [line for name in names for line in _leaves(f"layout.{name}", before.get(name), now.get(name))]


def _leaves(name: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted(before.keys() | now.keys()):
            yield from _leaves(f"{name}.{key}", before.get(key), now.get(key))
    elif _plain(before) != _plain(now):
        yield f"{name} is {before!r} in the checkpoint and {now!r} in the data"


def _plain(value: Any) -> Any:
    """Turn tuples into lists, since JSON turns them into lists and torch keeps them."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
