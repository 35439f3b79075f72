"""What a checkpoint was trained on against the data at hand, by name and by value. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from shards.layouts import Layout

# A model that saw other values of these sees no super image of its own kind.
_GRID = ("frames", "rows", "columns", "order", "groups")
_SHOWN = 8


def class_difference(there: Sequence[str], here: Sequence[str]) -> str:
    """How the class names of a checkpoint and of the data differ, in one clause; empty where they do not.

    ``["a", "b"], ["b", "a"] -> "class 0 is 'a' in the checkpoint and 'b' in the data (2 of 2 classes differ)"``.
    """
    there, here = list(there), list(here)
    if there == here:
        return ""
    if len(there) != len(here):
        return f"the checkpoint tells {len(there)} classes apart, the data has {len(here)}{_missing(there, here)}"
    wrong = [index for index, names in enumerate(zip(there, here)) if names[0] != names[1]]
    first = wrong[0]
    return (
        f"class {first} is {there[first]!r} in the checkpoint and {here[first]!r} in the data ({len(wrong)} of "
        f"{len(here)} classes differ)"
    )


def _missing(there: Sequence[str], here: Sequence[str]) -> str:
    only_there, only_here = [name for name in there if name not in set(here)], set(here) - set(there)
    told = [f"{only_there[0]!r} is in the checkpoint alone"] if only_there else []
    told += [f"{min(only_here)!r} is in the data alone"] if only_here else []
    return f" ({', '.join(told)})" if told else ""


def grid_differences(there: Mapping, here: Mapping) -> list[str]:
    """The properties of the grid of tiles in which two ``superimage`` sections differ, and the values of both."""
    return _named(_layout(there), _layout(here), _GRID)


def other_differences(there: Mapping, here: Mapping) -> list[str]:
    """What else differs between two sections and may shift results: tile size, pads, sampling, mean and std."""
    before, now = _layout(there), _layout(here)
    told = _named(before, now, ("tile", "pad"))
    for name in ("sampling", "mean", "std"):
        told += _leaves(name, there.get(name), here.get(name))
    return told


def all_differences(there: Mapping, here: Mapping) -> str:
    """Every named difference of two sections in one line, for a refusal."""
    classes = class_difference(there["class_names"], here["class_names"])
    told = [*([classes] if classes else []), *grid_differences(there, here), *other_differences(there, here)]
    rest = f"; {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return ("; ".join(told[:_SHOWN]) or "the videos, or how they were converted") + rest


def image_size(section: Mapping) -> tuple[int, int]:
    """(height, width) in pixels of the super images that a section describes."""
    return Layout(**_layout(section)).image_size


def _layout(section: Mapping) -> dict:
    """With the defaults of this version filled in, so that an older manifest differs in nothing by silence."""
    try:
        return Layout(**section["layout"]).to_dict()
    except TypeError as error:
        raise ValueError(f"this version does not know the layout {dict(section['layout'])}: {error}") from error


def _named(before: Mapping, now: Mapping, names: Sequence[str]) -> list[str]:
    return [line for name in names for line in _leaves(f"layout.{name}", before.get(name), now.get(name))]


def _leaves(name: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted(before.keys() | now.keys()):
            yield from _leaves(f"{name}.{key}", before.get(key), now.get(key))
    elif _plain(before) != _plain(now):
        yield _told(name, before, now)


def _told(name: str, before: Any, now: Any) -> str:
    return f"{name} is {before!r} in the checkpoint and {now!r} in the data"


def _plain(value: Any) -> Any:
    """JSON and torch make lists of tuples, or keep them."""
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
