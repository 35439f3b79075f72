"""The file names and the manifest of a shard directory. Pure, except for ``read_manifest``.

A directory contains one layout: ``_info.json``, the tars, and ``_records/``. ``_info.json`` has the keys of timm's
``wds`` reader (``splits.<name>.{name, num_samples, filenames, shard_lengths}``), and our data under ``superimage``.
"""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shards.layouts import Layout
from shards.storage import join, open_stream

FORMAT_VERSION = 1
MANIFEST_NAME = "_info.json"
RECORDS_DIR = "_records"
# Most of timm's pretrained models expect these values, and with them the default pad color becomes 0.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGE_EXTENSIONS = ("jpg", "png", "webp")
# A ustar header holds names of up to 100 characters. The longest name of a sample is KEY.json (or KEY.webp).
MAX_KEY_LENGTH = 100 - len(".json")
MAX_VIEWS = 1000
_MAX_VIDEO_KEY_LENGTH = MAX_KEY_LENGTH - len(f"_v{MAX_VIEWS - 1}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}$")


def video_keys(names: Sequence[str]) -> list[str]:
    """A safe and unique key for each video name, in the given order: ``"a b/c.1.avi" -> "a_b_c_1"``.

    WebDataset splits file names at the first dot, and a ustar header holds 100 characters. So keys contain no dots and
    no slashes, and leave room for the longest view suffix and extension. Names that are too long, or that collide, get
    8 hex digits of their SHA-1. Raises ValueError if a name occurs twice.
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"{len(twice)} video names are not unique, such as {twice[0]!r}; each must occur once")
    plain = [_UNSAFE.sub("_", _SUFFIX.sub("", name)) for name in names]
    # Case is ignored, since on some file systems A.jpg and a.jpg are the same file when unpacked.
    clashes = Counter(key.lower() for key in plain)
    return [
        key if clashes[key.lower()] == 1 and 0 < len(key) <= _MAX_VIDEO_KEY_LENGTH else _hashed_key(key, name)
        for key, name in zip(plain, names)
    ]


def _hashed_key(key: str, name: str) -> str:
    digest = hashlib.sha1(name.encode("utf-8", "surrogateescape"), usedforsecurity=False).hexdigest()[:8]
    return f"{key[: _MAX_VIDEO_KEY_LENGTH - 9]}-{digest}"


def sample_key(video_key: str, view: int) -> str:
    """The key of one view: ``("juggling_17", 3) -> "juggling_17_v03"``."""
    return f"{video_key}_v{view:02d}"


def shard_name(split: str, view: int, number: int) -> str:
    """File name of a shard: ``("train", 0, 12) -> "train-v00-000012.tar"``."""
    return f"{split}-v{view:02d}-{number:06d}.tar"


def record_name(split: str, number: int) -> str:
    """File name of a record, which covers all views of a planned shard: ``("train", 12) -> "train-000012.json"``."""
    return f"{split}-{number:06d}.json"


def view_split(split: str, view: int) -> str:
    """Name of the split with one view only: ``("train", 1) -> "train_v01"``."""
    return f"{split}_v{view:02d}"


def subset_split(split: str, subset: str) -> str:
    """Name of the split with the samples of a subset: ``("train", "mini") -> "train_mini"``."""
    return f"{split}_{subset}"


def subset_field(subset: str) -> str:
    """Field of ``KEY.json`` with the class index within a subset, or -1: ``"mini" -> "mini_label"``."""
    return f"{subset}_label"


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a manifest: file names relative to the directory, and the number of samples in each file.

    ``alt_label`` (timm's term) is the field of ``KEY.json`` that contains the label instead of ``KEY.cls``. It is -1
    for samples outside this split, which ``shard_lengths`` does not count.
    """

    name: str
    num_samples: int
    filenames: tuple[str, ...]
    shard_lengths: tuple[int, ...]
    alt_label: str = ""

    def __post_init__(self) -> None:
        if len(self.filenames) != len(self.shard_lengths) or sum(self.shard_lengths) != self.num_samples:
            raise ValueError(
                f"split {self.name}: {len(self.filenames)} filenames, {len(self.shard_lengths)} shard_lengths with "
                f"sum {sum(self.shard_lengths)}, and num_samples={self.num_samples} do not match"
            )

    def to_dict(self) -> dict:
        return {
            "name": self.name,
            "num_samples": self.num_samples,
            "filenames": list(self.filenames),
            "shard_lengths": list(self.shard_lengths),
            **({"alt_label": self.alt_label} if self.alt_label else {}),
        }


