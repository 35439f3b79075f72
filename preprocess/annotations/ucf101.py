"""UCF101: ``classInd.txt``, ``trainlist0N.txt`` and ``testlist0N.txt`` as its owners publish them.

``1 ApplyEyeMakeup``; ``ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1``; test rows have no label. Labels count from 1.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import ListEntry, Listing
from preprocess.annotations.lists import numbered_lines


@dataclass(frozen=True, kw_only=True)
class Ucf101:
    """``lists`` and ``videos`` are folders below the source; ``split`` is 1, 2 or 3."""

    format_name: ClassVar[str] = "ucf101"
    summary: ClassVar[str] = "UCF101, three splits: classInd.txt, trainlist0N.txt, testlist0N.txt"
    names_sides: ClassVar[bool] = False
    lists: Annotated[str, "folder of the lists, below --source"] = "ucfTrainTestlist"
    videos: Annotated[str, "folder of the videos, below --source"] = "UCF-101"
    split: Annotated[int, "number of the official split: 1, 2 or 3"] = 1

    def __post_init__(self) -> None:
        if self.split not in (1, 2, 3):
            raise ValueError(f"split={self.split}: UCF101 has the splits 1, 2 and 3")

    def read(self, source: Path) -> Listing:
        """Splits ``train`` and ``validation`` (the test list). ValueErrors name the file and the line."""
        lists, videos = source / self.lists, source / self.videos
        classes = _class_indices(lists / "classInd.txt")
        return Listing(
            class_names=tuple(classes),
            splits={
                "train": list(_rows(lists / f"trainlist0{self.split}.txt", videos, classes, labelled=True)),
                "validation": list(_rows(lists / f"testlist0{self.split}.txt", videos, classes, labelled=False)),
            },
        )


def _class_indices(path: Path) -> dict[str, int]:
    """Class names in index order, from 0."""
    classes: dict[str, int] = {}
    for where, line in numbered_lines(path):
        number, _, name = line.partition(" ")
        if number != str(len(classes) + 1) or not name or name in classes:
            raise ValueError(f"{where}: {line!r}: expected '{len(classes) + 1} <a new class name>'")
        classes[name] = len(classes)
    return classes


def _rows(path: Path, videos: Path, classes: dict[str, int], *, labelled: bool) -> Iterator[ListEntry]:
    for where, line in numbered_lines(path):
        name, _, number = line.partition(" ")
        folder = name.rpartition("/")[0]
        if folder not in classes:
            raise ValueError(
                f"{where}: {line!r}: class {folder!r} is not in classInd.txt; expected <class>/<video>.avi"
            )
        if labelled and number != str(classes[folder] + 1):
            raise ValueError(f"{where}: {line!r}: the number of {folder} in classInd.txt is {classes[folder] + 1}")
        if not labelled and number:
            raise ValueError(f"{where}: {line!r}: expected <class>/<video>.avi without a label in the test list")
        yield ListEntry(name=name.rpartition("/")[2], path=videos / name, labels=(classes[folder],), where=where)
