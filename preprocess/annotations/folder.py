"""``root/<split>/<class>/<video>``: the newcomer's own videos. A video is a file, or a folder of numbered images."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from preprocess.annotations.dataset import FRAME_SUFFIXES, VIDEO_SUFFIXES, Listed, Listing


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Splits and classes are the names of folders; class indices follow the sorted names of all splits."""

    format_name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "your own videos: <split>/<class>/<video>, no list needed"
    names_sides: ClassVar[bool] = False

    def read(self, source: Path) -> Listing:
        """The videos below ``source``; ValueError where there are no splits, classes or videos."""
        if not source.is_dir():
            raise ValueError(f"{source}: no such directory; --source must hold <split>/<class>/<video>")
        splits = _folders(source)
        class_names = sorted({folder.name for split in splits for folder in _folders(split)})
        if not class_names:
            raise ValueError(f"{source}: no <split>/<class> folders in it, such as train/juggling/clip.mp4")
        files = {split.name: list(_files(split)) for split in splits}
        labels = {name: index for index, name in enumerate(class_names)}
        return Listing(
            class_names=tuple(class_names),
            splits={
                split: [_listed(path, labels) for path in paths if _is_video(path)] for split, paths in files.items()
            },
            notes=tuple(_notes(files, splits)),
        )


def _folders(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(split: Path) -> Iterator[Path]:
    for folder in _folders(split):
        yield from sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _is_video(path: Path) -> bool:
    if path.is_dir():
        return any(frame.suffix.lower() in FRAME_SUFFIXES for frame in path.iterdir())
    return path.suffix.lower() in VIDEO_SUFFIXES


def _listed(path: Path, labels: dict[str, int]) -> Listed:
    name = f"{path.parent.name}/{path.name}"
    return Listed(name=name, path=path, labels=(labels[path.parent.name],), where=str(path))


def _notes(files: dict[str, list[Path]], splits: list[Path]) -> Iterator[str]:
    for split, paths in files.items():
        strange = [path for path in paths if not _is_video(path)]
        if strange:
            entries = f"{len(strange)} entries that are neither videos nor folders of images"
            yield f"{split}: {entries} are left out, such as {strange[0]}"
    for split in splits:
        for folder in _folders(split):
            if not any(folder.iterdir()):
                yield f"{folder}: holds no video"
