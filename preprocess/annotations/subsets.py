"""Turns a listing into a data set: applies subsets and mirrored labels, and looks the files up on the disk."""

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from preprocess.annotations.dataset import (
    Dataset,
    LeftOut,
    ListEntry,
    Listing,
    SplitCounts,
    Target,
    Targets,
    Video,
    find_on_disk,
)
from preprocess.annotations.lists import numbered_lines
from preprocess.annotations.remote import RemoteFolders
from shards.suggestions import did_you_mean

OUTSIDE = -1  # timm skips samples with this label


@dataclass(frozen=True, kw_only=True)
class Subset:
    """A part of a data set, given by a file of class names or by files of video identifiers, {split: file}.

    The classes keep their order and are numbered from 0. Each file is below the source and has one name per line.
    """

    classes: Annotated[str | None, "file with one class name of the subset per line, below --source"] = None
    videos: Annotated[dict | None, "files with one video identifier per line, below --source: {split: file}"] = None

    def __post_init__(self) -> None:
        if (self.classes is None) == (self.videos is None):
            raise ValueError("give either classes (a file of class names) or videos ({split: a file of identifiers})")


@dataclass(frozen=True, kw_only=True)
class _Members:
    """A subset of one listing: its class names, its class index by that of the data set, and its videos by split."""

    class_names: tuple[str, ...]
    indices: Mapping[int, int]
    identifiers: Mapping[str, frozenset[str]] | None
    notes: tuple[str, ...]

    def index(self, split: str, entry: ListEntry, label: int) -> int:
        listed = self.identifiers is None or _identifier(entry) in self.identifiers.get(split, frozenset())
        return self.indices.get(label, OUTSIDE) if listed else OUTSIDE


def build_dataset(
    listing: Listing,
    source: Path,
    *,
    subsets: Mapping[str, Subset],
    only: str | None = None,
    flip_labels: Mapping[str, str] | None = None,
    remote: RemoteFolders | None = None,
) -> Dataset:
    """The videos of ``listing`` that are on the disk, or that can be downloaded if ``remote`` is given.

    ``only`` names a subset: only its videos are kept, with the classes of the subset. ``flip_labels`` holds the class
    of a mirrored video by its own class, {name: name}; each pair applies in both directions. Raises ValueError for an
    unknown class or subset.
    """
    members = {name: _members(subset, listing, source) for name, subset in subsets.items()}
    if only is not None and only not in members:
        raise ValueError(f"only={only!r}: no such subset; there are {', '.join(members) or 'none'}")
    mirror = mirror_labels(listing.class_names, flip_labels or {})
    present, missing, counts = {}, {}, {}
    for split, entries in listing.splits.items():
        targets = [(entry, _targets(split, entry, members, only, mirror)) for entry in entries]
        kept = [(entry, target) for entry, target in targets if target.target.labels[0] != OUTSIDE]
        present[split], missing[split] = find_on_disk(
            source, kept, locate=functools.partial(remote.locate, split) if remote else None
        )
        gone = frozenset(map(id, missing[split]))
        _refuse_one_file_twice([entry for entry, _ in kept if id(entry) not in gone], present[split])
        outside = [entry for entry, target in targets if target.target.labels[0] == OUTSIDE]
        by_reader = tuple(listing.left_out.get(split, ()))
        counts[split] = SplitCounts(
            entries=listing.entries.get(split, len(entries) + sum(kind.count for kind in by_reader)),
            videos=len(present[split]),
            missing=len(missing[split]),
            left_out=(*by_reader, *_outside(outside, only)),
        )
    return Dataset(
        class_names=listing.class_names if only is None else members[only].class_names,
        splits=present,
        missing=missing,
        notes=(*listing.notes, *(note for member in members.values() for note in member.notes)),
        subsets={name: member.class_names for name, member in members.items() if name != only},
        counts=counts,
    )


def _refuse_one_file_twice(entries: Sequence[ListEntry], videos: Sequence[Video]) -> None:
    """ValueError if two entries name the same segment of a file, such as ``a.mp4`` and ``./a.mp4``."""
    seen: dict[tuple, str] = {}
    for entry, video in zip(entries, videos, strict=True):
        name = os.path.normpath(video.path), video.start, video.end, video.start_frame, video.end_frame
        if name in seen:
            raise ValueError(f"{entry.where}: {video.path} is listed already, at {seen[name]}; list each video once")
        seen[name] = entry.where