@dataclass(frozen=True)
class Manifest:
    """The content of ``_info.json``; ``raw`` is the whole dictionary."""

    raw: dict
    splits: dict[str, Split]
    layout: Layout

    @property
    def superimage(self) -> dict:
        return self.raw["superimage"]

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.layout.image_size

    @property
    def class_names(self) -> list[str]:
        """Class names in index order."""
        return self.superimage["class_names"]

    @property
    def multi_label(self) -> bool:
        """Whether a sample may have more than one label; then ``labels`` in ``KEY.json`` lists them."""
        return self.superimage.get("multi_label", False)

    def for_split(self, split: str) -> "Manifest":
        """The manifest as it is for one split: its class names, and whether it is multi-label.

        Samples of a subset have one label, the first one. Raises ValueError for an unknown split.
        """
        names = self.class_names_of(split)
        multi_label = self.multi_label and not self.split(split).alt_label
        superimage = {**self.superimage, "class_names": names, "multi_label": multi_label}
        return replace(self, raw={**self.raw, "superimage": superimage})

    def class_names_of(self, split: str) -> list[str]:
        """Class names of one split, in index order; a subset has its own. Raises ValueError for an unknown split."""
        alt_label = self.split(split).alt_label
        names = {subset_field(subset): names for subset, names in self.subsets.items()}
        return names[alt_label] if alt_label else self.class_names

    @property
    def subsets(self) -> dict[str, list[str]]:
        """The class names of each subset, in the subset's index order."""
        return self.superimage.get("subsets", {})

    @property
    def mean(self) -> tuple[float, ...]:
        return tuple(self.superimage["mean"])

    @property
    def std(self) -> tuple[float, ...]:
        return tuple(self.superimage["std"])

    @property
    def num_views(self) -> dict[str, int]:
        """Number of views of each video, by split. A subset has as many as the split that contains it."""
        views = self.superimage["views"]
        parts = {subset_split(split, subset): split for split in views for subset in self.subsets}
        return views | {part: views[split] for part, split in parts.items() if part in self.splits}

    @property
    def digest(self) -> str:
        return self.superimage["digest"]

    def split(self, name: str) -> Split:
        if name not in self.splits:
            raise ValueError(f"split {name!r} is not in the manifest; it has {', '.join(sorted(self.splits))}")
        return self.splits[name]


def parse_manifest(raw: dict) -> Manifest:
    """A manifest from its dictionary. Raises ValueError if the section ``superimage`` is missing or unreadable."""
    try:
        version = raw["superimage"]["format_version"]
        if version != FORMAT_VERSION:
            raise ValueError(f"format version {version}: this program reads version {FORMAT_VERSION}; convert again")
        splits = {
            name: Split(
                name=split["name"],
                num_samples=split["num_samples"],
                filenames=tuple(split["filenames"]),
                shard_lengths=tuple(split["shard_lengths"]),
                alt_label=split.get("alt_label", ""),
            )
            for name, split in raw["splits"].items()
        }
        manifest = Manifest(raw=raw, splits=splits, layout=Layout(**raw["superimage"]["layout"]))
        missing = {"class_names", "mean", "std", "views", "digest"} - manifest.superimage.keys()
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a manifest of super images: {error!r}") from error
    if missing:
        raise ValueError(f"not a manifest of super images: no {', '.join(sorted(missing))}")
    return manifest


def read_manifest(directory: str | Path) -> Manifest | None:
    """The manifest of a directory or URL; None if there is no ``_info.json``, or it does not describe super images.

    Raises ValueError, with the file name, for a damaged manifest, and UnreachableError for a URL that does not answer.
    """
    path = join(directory, MANIFEST_NAME)
    try:
        with open_stream(path) as file:
            raw = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        return parse_manifest(raw) if "superimage" in raw else None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
