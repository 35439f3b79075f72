"""The configuration of a conversion: frozen dataclasses read from YAML, and a digest of what changes the shards."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml

from preprocess.annotations import FORMATS
from preprocess.annotations.subsets import Subset
from preprocess.config.general import General, general_names
from preprocess.config.presets import LayoutConfig, layout_config, named_entries
from preprocess.config.splits import SplitConfig
from preprocess.config.strict import build, check_key
from preprocess.sampling import Sampling
from shards.layouts import Layout

IMAGE_FORMATS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
SUBSAMPLINGS = {"4:2:0": 16, "4:2:2": 16, "4:4:4": 8}  # and the side of a JPEG block in pixels with each
_PIXEL_FORMAT_VERSION = 3  # increased when the same configuration gives other bytes than before


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How super images are encoded."""

    format: Annotated[str, f"file format: {', '.join(IMAGE_FORMATS)}"] = "jpeg"
    quality: Annotated[int, "quality of JPEG and WebP, 1 to 95; higher values make larger files; PNG ignores it"] = 90
    subsampling: Annotated[str, f"chroma subsampling of JPEG: {', '.join(SUBSAMPLINGS)}"] = "4:2:0"

    def __post_init__(self) -> None:
        if self.format not in IMAGE_FORMATS:
            raise ValueError(f"format={self.format!r}: must be one of {', '.join(IMAGE_FORMATS)}")
        if not 1 <= self.quality <= 95:
            raise ValueError(f"quality={self.quality}: must be in 1..95 (higher values make files larger, not better)")
        if self.subsampling not in SUBSAMPLINGS:
            raise ValueError(f"subsampling={self.subsampling!r}: must be one of {', '.join(SUBSAMPLINGS)}")

    @property
    def extension(self) -> str:
        return IMAGE_FORMATS[self.format]

    @property
    def block_pixels(self) -> int:
        """The side in pixels of the blocks that the encoder codes together; WebP always subsamples chroma."""
        return {"jpeg": SUBSAMPLINGS[self.subsampling], "webp": 16, "png": 1}[self.format]


@dataclass(frozen=True, kw_only=True)
class Config(General):
    """The whole configuration: the values of ``General`` and these.

    ``layout_sampling`` holds the sampling of each layout by its name. ``subsets`` and ``flip_labels`` are as in
    ``annotations.subsets``. ``notes`` are printed for the user.
    """

    annotations: Any
    layouts: dict[str, Layout]
    layout_sampling: dict[str, Sampling]
    splits: dict[str, SplitConfig]
    encoding: Encoding = field(default_factory=Encoding)
    subsets: dict[str, Subset] = field(default_factory=dict)
    flip_labels: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def shaping(self) -> dict:
        """All settings that change the bytes of the shards, as plain data; limits and the like are not included."""
        return {
            "pixel_format_version": _PIXEL_FORMAT_VERSION,
            "annotations": {"format": self.annotations.format_name, **dataclasses.asdict(self.annotations)},
            "layouts": {name: layout.to_dict() for name, layout in self.layouts.items()},
            "layout_sampling": {name: dataclasses.asdict(sampling) for name, sampling in self.layout_sampling.items()},
            "splits": {name: split.shaping() for name, split in self.splits.items()},
            "encoding": dataclasses.asdict(self.encoding),
            "subsets": {name: dataclasses.asdict(subset) for name, subset in self.subsets.items()},
            "only": self.only,
            "flip_labels": dict(self.flip_labels),
            "seed": self.seed,
            "samples_per_shard": self.samples_per_shard,
            "decoder": self.decoder,
            # Absent by default, so that conversions made before this option keep their digest.
            **({"min_frames": self.min_frames} if self.min_frames > 1 else {}),
            "min_decoded_share": self.min_decoded_share,
            "square_pixels": self.square_pixels,
        }


