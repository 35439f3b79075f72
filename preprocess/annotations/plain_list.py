"""Plain lists: ``path start end label``, as action-recognition-pytorch and SIFAR use.

Frames count from 1 and both ends are included. A path is a video, or a folder of ``00001.jpg ...``. Further numbers
behind the label are further labels.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from preprocess.annotations.dataset import Listed, Listing
from preprocess.annotations.lists import names_in_order, separated_rows, whole_number

_DEFAULT_LISTS = {"train": "train.txt", "validation": "val.txt"}


@dataclass(frozen=True, kw_only=True)
class PlainList:
    """``lists``: {split: file below the source}; ``videos``: the folder that paths begin at.

    ``classes``: a file with a class name a line, in index order; without it the classes are named by their numbers.
    ``separator``: a space, or ``;`` for Kinetics. ``frame_rate`` is that of folders of frames.
    """

    format_name: ClassVar[str] = "list"
    summary: ClassVar[str] = "plain lists: 'path start end label', of videos or folders of frames"
    names_sides: ClassVar[bool] = False
    lists: dict | None = None
    classes: str | None = None
    videos: str = "."
    separator: str = " "
    frame_rate: float | None = None

    def __post_init__(self):
        if len(self.separator) != 1:
            raise ValueError(f"separator={self.separator!r}: must be one character")

    def read(self, source: Path) -> Listing:
        """One split for each list."""
        class_names = tuple(names_in_order(source / self.classes)) if self.classes is not None else None
        files = {split: source / name for split, name in (self.lists or _DEFAULT_LISTS).items()}
        splits = {split: list(self._rows(path, source / self.videos, class_names)) for split, path in files.items()}
        if class_names is None:
            highest = max((max(row.labels) for rows in splits.values() for row in rows), default=-1)
            class_names = tuple(str(number) for number in range(highest + 1))
        return Listing(class_names=class_names, splits=splits)

    def _rows(self, path: Path, videos: Path, class_names: tuple[str, ...] | None) -> Iterator[Listed]:
        columns = self.separator.join(("<path>", "<first frame>", "<last frame>", "<label>"))
        rows = list(separated_rows(path, separator=self.separator, columns=columns, at_least=4, at_most=None))
        times_listed = Counter(fields[0] for _, fields in rows)
        for where, fields in rows:
            first, last = (whole_number(field, where, what) for field, what in zip(fields[1:3], ("start", "end")))
            if not 1 <= first <= last:
                raise ValueError(f"{where}: frames {first} to {last}, expected 1 <= start <= end: they count from 1")
            segment = f"_{first:06d}_{last:06d}" if times_listed[fields[0]] > 1 else ""
            yield Listed(
                name=f"{fields[0]}{segment}",
                path=videos / fields[0],
                labels=_labels(fields[3:], where, class_names),
                where=where,
                start_frame=first - 1,
                end_frame=last,
                frame_rate=self.frame_rate,
            )


def _labels(fields: list[str], where: str, class_names: tuple[str, ...] | None) -> tuple[int, ...]:
    labels = tuple(dict.fromkeys(whole_number(field, where, "a label") for field in fields))
    if class_names is not None and max(labels) >= len(class_names):
        raise ValueError(f"{where}: label {max(labels)}, expected 0 to {len(class_names) - 1}")
    return labels
