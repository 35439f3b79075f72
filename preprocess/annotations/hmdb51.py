"""HMDB51: 153 files ``<class>_test_split{1,2,3}.txt`` of rows ``<video>.avi 0|1|2``, as its owners publish them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import ListEntry, Listing
from preprocess.annotations.lists import numbered_lines

_SPLITS = {"1": "train", "2": "validation"}
_UNUSED = "0"


@dataclass(frozen=True, kw_only=True)
class Hmdb51:
    """``lists`` and ``videos`` are folders below the source; ``split`` is 1, 2 or 3. Classes are in sorted order."""

    format_name: ClassVar[str] = "hmdb51"
    summary: ClassVar[str] = "HMDB51, three splits: <class>_test_split{1,2,3}.txt"
    names_sides: ClassVar[bool] = False
    lists: Annotated[str, "folder of the lists, below --source"] = "testTrainMulti_7030_splits"
    videos: Annotated[str, "folder of the videos, below --source"] = "hmdb51_org"
    split: Annotated[int, "number of the official split: 1, 2 or 3"] = 1

    def __post_init__(self) -> None:
        if self.split not in (1, 2, 3):
            raise ValueError(f"split={self.split}: HMDB51 has the splits 1, 2 and 3")

    def read(self, source: Path) -> Listing:
        """Splits ``train`` (rows with 1) and ``validation`` (rows with 2). A note counts the unused rows (0)."""
        ending = f"_test_split{self.split}.txt"
        files = sorted((source / self.lists).glob(f"*{ending}"), key=lambda path: path.name.removesuffix(ending))
        if not files:
            raise ValueError(f"{source / self.lists}: no file *{ending} in it; check --source and annotations.lists")
        splits: dict[str, list[ListEntry]] = {split: [] for split in _SPLITS.values()}
        unused = 0
        for label, path in enumerate(files):
            for mark, row in _rows(path, source / self.videos / path.name.removesuffix(ending), label):
                if mark == _UNUSED:
                    unused += 1
                else:
                    splits[_SPLITS[mark]].append(row)
        return Listing(
            class_names=tuple(path.name.removesuffix(ending) for path in files),
            splits=splits,
            notes=(f"{unused} videos are not in split {self.split} of HMDB51: their rows have the mark 0",),
        )


def _rows(path: Path, folder: Path, label: int) -> Iterator[tuple[str, ListEntry]]:
    for where, line in numbered_lines(path):
        name, _, mark = line.rpartition(" ")
        if mark not in (_UNUSED, *_SPLITS) or not name.endswith(".avi"):
            raise ValueError(f"{where}: {line!r}: expected '<video>.avi' and 0 (unused), 1 (train) or 2 (test)")
        yield mark, ListEntry(name=f"{folder.name}/{name}", path=folder / name, labels=(label,), where=where)