def digest_of(shaping: dict) -> str:
    """SHA-256 of plain data. It does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode("ascii")).hexdigest()


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, with ``--set`` overrides such as ``layouts.sifar-3x3.tile=192``.

    Raises ValueError, which names the file and the key, or OSError if the file cannot be read.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must contain keys and values, not {type(values).__name__}")
    if "layouts" in values:
        values["layouts"] = named_entries(values["layouts"])
    for override in overrides:
        _override(values, override)
    return config_from(values, str(path))


def _override(values: dict, override: str) -> None:
    dotted, separator, text = override.partition("=")
    *parents, last = dotted.split(".")
    if not separator or not all((*parents, last)):
        raise ValueError(f"--set {override}: must be key=value, such as layouts.sifar-3x3.tile=192")
    for key in parents:
        values = values.setdefault(key, {})
        if not isinstance(values, dict):
            raise ValueError(f"--set {override}: {key!r} has a value, not further keys")
    values[last] = yaml.safe_load(text)


def config_from(values: Mapping, where: str) -> Config:
    """A ``Config`` from plain data as read from YAML. ``where`` begins the message of each ValueError."""
    known = ["annotations", "sampling", "layouts", "splits", "subsets", "flip_labels", *general_names(), "encoding"]
    for key in values:
        check_key(key, known, where)
    annotations = _annotations(_mapping(values, "annotations", where), where)
    entries = {
        _safe_name(name, f"{where}: layouts"): layout_config(name, entry, f"{where}: layouts.{name}")
        for name, entry in _mapping(
            {**values, "layouts": named_entries(values.get("layouts"))}, "layouts", where
        ).items()
    }
    layouts = {name: _layout(name, entry, where) for name, entry in entries.items()}
    encoding = build(Encoding, values.get("encoding", {}), f"{where}: encoding")
    flip_labels = _flip_labels(values, where)
    splits, flip_notes = _splits(_mapping(values, "splits", where), annotations, flip_labels, where)
    rest = build(General, {key: values[key] for key in general_names() if key in values}, where)
    return Config(
        annotations=annotations,
        layouts=layouts,
        layout_sampling=_samplings(entries, values, where),
        splits=splits,
        encoding=encoding,
        subsets=_subsets(values, where),
        flip_labels=flip_labels,
        notes=(*flip_notes, *_tile_notes(layouts, encoding)),
        **dataclasses.asdict(rest),
    )


def _mapping(values: Mapping, key: str, where: str) -> Mapping:
    if not isinstance(values.get(key), Mapping) or not values[key]:
        also = ", or as a list of presets" if key == "layouts" else ""
        raise ValueError(f"{where}: {key} must be given, as a mapping{also}")
    return values[key]


def _samplings(entries: Mapping[str, LayoutConfig], values: Mapping, where: str) -> dict[str, Sampling]:
    if "sampling" in values and all(entry.sampling is not None for entry in entries.values()):
        raise ValueError(
            f"{where}: sampling is not used, since each layout has its own; remove it, or set layouts.NAME.sampling"
        )
    own = {name: entry.sampling is not None for name, entry in entries.items()}
    return {
        name: build(
            Sampling,
            entry.sampling if own[name] else values.get("sampling", {}),
            f"{where}: layouts.{name}.sampling" if own[name] else f"{where}: sampling",
        )
        for name, entry in entries.items()
    }


def _splits(
    values: Mapping, annotations: Any, flip_labels: Mapping, where: str
) -> tuple[dict[str, SplitConfig], tuple[str, ...]]:
    """(splits, notes). Without ``flip_labels``, flipping is turned off if class names may name a side."""
    splits, notes = {}, []
    for name, entry in values.items():
        if entry is None:  # --set splits.validation=null
            continue
        split = build(SplitConfig, entry, f"{where}: splits.{_safe_name(name, f'{where}: splits')}")
        if split.crops == 10 and (flip_labels or annotations.names_sides):
            raise ValueError(
                f"{where}: splits.{name}: crops=10 mirrors views, but here classes name a side; use crops=5"
            )
        if split.flip and annotations.names_sides and not flip_labels:
            split = dataclasses.replace(split, flip=False)
            notes.append(
                f"split {name}: flipping is off, since a mirrored video of {annotations.format_name} may belong to "
                "another class; give the pairs of classes in flip_labels to turn it on"
            )
        splits[name] = split
    if not splits:
        raise ValueError(f"{where}: splits: {', '.join(values)} are all null, so there is nothing to convert")
    return splits, tuple(notes)


def _flip_labels(values: Mapping, where: str) -> dict[str, str]:
    flip_labels = values.get("flip_labels", {})
    if not isinstance(flip_labels, Mapping) or not all(
        isinstance(name, str) for pair in flip_labels.items() for name in pair
    ):
        raise ValueError(f"{where}: flip_labels must map class names to class names")
    return dict(flip_labels)


def _subsets(values: Mapping, where: str) -> dict[str, Subset]:
    subsets = values.get("subsets", {})
    if not isinstance(subsets, Mapping):
        raise ValueError(f"{where}: subsets must be a mapping, {{name: ...}}")
    taken = {f"{split}_{name}" for split in values["splits"] for name in subsets} & set(values["splits"])
    if taken or any(re.fullmatch(r"v\d+", str(name)) for name in subsets):
        raise ValueError(f"{where}: subsets: a split or a view already has this name; rename the subset")
    return {
        _safe_name(name, f"{where}: subsets"): build(Subset, entry, f"{where}: subsets.{name}")
        for name, entry in subsets.items()
    }


def _tile_notes(layouts: Mapping[str, Layout], encoding: Encoding) -> tuple[str, ...]:
    return tuple(
        f"layout {name}: tiles of {layout.tile} px are not a multiple of the encoder's blocks of "
        f"{encoding.block_pixels} px, so neighboring frames will bleed into each other"
        for name, layout in layouts.items()
        if layout.tile % encoding.block_pixels
    )


def _annotations(values: Mapping, where: str) -> Any:
    options = dict(values)
    name = options.pop("format", None)
    if name not in FORMATS:
        raise ValueError(f"{where}: annotations.format={name!r}: must be one of {', '.join(sorted(FORMATS))}")
    return build(FORMATS[name], options, f"{where}: annotations")


def _layout(name: str, entry: LayoutConfig, where: str) -> Layout:
    try:
        return entry.layout(name)
    except ValueError as error:
        raise ValueError(f"{where}: layouts.{name}: {error}") from error


def _safe_name(name: Any, where: str) -> str:
    """Check a name that becomes a directory or a part of file names."""
    if not isinstance(name, str) or not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise ValueError(f"{where}: the name {name!r} must consist of letters, digits, - and _")
    return name
