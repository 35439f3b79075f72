"""Folders of videos: ``root/<split>/<class>/<video>``, or ``root/<class>/<video>``.

A video is a file, or a folder of numbered images.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from preprocess.annotations.dataset import FRAME_SUFFIXES, VIDEO_SUFFIXES, LeftOut, ListEntry, Listing
from preprocess.annotations.hold_out import check_group, held_out
from preprocess.annotations.split_names import TRAINING, VALIDATION, also_called, is_named, is_word_for
from shards.format import MANIFEST_NAME, RECORDS_DIR

# Names in lower case that operating systems, network disks and archives create beside the files of a user.
_SYSTEM_NAMES = frozenset(
    ("__macosx", "@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "$recycle.bin", "lost+found")
    + ("system volume information", "thumbs.db", "desktop.ini", "__pycache__")
)
_HIDDEN, _SHARDS = "hidden or system entries", "folders of shards that a conversion has written"
_BESIDE = "files beside the folders of the classes"
_LINK = "broken symbolic links"
_NO_CLASS = "folders without a video"
_NO_VIDEO = "files without the suffix of a video"
_NO_IMAGES = "folders inside a class without images (deeper folders are not searched)"


@dataclass(frozen=True, kw_only=True)
class Folder:
    """Folder names give the splits and classes.

    Each folder with a video in one of the configured splits is a class. Class indices follow the sorted names. Hidden
    folders and system folders are not classes.

    If a validation split has no folder, ``validation_share`` of each class is held out for it. ``group`` is a regular
    expression that finds the source of a video in its file name; videos of one source stay in one split (see
    ``hold_out.held_out``). ``<class>/<video>`` without folders of splits is read as the training split.
    """

    validation_share: Annotated[
        float, "share of each class to hold out if there is no validation folder, 0 up to but not including 1"
    ] = 0.2
    group: Annotated[
        str | None,
        "regular expression that finds the source of a video in its file name; videos of one source stay in one split",
    ] = None

    format_name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "your own videos, no list needed: <split>/<class>/<video>, or <class>/<video> alone"
    names_sides: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 <= self.validation_share < 1:
            raise ValueError(f"validation_share={self.validation_share}: must be at least 0 and below 1")
        check_group(self.group)

    def read(self, source: Path, splits: Sequence[str] | None = None) -> Listing:
        """The videos of ``splits`` below ``source``. By default, each folder there is a split.

        Raises ValueError if a split has no folder and is not held out, or if there is no class or no video.
        """
        if not source.is_dir():
            raise ValueError(f"{source}: no such directory; --source must hold <split>/<class>/<video>")
        top = _scan(source)
        folders = [entry.name for entry in top if not _is_hidden(entry.name) and _is_folder(entry)]
        splits = tuple(splits) if splits is not None else tuple(folders)
        origin = _Origin(folders, splits)
        named = [split for split in splits if split not in (origin.flat, origin.held_out)]
        chosen = {origin.flat: "."} if origin.flat is not None else {}
        chosen |= also_called(folders, named, f"{source}: no folder")
        parts = {split: _part_of(_Scan(source / folder)) for split, folder in chosen.items()}
        notes = [] if origin.flat is not None else [*_notes_on_splits(source, folders, chosen)]
        if origin.held_out is not None:
            notes += self._hold_out(parts, origin)
        if origin.flat is None:
            notes += _notes_beside_splits(top)
        class_names = sorted({name for part in parts.values() for name in part.videos})
        if not class_names:
            raise ValueError(_nothing_found(source, parts.values()))
        labels = {name: index for index, name in enumerate(class_names)}
        return Listing(
            class_names=tuple(class_names),
            splits={split: list(parts[split].listed(labels)) for split in splits},
            entries={split: parts[split].entries for split in splits},
            left_out={split: parts[split].left_out for split in splits},
            notes=tuple(notes),
        )

    def _hold_out(self, parts: dict[str, "_Part"], origin: "_Origin") -> Iterator[str]:
        """Move the held-out videos from the training split to a new part; yields notes about it."""
        training, split = origin.training, origin.held_out
        if self.validation_share == 0:
            raise ValueError(
                f"split {split!r} has no folder, and annotations.validation_share is 0; add the folder, raise the "
                f"share, or train without validation: --set splits.{split}=null"
            )
        whole = parts[training]
        names = {name: [path.name for path in paths] for name, paths in whole.videos.items()}
        chosen = held_out(names, self.validation_share, self.group)
        parts[training], parts[split] = whole.parted(chosen)
        num_held, num_all = parts[split].num_videos, whole.num_videos
        yield (
            f"split {split} has no folder, so {num_held} of {num_all} videos of split {training} are held out for it "
            f"(at least {self.validation_share:.0%} of each class, chosen by their names); change the share with --set "
            "annotations.validation_share=SHARE"
        )
        if self.group is None:
            yield (
                "if several videos were cut from one recording, keep them in one split with annotations.group, such "
                "as --set 'annotations.group=_(g[0-9]+)_'"
            )
        bare = sorted(name for name, files in chosen.items() if not files)
        if bare:
            yield f"split {split} has no video of classes with only one source: {', '.join(map(repr, bare))}"


class _Origin:
    """Where the videos of each split come from, by the names of the folders in the source.

    ``flat`` is the training split if the source itself holds the folders of the classes. ``held_out`` is the validation
    split if it has no folder and there is a training split to take videos from.
    """

    def __init__(self, folders: Sequence[str], splits: Sequence[str]):
        training = [split for split in splits if is_word_for(TRAINING, split)]
        has_splits = any(is_named(split, folders) for split in (*splits, "train", "validation", "test"))
        self.training = training[0] if len(training) == 1 else None
        self.flat = None if has_splits else self.training
        missing = [split for split in splits if split != self.flat and not is_named(split, folders)]
        is_held_out = self.training is not None and len(missing) == 1 and is_word_for(VALIDATION, missing[0])
        self.held_out = missing[0] if is_held_out else None


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One split: the videos of each class, the number of entries, and the entries that are not videos."""

    videos: dict[str, list[Path]]
    entries: int
    left_out: tuple[LeftOut, ...] = ()

    @property
    def num_videos(self) -> int:
        return sum(map(len, self.videos.values()))

    def listed(self, labels: Mapping[str, int]) -> Iterator[ListEntry]:
        for name, paths in self.videos.items():
            for path in paths:
                yield ListEntry(name=f"{name}/{path.name}", path=path, labels=(labels[name],), where=str(path))

    def parted(self, chosen: Mapping[str, Collection[str]]) -> tuple["_Part", "_Part"]:
        """(the part that stays, the part with the chosen videos of each class). Entries that are not videos stay."""
        stay, go = ({name: [] for name in self.videos} for _ in range(2))
        for name, paths in self.videos.items():
            for path in paths:
                (go if path.name in chosen[name] else stay)[name].append(path)
        num_gone = sum(map(len, go.values()))
        return (
            _Part(videos=stay, entries=self.entries - num_gone, left_out=self.left_out),
            _Part(videos=go, entries=num_gone),
        )


