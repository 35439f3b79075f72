"""Kinetics-400, -600 and -700: CSV with the header ``label,youtube_id,time_start,time_end,split``.

``testifying,---QUuC4vJs,84,94,validate``. The clip is ``{youtube_id}_{start:06d}_{end:06d}.mp4``.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import ListEntry, Listing
from preprocess.annotations.lists import check_segment, first_of, named_rows, seconds

_COLUMNS = ("label", "youtube_id", "time_start", "time_end")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{11}")
# Names of the folder of each split in common downloads. If none exists, the videos are in the source itself.
_FOLDERS = {"train": ("train",), "validation": ("val", "validate", "validation"), "test": ("test",)}
_VALIDATION_LISTS = ("validate.csv", "val.csv")


@dataclass(frozen=True, kw_only=True)
class Kinetics:
    """``lists`` and ``videos`` are folders below the source. Classes are the sorted labels of all lists.

    The reader looks for a clip in ``<split>/<class>/``, ``<split>/<class_with_underscores>/`` and ``<split>/`` below
    ``videos``. With ``untrimmed``, the files are whole videos ``{youtube_id}<suffix>`` and each row is a segment.
    """

    format_name: ClassVar[str] = "kinetics"
    summary: ClassVar[str] = "Kinetics-400, -600, -700; subsets Mini-Kinetics-200, mini_kinetics400: train.csv, val.csv"
    names_sides: ClassVar[bool] = False
    lists: Annotated[str, "folder of the lists, below --source"] = "."
    train: Annotated[str, "file of the training list"] = "train.csv"
    validation: Annotated[
        str | None, "file of the validation list; if it is not given, val.csv, validate.csv or validation.csv"
    ] = None
    test: Annotated[str | None, "file of the test list, if there is one"] = None
    videos: Annotated[str, "folder of the videos, below --source"] = "."
    suffix: Annotated[str, "suffix of the video files"] = ".mp4"
    untrimmed: Annotated[bool, "the files are whole videos {youtube_id}<suffix>, and each row is a segment of one"] = (
        False
    )

    def read(self, source: Path) -> Listing:
        """Splits ``train`` and ``validation``, and ``test`` if the configuration names its list. It needs labels."""
        rows = {split: list(_rows(path)) for split, path in self._list_files(source).items()}
        class_names = sorted({row["label"] for entries in rows.values() for _, row in entries})
        labels = {name: index for index, name in enumerate(class_names)}
        splits = {}
        for split, entries in rows.items():
            folders = [(folder, _folders_in(folder)) for folder in _folders(source / self.videos, split)]
            splits[split] = [self._listed(where, row, folders, labels) for where, row in entries]
        return Listing(class_names=tuple(class_names), splits=splits)

    def _list_files(self, source: Path) -> dict[str, Path]:
        lists = source / self.lists
        validation = [self.validation] if self.validation is not None else _VALIDATION_LISTS
        files = {"train": lists / self.train, "validation": first_of(*(lists / name for name in validation))}
        return files | ({"test": lists / self.test} if self.test is not None else {})

    def _listed(
        self, where: str, row: dict[str, str], folders: list[tuple[Path, frozenset[str]]], labels: dict[str, int]
    ) -> ListEntry:
        start, end = (seconds(row[column], where, column) for column in ("time_start", "time_end"))
        check_segment(start, end, where)
        clip = f"{row['youtube_id']}_{int(start):06d}_{int(end):06d}"
        file_name = (row["youtube_id"] if self.untrimmed else clip) + self.suffix
        of_class = dict.fromkeys((row["label"], row["label"].replace(" ", "_")))
        paths = [folder / name / file_name for folder, inside in folders for name in of_class if name in inside]
        paths += [folder / file_name for folder, _ in folders]
        return ListEntry(
            name=clip,
            path=paths[0],
            other_paths=tuple(paths[1:]),
            labels=(labels[row["label"]],),
            where=where,
            start=start if self.untrimmed else None,
            end=end if self.untrimmed else None,
            identifier=row["youtube_id"],
        )


def _rows(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for where, row in named_rows(path, separator=",", columns=_COLUMNS):
        if not _YOUTUBE_ID.fullmatch(row["youtube_id"]):
            raise ValueError(
                f"{where}: youtube_id {row['youtube_id']!r}: expected 11 letters, digits, - and _; spreadsheets damage "
                "ids that begin with - or look like numbers, so get the list again and do not save it with one"
            )
        if not row["label"].strip():
            raise ValueError(f"{where}: no label; expected a class name; a list without labels cannot be converted")
        yield where, row


def _folders_in(folder: Path) -> frozenset[str]:
    return frozenset(entry.name for entry in os.scandir(folder) if entry.is_dir()) if folder.is_dir() else frozenset()


def _folders(videos: Path, split: str) -> list[Path]:
    return [videos / name for name in _FOLDERS[split] if (videos / name).is_dir()] or [videos]