def _outside(entries: Sequence[ListEntry], only: str | None) -> tuple[LeftOut, ...]:
    if not entries:
        return ()
    return (LeftOut(kind=f"videos outside the subset {only}", count=len(entries), example=entries[0].where),)


def mirror_labels(class_names: Sequence[str], flip_labels: Mapping[str, str]) -> dict[int, int]:
    """``["left", "right", "up"], {"left": "right"} -> {0: 1, 1: 0}``; ValueError for an unknown or a second partner."""
    indices = {name: index for index, name in enumerate(class_names)}
    mirror: dict[int, int] = {}
    for pair in flip_labels.items():
        for name in pair:
            if name not in indices:
                raise ValueError(
                    f"flip_labels: {name!r} is not a class of this data set{did_you_mean(name, class_names)}"
                )
        for one, other in (pair, pair[::-1]):
            if mirror.setdefault(indices[one], indices[other]) != indices[other]:
                raise ValueError(f"flip_labels: {one!r} has two partners; a class can have only one")
    return mirror


def _targets(
    split: str, entry: ListEntry, members: Mapping[str, _Members], only: str | None, mirror: Mapping[int, int]
) -> Targets:
    target = _target(split, entry, entry.labels, members, only)
    if mirror.keys().isdisjoint(entry.labels):
        return Targets(target=target)
    mirrored = _target(split, entry, tuple(mirror.get(label, label) for label in entry.labels), members, only)
    return Targets(
        target=target,
        mirrored=mirrored,
        may_flip=OUTSIDE not in mirrored.labels,
    )


def _target(
    split: str, entry: ListEntry, labels: tuple[int, ...], members: Mapping[str, _Members], only: str | None
) -> Target:
    inside = {name: member.index(split, entry, labels[0]) for name, member in members.items()}
    if only is not None:
        labels = tuple(members[only].index(split, entry, label) for label in labels)
        labels = tuple(label for label in labels if label != OUTSIDE) or (OUTSIDE,)
    return Target(labels=labels, subsets=tuple((name, index) for name, index in inside.items() if name != only))


def _members(subset: Subset, listing: Listing, source: Path) -> _Members:
    if subset.classes is not None:
        names, notes = _names_of_classes(source / subset.classes, listing.class_names)
        identifiers = None
    else:
        identifiers, notes = _identifiers(subset.videos, listing, source)
        names = {
            listing.class_names[entry.labels[0]]
            for split, entries in listing.splits.items()
            for entry in entries
            if _identifier(entry) in identifiers.get(split, frozenset())
        }
    class_names = tuple(name for name in listing.class_names if name in names)
    indices = {index: class_names.index(name) for index, name in enumerate(listing.class_names) if name in names}
    return _Members(class_names=class_names, indices=indices, identifiers=identifiers, notes=notes)


def _names_of_classes(path: Path, class_names: Sequence[str]) -> tuple[set[str], tuple[str, ...]]:
    """(class names in a file, notes). Stray quotes are removed with a note: mini_kinetics400 has ``yoga''.``."""
    known, names, notes = frozenset(class_names), set(), []
    for where, line in numbered_lines(path):
        name = line if line in known else line.strip("'\". ")
        if name not in known:
            raise ValueError(f"{where}: class {line!r} is not in the data set{did_you_mean(name, class_names)}")
        if name != line:
            notes.append(f"{where}: {line!r} is read as {name!r}")
        names.add(name)
    return names, tuple(notes)


def _identifiers(
    files: Mapping[str, str], listing: Listing, source: Path
) -> tuple[dict[str, frozenset[str]], tuple[str, ...]]:
    identifiers, notes = {}, []
    for split, name in files.items():
        if split not in listing.splits:
            raise ValueError(f"subsets: split {split!r} is not in the data set: {', '.join(listing.splits)}")
        identifiers[split] = frozenset(line for _, line in numbered_lines(source / name))
        absent = identifiers[split] - {_identifier(entry) for entry in listing.splits[split]}
        if len(absent) == len(identifiers[split]):
            raise ValueError(f"{source / name}: none of its {len(absent)} videos is in the list of split {split!r}")
        if absent:
            notes.append(
                f"{source / name}: {len(absent)} of {len(identifiers[split])} videos are not in split {split!r}"
            )
    return identifiers, tuple(notes)


def _identifier(entry: ListEntry) -> str:
    return entry.identifier if entry.identifier is not None else entry.name
