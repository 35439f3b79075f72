"""The configuration of a conversion: frozen dataclasses read from YAML, and a digest of all that shapes pixels."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from preprocess.annotations import FORMATS
from preprocess.crops import TEST_CROP_COUNTS, TRAIN_CROPS
from preprocess.options import build, check_key
from preprocess.sampling import Sampling
from shards.layouts import Layout, grid_for

DECODERS = ("auto", "pyav", "ffmpeg")
IMAGE_FORMATS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
SUBSAMPLINGS = ("4:2:0", "4:2:2", "4:4:4")
_PIXEL_FORMAT_VERSION = 1  # raised when the same configuration would give other bytes than before


@dataclass(frozen=True, kw_only=True)
class LayoutConfig:
    """One layout: T ``frames`` in ``grid`` (``auto`` for SIFAR's rule, or ``2x4``).

    ``sampling`` stands in for the one at the top of the configuration.
    """

    frames: int
    tile: int = 224
    grid: str = "auto"
    order: str = "row_major"
    pad: str = "mean"
    groups: int | None = None
    sampling: dict | None = None

    def layout(self, name: str) -> Layout:
        rows, columns = grid_for(self.frames) if self.grid == "auto" else self._given_grid()
        return Layout(
            name=name,
            frames=self.frames,
            rows=rows,
            columns=columns,
            order=self.order,
            pad=self.pad,
            tile=self.tile,
            groups=self.groups,
        )

    def _given_grid(self) -> tuple[int, int]:
        rows, separator, columns = self.grid.partition("x")
        if not (separator and rows.isdecimal() and columns.isdecimal()):
            raise ValueError(f"grid={self.grid!r}: must be 'auto' or rows x columns, such as 2x4")
        return int(rows), int(columns)


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How the views of one split are made.

    ``mode: train``: ``views`` random views a video, each with its own clip and crop, mirrored half the time where
    ``flip``. ``mode: test``: ``clips`` times ``crops`` fixed views, each crop ``crop_fraction`` of the short side.
    """

    mode: str
    views: int = 1
    crop: str = "multiscale"
    flip: bool = False
    clips: int = 1
    crops: int = 1
    crop_fraction: float = 1.0

    def __post_init__(self):
        if self.mode not in ("train", "test"):
            raise ValueError(f"mode={self.mode!r}: must be train or test")
        if self.crop not in TRAIN_CROPS:
            raise ValueError(f"crop={self.crop!r}: must be one of {', '.join(TRAIN_CROPS)}")
        if self.crops not in TEST_CROP_COUNTS:
            raise ValueError(f"crops={self.crops}: must be one of {', '.join(map(str, TEST_CROP_COUNTS))}")
        if min(self.views, self.clips) < 1 or not 0 < self.crop_fraction <= 1:
            raise ValueError(
                f"views={self.views}, clips={self.clips}, crop_fraction={self.crop_fraction}: "
                "must be at least 1, at least 1, and in (0, 1]"
            )
        self._refuse_fields_of_other_mode()

    def _refuse_fields_of_other_mode(self):
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        foreign = ("clips", "crops", "crop_fraction") if self.mode == "train" else ("views", "crop", "flip")
        given = [name for name in foreign if getattr(self, name) != defaults[name]]
        if given:
            raise ValueError(f"{', '.join(given)} means nothing with mode={self.mode}; leave it out")

    @property
    def num_views(self) -> int:
        """Views of each video: samples that a video becomes in this split."""
        return self.views if self.mode == "train" else self.clips * self.crops


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a super image becomes a file: ``quality`` 1..95 (jpeg, webp; png has none), ``subsampling`` for jpeg."""

    format: str = "jpeg"
    quality: int = 90
    subsampling: str = "4:2:0"

    def __post_init__(self):
        if self.format not in IMAGE_FORMATS:
            raise ValueError(f"format={self.format!r}: must be one of {', '.join(IMAGE_FORMATS)}")
        if not 1 <= self.quality <= 95:
            raise ValueError(f"quality={self.quality}: must be in 1..95 (more makes larger files, not better ones)")
        if self.subsampling not in SUBSAMPLINGS:
            raise ValueError(f"subsampling={self.subsampling!r}: must be one of {', '.join(SUBSAMPLINGS)}")

    @property
    def extension(self) -> str:
        return IMAGE_FORMATS[self.format]


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole conversion. ``max_failures`` is the share of videos that may fail before the job reports failure."""

    annotations: Any
    layouts: dict[str, Layout]
    layout_sampling: dict[str, Sampling]
    splits: dict[str, SplitConfig]
    encoding: Encoding = field(default_factory=Encoding)
    seed: int = 0
    samples_per_shard: int = 256
    decoder: str = "auto"
    timeout_seconds: float = 120.0
    max_failures: float = 0.01

    def shaping(self) -> dict:
        """All that shapes the bytes of the shards, as plain data; what merely runs the job is not in it."""
        return {
            "pixel_format_version": _PIXEL_FORMAT_VERSION,
            "annotations": {"format": self.annotations.format_name, **dataclasses.asdict(self.annotations)},
            "layouts": {name: layout.to_dict() for name, layout in self.layouts.items()},
            "layout_sampling": {name: dataclasses.asdict(sampling) for name, sampling in self.layout_sampling.items()},
            "splits": {name: dataclasses.asdict(split) for name, split in self.splits.items()},
            "encoding": dataclasses.asdict(self.encoding),
            "seed": self.seed,
            "samples_per_shard": self.samples_per_shard,
            "decoder": self.decoder,
        }


def digest_of(shaping: dict) -> str:
    """SHA-256 of plain data, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode("ascii")).hexdigest()


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The configuration in a YAML file, with ``--set`` overrides such as ``layouts.sifar-3x3.tile=192``.

    Raises ValueError that names the file and the key, OSError where the file cannot be read.
    """
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a YAML file: {error}") from error
    if not isinstance(values, dict):
        raise ValueError(f"{path}: must hold keys and values, not {type(values).__name__}")
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
            raise ValueError(f"--set {override}: {key!r} holds a value, not further keys")
    values[last] = yaml.safe_load(text)


def config_from(values: Mapping, where: str) -> Config:
    """A ``Config`` from plain data, as YAML gives it."""
    known = ["annotations", "sampling", "layouts", "splits", *_scalar_fields(), "encoding"]
    for key in values:
        check_key(key, known, where)
    for key in ("annotations", "layouts", "splits"):
        if not isinstance(values.get(key), Mapping) or not values[key]:
            raise ValueError(f"{where}: {key} must be given, as a mapping")
    layouts = {
        _safe_name(name, f"{where}: layouts"): build(LayoutConfig, entry, f"{where}: layouts.{name}")
        for name, entry in values["layouts"].items()
    }
    splits = {
        _safe_name(name, f"{where}: splits"): build(SplitConfig, entry, f"{where}: splits.{name}")
        for name, entry in values["splits"].items()
    }
    rest = build(_Scalars, {key: values[key] for key in _scalar_fields() if key in values}, where)
    return Config(
        annotations=_annotations(values["annotations"], where),
        layouts={name: _layout(name, entry, where) for name, entry in layouts.items()},
        layout_sampling={
            name: build(Sampling, entry.sampling or values.get("sampling", {}), f"{where}: sampling")
            for name, entry in layouts.items()
        },
        splits=splits,
        encoding=build(Encoding, values.get("encoding", {}), f"{where}: encoding"),
        **dataclasses.asdict(rest),
    )


@dataclass(frozen=True, kw_only=True)
class _Scalars:
    """The plain values at the top of a configuration, with their rules."""

    seed: int = 0
    samples_per_shard: int = 256
    decoder: str = "auto"
    timeout_seconds: float = 120.0
    max_failures: float = 0.01

    def __post_init__(self):
        if self.decoder not in DECODERS:
            raise ValueError(f"decoder={self.decoder!r}: must be one of {', '.join(DECODERS)}")
        if self.samples_per_shard < 1 or self.timeout_seconds <= 0:
            raise ValueError(
                f"samples_per_shard={self.samples_per_shard}, timeout_seconds={self.timeout_seconds}: must be positive"
            )
        if not 0 <= self.max_failures <= 1:
            raise ValueError(f"max_failures={self.max_failures}: a share, must be in 0..1")


def _scalar_fields() -> list[str]:
    return [field.name for field in dataclasses.fields(_Scalars)]


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
    """Names become directories and parts of file names."""
    if not isinstance(name, str) or not name or not all(letter.isalnum() or letter in "-_" for letter in name):
        raise ValueError(f"{where}: the name {name!r} must be made of letters, digits, - and _")
    return name
