"""Charades: ``Charades_v1_train.csv``, ``Charades_v1_test.csv`` and ``Charades_v1_classes.txt``.

CSV with a header. ``actions`` is ``c092 11.90 21.20;c147 0.00 12.60`` (class, start and end in seconds), and may be
empty. A class is ``c008 Opening a door``. The videos are untrimmed and have several labels each; the metric is mean
average precision.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import LeftOut, ListEntry, Listing
from preprocess.annotations.lists import check_segment, class_index, named_rows, numbered_lines, seconds

_SAMPLES = ("video", "segment")


@dataclass(frozen=True, kw_only=True)
class _Action:
    label: int
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Charades:
    """``lists`` and ``videos`` are folders below the source.

    ``sample: video``: a sample is a whole video with all its labels, as in the benchmark's classification task.
    ``sample: segment``: a sample is one (start, end) with the labels of all actions that have these times.
    """

    format_name: ClassVar[str] = "charades"
    summary: ClassVar[str] = "Charades: Charades_v1_train.csv, Charades_v1_test.csv; several labels a video"
    names_sides: ClassVar[bool] = False
    lists: Annotated[str, "folder of the lists, below --source"] = "Charades"
    videos: Annotated[str, "folder of the videos, below --source"] = "Charades_v1_480"
    suffix: Annotated[str, "suffix of the video files"] = ".mp4"
    sample: Annotated[
        str, f"what a sample is: {' or '.join(_SAMPLES)} (a whole video with all its labels, or one action)"
    ] = "video"

    def __post_init__(self) -> None:
        if self.sample not in _SAMPLES:
            raise ValueError(f"sample={self.sample!r}: must be one of {', '.join(_SAMPLES)}")

    def read(self, source: Path) -> Listing:
        """Splits ``train`` and ``validation`` (the test list). Videos without an action are skipped and counted."""
        lists = source / self.lists
        codes, class_names = _classes(lists / "Charades_v1_classes.txt")
        splits, left_out = {}, {}
        for split, name in (("train", "Charades_v1_train.csv"), ("validation", "Charades_v1_test.csv")):
            rows = list(_rows(lists / name, codes))
            empty = [where for where, _, actions in rows if not actions]
            if empty:
                left_out[split] = [LeftOut(kind="videos without an action", count=len(empty), example=empty[0])]
            splits[split] = [listed for row in rows for listed in self._listed(source, *row)]
        return Listing(class_names=class_names, splits=splits, left_out=left_out)

    def _listed(self, source: Path, where: str, video: str, actions: list[_Action]) -> Iterator[ListEntry]:
        path = source / self.videos / f"{video}{self.suffix}"
        if self.sample == "video" and actions:
            yield ListEntry(name=video, path=path, labels=_labels(actions), where=where)
        if self.sample == "segment":
            for start, end in dict.fromkeys((action.start, action.end) for action in actions):
                together = [action for action in actions if (action.start, action.end) == (start, end)]
                # Hundredths of a second, since a dot in the name would start a suffix.
                name = f"{video}_{round(100 * start):06d}_{round(100 * end):06d}"
                yield ListEntry(name=name, path=path, labels=_labels(together), where=where, start=start, end=end)


def _labels(actions: list[_Action]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(action.label for action in actions))


def _classes(path: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """({"c008": 8, ...}, names in index order) of rows such as ``c008 Opening a door``."""
    codes: dict[str, int] = {}
    names = []
    for where, line in numbered_lines(path):
        code, _, name = line.partition(" ")
        if code != f"c{len(codes):03d}" or not name:
            raise ValueError(f"{where}: {line!r}: expected 'c{len(codes):03d} <class name>'")
        codes[code] = len(codes)
        names.append(name)
    return codes, tuple(names)


def _rows(path: Path, codes: dict[str, int]) -> Iterator[tuple[str, str, list[_Action]]]:
    for where, row in named_rows(path, separator=",", columns=("id", "actions")):
        if not row["id"]:
            raise ValueError(f"{where}: no id; expected a video id such as 46GP8")
        actions = [_action(text, where, codes) for text in row["actions"].split(";") if text]
        yield where, row["id"], actions


def _action(text: str, where: str, codes: dict[str, int]) -> _Action:
    fields = text.split(" ")
    if len(fields) != 3:
        raise ValueError(f"{where}: action {text!r}: expected '<class> <start> <end>', such as 'c092 11.90 21.20'")
    start, end = (seconds(field, where, "a time of an action") for field in fields[1:])
    check_segment(start, end, where)
    return _Action(label=class_index(fields[0], codes, where, "Charades_v1_classes.txt"), start=start, end=end)
