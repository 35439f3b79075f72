"""Write the tables of ``docs/configuration.md`` from the schema: ``python -m docs.make_configuration``.

The schema contains the description of each key, as ``Annotated[type, description]``.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from pathlib import Path

import yaml

from preprocess.annotations import FORMATS
from preprocess.annotations.dataset import FRAME_SUFFIXES, VIDEO_SUFFIXES
from preprocess.annotations.numbered import MAX_CLASSES
from preprocess.annotations.subsets import Subset
from preprocess.config.general import General
from preprocess.config.presets import PRESETS, LayoutConfig
from preprocess.config.schema import Encoding
from preprocess.config.splits import SplitConfig
from preprocess.decode.source import MAX_PIXELS
from preprocess.sampling import Sampling
from shards.format import MAX_KEY_LENGTH, MAX_VIEWS
from shards.page.markdown import markdown, write_tables

PAGE = Path(__file__).parent / "configuration.md"
HEAD = ("key", "type", "default", "meaning")
_TYPE_NAMES = {str: "text", int: "integer", float: "number", bool: "on, off", dict: "mapping", types.NoneType: "null"}


def tables() -> dict[str, str]:
    """Marker in the page -> Markdown table."""
    preset = ("`preset`", "text", "", "a preset to take the other values from: see the table below")
    return {
        "general": _table(General),
        "layouts": markdown(HEAD, [preset, *_rows(LayoutConfig)]),
        "presets": markdown(("preset", "meaning"), [(f"`{name}`", PRESETS[name].summary) for name in PRESETS]),
        "sampling": _table(Sampling),
        "splits": _table(SplitConfig),
        "encoding": _table(Encoding),
        "subsets": _table(Subset),
        "annotations": "\n\n".join(_format_section(name) for name in FORMATS),
        "limits": markdown(("limit", "value"), list(_limits().items())),
    }


def _format_section(name: str) -> str:
    return f"### `format: {name}`\n\n{_plain(FORMATS[name].summary)}.\n\n{_table(FORMATS[name])}"


def _table(schema: type) -> str:
    return markdown(HEAD, _rows(schema))


def _rows(schema: type) -> list[tuple[str, ...]]:
    hints = typing.get_type_hints(schema, include_extras=True)
    return [_row(field, hints[field.name]) for field in dataclasses.fields(schema)]


def _row(field: dataclasses.Field, hint: typing.Any) -> tuple[str, ...]:
    if typing.get_origin(hint) is not typing.Annotated:
        raise ValueError(f"{field.name}: has no description; write Annotated[type, description] in the schema")
    kind, description = typing.get_args(hint)
    default = "required" if field.default is dataclasses.MISSING else f"`{_yaml(field.default)}`"
    return f"`{field.name}`", _type_name(kind), default, _plain(description)


def _type_name(kind: typing.Any) -> str:
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return " or ".join(_TYPE_NAMES[option] for option in options)


def _plain(text: str) -> str:
    """Escape text, so that Markdown sees no column and no tag in it."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def _yaml(value: object) -> str:
    """A default value as YAML."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("...\n").strip()


def _limits() -> Mapping[str, str]:
    return {
        "pixels of a frame (`max_pixels`)": f"{MAX_PIXELS:,}",
        "seconds of a video (`timeout_seconds`)": f"{General().timeout_seconds:g}",
        "memory of a video's decoder (`memory_limit_mb`)": f"{General().memory_limit_mb:,} MiB",
        "views of a video": f"{MAX_VIEWS:,}",
        "classes, where labels are numbers": f"{MAX_CLASSES:,}",
        "characters of a sample's key": f"{MAX_KEY_LENGTH}; longer ones end in a hash",
        "suffixes of video files in folders": ", ".join(sorted(VIDEO_SUFFIXES)),
        "suffixes of images in a folder of frames": ", ".join(sorted(FRAME_SUFFIXES)),
    }


if __name__ == "__main__":
    write_tables(PAGE, tables())
    print(PAGE)
