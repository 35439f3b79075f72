"""Builds frozen dataclasses from dictionaries. Unknown keys and values of the wrong type are errors."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from shards.suggestions import did_you_mean

T = TypeVar("T")


def build(cls: type[T], values: Any, where: str) -> T:
    """``cls(**values)``, with keys and types checked. ValueErrors begin with ``where``, the place in the config."""
    if not isinstance(values, Mapping):
        raise ValueError(f"{where}: {values!r} must be a mapping with keys of {', '.join(_names(cls))}")
    for key in values:
        check_key(key, _names(cls), where)
    missing = [field.name for field in _fields(cls) if _is_required(field) and field.name not in values]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} must be given")
    hints = typing.get_type_hints(cls)
    checked = {key: _checked(value, hints[key], f"{where}.{key}") for key, value in values.items()}
    try:
        return cls(**checked)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def check_key(key: Any, known: list[str], where: str) -> None:
    """ValueError for an unknown key. The message names the nearest known key."""
    if key in known:
        return
    suggestion = did_you_mean(key, known) or ";"
    raise ValueError(f"{where}: unknown key {key!r}{suggestion} the keys are {', '.join(known)}")


def _names(cls: type) -> list[str]:
    return [field.name for field in _fields(cls)]


def _fields(cls: type) -> tuple[dataclasses.Field, ...]:
    return dataclasses.fields(cls)


def _is_required(field: dataclasses.Field) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _checked(value: Any, hint: Any, where: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    for option in options:
        if option is float and type(value) is int:
            return float(value)
        # type(), not isinstance(): True is an int in Python, but not a number of frames.
        if type(value) is (typing.get_origin(option) or option):
            return value
    expected = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    hint_for_switch = "; write it without quotes" if bool in options and isinstance(value, str) else ""
    raise ValueError(f"{where}: {value!r} must be of type {expected}{hint_for_switch}")