def _part_of(scan: "_Scan") -> _Part:
    return _Part(videos=scan.videos, entries=scan.entries, left_out=scan.left_out())


def _nothing_found(source: Path, parts: Iterable[_Part]) -> str:
    found = [f"{kind.count} {kind.kind}, such as {kind.example}" for part in parts for kind in part.left_out]
    return (
        f"{source}: no <split>/<class>/<video> in it, such as train/juggling/clip.mp4, and no <class>/<video>; found "
        f"{'; '.join(found) or 'nothing in the folders of the splits'}"
    )


class _Scan:
    """Reads the folder of one split once: the videos of each class, and all other entries by kind."""

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

    def left_out(self) -> tuple[LeftOut, ...]:
        return tuple(
            LeftOut(kind=kind, count=len(paths), example=str(paths[0])) for kind, paths in self._left_out.items()
        )

    def _kind_beside_classes(self, entry: os.DirEntry) -> str | None:
        """The kind of an entry of the split's folder that cannot be a class; None for a folder."""
        if _is_hidden(entry.name):
            return _HIDDEN
        if _is_folder(entry):
            return None
        return _LINK if _is_broken_link(entry) else _BESIDE

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
    """The kind of an entry of a class's folder that is not a video; None for a video. A broken link may be a video."""
    if _is_hidden(entry.name):
        return _HIDDEN
    if not _is_folder(entry):
        # A broken link without a suffix was a link to a folder of images, so it counts as a missing video.
        is_video = _is_video_file(entry) or (_is_broken_link(entry) and not Path(entry.name).suffix)
        return None if is_video else _NO_VIDEO
    names = os.listdir(entry.path)
    if RECORDS_DIR in names or MANIFEST_NAME in names:
        return _SHARDS
    has_images = any(Path(name).suffix.lower() in FRAME_SUFFIXES and not _is_hidden(name) for name in names)
    return None if has_images else _NO_IMAGES


def _notes_on_splits(source: Path, folders: Sequence[str], chosen: Mapping[str, str]) -> Iterator[str]:
    for split, folder in chosen.items():
        if split != folder:
            yield f"split {split} is read from {source / folder}"
    unused = [name for name in folders if name not in chosen.values()]
    if unused:
        yield f"{source}: folders of no configured split are left out: {', '.join(unused)}"


def _notes_beside_splits(top: Sequence[os.DirEntry]) -> Iterator[str]:
    hidden = [entry.name for entry in top if _is_hidden(entry.name)]
    if hidden:
        yield f"hidden or system entries are left out: {', '.join(hidden)}"
    stray = [entry.path for entry in top if entry.name not in hidden and _is_video_file(entry)]
    if stray:
        yield f"{len(stray)} videos beside the folders of the splits are left out, such as {stray[0]}"


def _is_folder(entry: os.DirEntry) -> bool:
    # DirEntry.is_dir() needs the disk only for links. It raises an error for a link to itself; isdir() does not.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _is_broken_link(entry: os.DirEntry) -> bool:
    return entry.is_symlink() and not os.path.exists(entry.path)


def _is_video_file(entry: os.DirEntry) -> bool:
    return not _is_folder(entry) and Path(entry.name).suffix.lower() in VIDEO_SUFFIXES
