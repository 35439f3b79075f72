"""``root/<split>/<class>/<video>``: the newcomer's own videos. A video is a file, or a folder of numbered images."""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from preprocess.annotations.dataset import FRAME_SUFFIXES, VIDEO_SUFFIXES, LeftOut, Listed, Listing
from preprocess.annotations.split_names import also_called
from shards.format import MANIFEST_NAME, RECORDS_DIR

# What operating systems, network disks and archives leave beside the files of a person; names in lower case.
_SYSTEM_NAMES = frozenset(
    ("__macosx", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "lost+found")
    + ("system volume information", "thumbs.db", "desktop.ini", "__pycache__")
)
_HIDDEN, _SHARDS = "hidden or system entries", "folders of shards, which a conversion has written"
_BESIDE = "files beside the folders of the classes"
_LINK = "symbolic links that lead nowhere"
_NO_CLASS = "folders without a video, which are no classes"
_NO_VIDEO = "files that are no videos, by their suffix"
_NO_IMAGES = "folders inside a class without images (videos are not looked for any deeper)"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Splits and classes are the names of folders.

    The classes are the folders that hold a video in one of the configured splits; class indices follow their sorted
    names. Hidden folders and those of the system are never classes.
    """

    format_name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "your own videos: <split>/<class>/<video>, no list needed"
    names_sides: ClassVar[bool] = False

    def read(self, source: Path, splits: Sequence[str] | None = None) -> Listing:
        """The videos of ``splits`` below ``source``, of every folder there by default.

        Raises ValueError where a split has no folder, or where there are no classes or videos.
        """
        if not source.is_dir():
            raise ValueError(f"{source}: no such directory; --source must hold <split>/<class>/<video>")
        top = _scan(source)
        folders = [entry.name for entry in top if not _is_hidden(entry.name) and _is_folder(entry)]
        chosen = also_called(folders, splits if splits is not None else folders, f"{source}: no folder")
        scans = {split: _Scan(source / folder) for split, folder in chosen.items()}
        class_names = sorted({name for scan in scans.values() for name in scan.videos})
        if not class_names:
            found = [
                f"{kind.count} {kind.kind}, such as {kind.example}" for s in scans.values() for kind in s.left_out()
            ]
            raise ValueError(
                f"{source}: no <split>/<class>/<video> in it, such as train/juggling/clip.mp4; it has "
                f"{'; '.join(found) or 'nothing in the folders of the splits'}"
            )
        labels = {name: index for index, name in enumerate(class_names)}
        return Listing(
            class_names=tuple(class_names),
            splits={split: list(scan.listed(labels)) for split, scan in scans.items()},
            entries={split: scan.entries for split, scan in scans.items()},
            left_out={split: scan.left_out() for split, scan in scans.items()},
            notes=(*_notes_on_splits(source, folders, chosen), *_notes_beside_splits(top)),
        )


class _Scan:
    """One split's folder, read once: the videos of each class, and all other entries by their kind."""

    def __init__(self, folder: Path):
        self.entries = 0
        self.videos: dict[str, list[Path]] = {}
        self._left_out: dict[str, list[Path]] = defaultdict(list)
        for entry in _scan(folder):
            kind = self._kind_beside_classes(entry)
            if kind is not None:
                self._leave_out(kind, entry)
            else:
                self._read_class(entry)

    def listed(self, labels: Mapping[str, int]) -> Iterator[Listed]:
        for name, paths in self.videos.items():
            for path in paths:
                yield Listed(name=f"{name}/{path.name}", path=path, labels=(labels[name],), where=str(path))

    def left_out(self) -> tuple[LeftOut, ...]:
        return tuple(
            LeftOut(kind=kind, count=len(paths), example=str(paths[0])) for kind, paths in self._left_out.items()
        )

    def _kind_beside_classes(self, entry: os.DirEntry) -> str | None:
        """What an entry of the split's folder is, if it is no candidate for a class."""
        if _is_hidden(entry.name):
            return _HIDDEN
        if _is_folder(entry):
            return None
        return _LINK if _leads_nowhere(entry) else _BESIDE

    def _read_class(self, folder: os.DirEntry) -> None:
        videos = []
        for entry in _scan(Path(folder.path)):
            kind = _kind_in_class(entry)
            if kind is not None:
                self._leave_out(kind, entry)
            else:
                videos.append(Path(entry.path))
        if videos:
            self.entries += len(videos)
            self.videos[folder.name] = videos
        else:
            self._leave_out(_NO_CLASS, folder)

    def _leave_out(self, kind: str, entry: os.DirEntry) -> None:
        self.entries += 1
        self._left_out[kind].append(Path(entry.path))


def _scan(folder: Path) -> list[os.DirEntry]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_NAMES


def _kind_in_class(entry: os.DirEntry) -> str | None:
    """What an entry of a class's folder is, if it is no video. A symbolic link that leads nowhere may be one."""
    if _is_hidden(entry.name):
        return _HIDDEN
    if not _is_folder(entry):
        # Without a suffix, the link was one to a folder of images: a missing video, as the others are.
        is_video = _is_video_file(entry) or (_leads_nowhere(entry) and not Path(entry.name).suffix)
        return None if is_video else _NO_VIDEO
    names = os.listdir(entry.path)
    if RECORDS_DIR in names or MANIFEST_NAME in names:
        return _SHARDS
    has_images = any(Path(name).suffix.lower() in FRAME_SUFFIXES and not _is_hidden(name) for name in names)
    return None if has_images else _NO_IMAGES


def _notes_on_splits(source: Path, folders: Sequence[str], chosen: Mapping[str, str]) -> Iterator[str]:
    for split, folder in chosen.items():
        if split != folder:
            yield f"split {split}: is read from {source / folder}"
    unused = [name for name in folders if name not in chosen.values()]
    if unused:
        yield f"{source}: folders that belong to no configured split are left out: {', '.join(unused)}"


def _notes_beside_splits(top: Sequence[os.DirEntry]) -> Iterator[str]:
    hidden = [entry.name for entry in top if _is_hidden(entry.name)]
    if hidden:
        yield f"hidden or system entries are left out: {', '.join(hidden)}"
    stray = [entry.path for entry in top if entry.name not in hidden and _is_video_file(entry)]
    if stray:
        yield f"{len(stray)} videos beside the folders of the splits are left out, such as {stray[0]}"


def _is_folder(entry: os.DirEntry) -> bool:
    # DirEntry.is_dir() asks the disk about links only; for a link to itself it raises an error, which isdir() does not.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _leads_nowhere(entry: os.DirEntry) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)


def _is_video_file(entry: os.DirEntry) -> bool:
    return not _is_folder(entry) and Path(entry.name).suffix.lower() in VIDEO_SUFFIXES
