"""Something-Something V1 and V2, and Jester V1, as 20BN published them.

V1 and Jester: rows ``34870;Drumming Fingers`` without a header; a video is a folder of ``00001.jpg ...``. V2: JSON
lists and WebM videos.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import ListEntry, Listing
from preprocess.annotations.lists import (
    class_index,
    first_of,
    json_content,
    json_entries,
    names_in_order,
    separated_rows,
    whole_number,
)

_SPLITS = ("train", "validation")


@dataclass(frozen=True, kw_only=True)
class _FrameFolders:
    """``lists`` and ``videos`` are folders below the source; ``frame_rate`` is the rate of the published frames.

    ``<prefix>-labels.csv`` (one class per line, in index order), ``<prefix>-train.csv``, ``<prefix>-validation.csv``.
    """

    names_sides: ClassVar[bool] = True
    prefix: ClassVar[str]
    lists: Annotated[str, "folder of the lists, below --source"] = "."
    frame_rate: Annotated[float, "frames per second of videos that are folders of images"] = 12.0

    def read(self, source: Path) -> Listing:
        """Splits ``train`` and ``validation``; the test list has no labels."""
        lists = source / self.lists
        labels_file = lists / f"{self.prefix}-labels.csv"
        classes = names_in_order(labels_file)
        return Listing(
            class_names=tuple(classes),
            splits={split: list(self._rows(source, split, classes, labels_file.name)) for split in _SPLITS},
        )

    def _rows(self, source: Path, split: str, classes: dict[str, int], labels_file: str) -> Iterator[ListEntry]:
        path = source / self.lists / f"{self.prefix}-{split}.csv"
        for where, fields in separated_rows(path, separator=";", columns="<number>;<class>", at_least=2, at_most=2):
            number, name = whole_number(fields[0], where, "the video"), fields[1].strip()
            yield ListEntry(
                name=str(number),
                path=source / self.videos / fields[0],
                labels=(class_index(name, classes, where, labels_file),),
                where=where,
                frame_rate=self.frame_rate,
            )


@dataclass(frozen=True, kw_only=True)
class Jester(_FrameFolders):
    __doc__ = _FrameFolders.__doc__
    format_name: ClassVar[str] = "jester"
    summary: ClassVar[str] = "Jester V1: jester-v1-*.csv, folders of frames"
    prefix: ClassVar[str] = "jester-v1"
    videos: Annotated[str, "folder of the videos, below --source"] = "20bn-jester-v1"


@dataclass(frozen=True, kw_only=True)
class SomethingSomethingV1(_FrameFolders):
    __doc__ = _FrameFolders.__doc__
    format_name: ClassVar[str] = "something_something_v1"
    summary: ClassVar[str] = "Something-Something V1: something-something-v1-*.csv, folders of frames"
    prefix: ClassVar[str] = "something-something-v1"
    videos: Annotated[str, "folder of the videos, below --source"] = "20bn-something-something-v1"


@dataclass(frozen=True, kw_only=True)
class SomethingSomethingV2:
    """``lists`` and ``videos`` are folders below the source.

    ``something-something-v2-labels.json`` or ``labels.json`` maps each template to its index, which is a string.
    ``-train.json`` and ``-validation.json`` hold ``id`` and ``template``, from which ``[`` and ``]`` are removed.
    """

    format_name: ClassVar[str] = "something_something_v2"
    summary: ClassVar[str] = "Something-Something V2; subset mini_ssv2: labels.json, train.json, validation.json, WebM"
    names_sides: ClassVar[bool] = True
    lists: Annotated[str, "folder of the lists, below --source"] = "."
    videos: Annotated[str, "folder of the videos, below --source"] = "20bn-something-something-v2"
    suffix: Annotated[str, "suffix of the video files"] = ".webm"

    def read(self, source: Path) -> Listing:
        """Splits ``train`` and ``validation``; the test list has no labels."""
        labels_file = self._list_file(source, "labels")
        classes = _indices_in(labels_file)
        splits = {
            split: list(self._rows(source, self._list_file(source, split), classes, labels_file.name))
            for split in _SPLITS
        }
        return Listing(class_names=tuple(sorted(classes, key=classes.__getitem__)), splits=splits)

    def _list_file(self, source: Path, name: str) -> Path:
        folder = source / self.lists
        return first_of(folder / f"something-something-v2-{name}.json", folder / f"{name}.json")

    def _rows(self, source: Path, path: Path, classes: dict[str, int], labels_file: str) -> Iterator[ListEntry]:
        for where, entry in json_entries(path, {"id": str, "template": str}):
            number = whole_number(entry["id"], where, "id")
            template = entry["template"].replace("[", "").replace("]", "")
            yield ListEntry(
                name=str(number),
                path=source / self.videos / f"{entry['id']}{self.suffix}",
                labels=(class_index(template, classes, where, labels_file),),
                where=where,
            )


def _indices_in(path: Path) -> dict[str, int]:
    """``{"Approaching something with your camera": "0", ...}`` with the indices as numbers, each of 0..N-1 once."""
    content = json_content(path, dict)
    classes = {name: whole_number(str(index), path.name, f"the index of {name!r}") for name, index in content.items()}
    if sorted(classes.values()) != list(range(len(classes))):
        raise ValueError(f"{path}: the indices of {len(classes)} classes must be 0 to {len(classes) - 1}, each once")
    return classes
