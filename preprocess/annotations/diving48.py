"""Diving48 V2: ``Diving48_V2_train.json``, ``Diving48_V2_test.json`` and ``Diving48_vocab.json``.

``{"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 48}``; the vocabulary is a list of
``["Back", "15som", "05Twis", "FREE"]`` in index order. The video is ``{vid_name}.mp4``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import ListEntry, Listing
from preprocess.annotations.lists import check_segment, json_content, json_entries

_FIELDS = {"vid_name": str, "label": int, "start_frame": int, "end_frame": int}


@dataclass(frozen=True, kw_only=True)
class Diving48:
    """``lists`` and ``videos`` are folders below the source. The name of a class is its four words, joined by ``+``."""

    format_name: ClassVar[str] = "diving48"
    summary: ClassVar[str] = "Diving48 V2: Diving48_V2_train.json, Diving48_V2_test.json, Diving48_vocab.json"
    # No class names a side, but it is not known whether a mirrored dive has the same class.
    names_sides: ClassVar[bool] = True
    lists: Annotated[str, "folder of the lists, below --source"] = "."
    videos: Annotated[str, "folder of the videos, below --source"] = "rgb"
    suffix: Annotated[str, "suffix of the video files"] = ".mp4"

    def read(self, source: Path) -> Listing:
        """Splits ``train`` and ``validation`` (the test list). Segments are [start, end) in frames from 0."""
        lists = source / self.lists
        class_names = _class_names(lists / "Diving48_vocab.json")
        files = {"train": lists / "Diving48_V2_train.json", "validation": lists / "Diving48_V2_test.json"}
        return Listing(
            class_names=class_names,
            splits={split: list(self._rows(source, path, len(class_names))) for split, path in files.items()},
        )

    def _rows(self, source: Path, path: Path, num_classes: int) -> Iterator[ListEntry]:
        for where, entry in json_entries(path, _FIELDS):
            if not 0 <= entry["label"] < num_classes:
                raise ValueError(f"{where}: label {entry['label']}, expected 0 to {num_classes - 1}")
            check_segment(entry["start_frame"], entry["end_frame"], where)
            yield ListEntry(
                name=entry["vid_name"],
                path=source / self.videos / f"{entry['vid_name']}{self.suffix}",
                labels=(entry["label"],),
                where=where,
                start_frame=entry["start_frame"],
                end_frame=entry["end_frame"],
            )


def _class_names(path: Path) -> tuple[str, ...]:
    names = []
    for number, words in enumerate(json_content(path, list), start=1):
        if not (isinstance(words, list) and words and all(isinstance(word, str) for word in words)):
            raise ValueError(
                f'{path}: entry {number}: {words!r}, expected words such as ["Back", "15som", "05Twis", "FREE"]'
            )
        names.append("+".join(words))
    if len(set(names)) != len(names):
        raise ValueError(f"{path}: {len(names)} classes, but only {len(set(names))} different ones")
    return tuple(names)
