"""Moments in Time (339 classes, 305 in its second version), Mini-MiT (200) and Multi-Moments in Time.

``moments_categories.txt``: ``<class>,<index>``; ``trainingSet.csv``, ``validationSet.csv``: ``filename,label,positive,
negative`` without a header, the file name such as ``blocking/getty-karate-video-id635808620_4.mp4``. Multi-Moments has
``filename,index,index,...``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import ListEntry, Listing
from preprocess.annotations.lists import class_index, separated_rows, whole_number


@dataclass(frozen=True, kw_only=True)
class Moments:
    """``lists``, ``train_videos`` and ``validation_videos`` are folders below the source.

    ``several_labels``: rows have several labels, as in Multi-Moments in Time. Single-label training uses the first one.
    """

    format_name: ClassVar[str] = "moments"
    summary: ClassVar[str] = "Moments in Time, Mini-MiT, Multi-Moments: moments_categories.txt, trainingSet.csv"
    names_sides: ClassVar[bool] = False
    lists: Annotated[str, "folder of the lists, below --source"] = "."
    categories: Annotated[str, "file of the classes and their indices"] = "moments_categories.txt"
    train: Annotated[str, "file of the training list"] = "trainingSet.csv"
    validation: Annotated[str, "file of the validation list"] = "validationSet.csv"
    train_videos: Annotated[str, "folder of the training videos, below --source"] = "training"
    validation_videos: Annotated[str, "folder of the validation videos, below --source"] = "validation"
    several_labels: Annotated[bool, "rows have several labels, as in Multi-Moments in Time"] = False

    def read(self, source: Path) -> Listing:
        """Splits ``train`` and ``validation``."""
        lists = source / self.lists
        class_names = _class_names(lists / self.categories)
        labels_of = _indices_of(class_names) if self.several_labels else _index_of(class_names, self.categories)
        files = {
            "train": (lists / self.train, source / self.train_videos),
            "validation": (lists / self.validation, source / self.validation_videos),
        }
        return Listing(
            class_names=class_names,
            splits={split: list(self._rows(path, videos, labels_of)) for split, (path, videos) in files.items()},
        )

    def _rows(self, path: Path, videos: Path, labels_of: Callable) -> Iterator[ListEntry]:
        columns = (
            "<file>,<index>,<index>,..." if self.several_labels else "<class>/<file>,<class>,<positive>,<negative>"
        )
        limits = {"at_least": 2, "at_most": None if self.several_labels else 4}
        for where, fields in separated_rows(path, separator=",", columns=columns, **limits):
            if not Path(fields[0]).suffix:
                raise ValueError(f"{where}: {fields[0]!r} is not the name of a video file, expected {columns}")
            yield ListEntry(name=fields[0], path=videos / fields[0], labels=labels_of(fields, where), where=where)


def _class_names(path: Path) -> tuple[str, ...]:
    """Names in index order; the indices must be 0..N-1, in any order of lines."""
    rows: dict[int, str] = {}
    for where, fields in separated_rows(path, separator=",", columns="<class>,<index>", at_least=2, at_most=2):
        index = whole_number(fields[1].strip(), where, "the index")
        if index in rows or fields[0] in rows.values():
            raise ValueError(f"{where}: {','.join(fields)!r}: an earlier line has the same class or index")
        rows[index] = fields[0]
    if sorted(rows) != list(range(len(rows))):
        raise ValueError(f"{path}: the indices of {len(rows)} classes must be 0 to {len(rows) - 1}, each once")
    return tuple(rows[index] for index in range(len(rows)))


def _index_of(class_names: tuple[str, ...], categories: str) -> Callable[[list[str], str], tuple[int, ...]]:
    classes = {name: index for index, name in enumerate(class_names)}
    return lambda fields, where: (class_index(fields[1], classes, where, categories),)


def _indices_of(class_names: tuple[str, ...]) -> Callable[[list[str], str], tuple[int, ...]]:
    def labels(fields: list[str], where: str) -> tuple[int, ...]:
        indices = tuple(dict.fromkeys(whole_number(field, where, "a label") for field in fields[1:] if field))
        if not indices or max(indices) >= len(class_names):
            raise ValueError(f"{where}: labels {indices}, expected one or more of 0 to {len(class_names) - 1}")
        return indices

    return labels
