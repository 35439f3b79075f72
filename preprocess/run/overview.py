"""Describe a data set before its conversion: the fate of each entry, and what looks wrong."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from preprocess.annotations.classes import class_notes
from preprocess.annotations.dataset import Dataset, ListEntry, SplitCounts
from preprocess.annotations.leaks import leak_notes
from preprocess.annotations.missing import why_missing
from preprocess.annotations.subsets import OUTSIDE
from preprocess.config.schema import Config

MISSING_NAME = "missing.tsv"
_MISSING_SHOWN = 5


def overview_lines(dataset: Dataset, config: Config, source: Path) -> Iterator[str]:
    """Yield notes, then the counts of each split, then its missing and skipped entries."""
    for note in (*config.notes, *dataset.notes, *_notes_on_classes(dataset, config)):
        yield f"note: {note}"
    by_mode = {mode: [name for name in config.splits if config.splits[name].mode == mode] for mode in ("train", "test")}
    there = {split: dataset.splits.get(split, ()) for split in config.splits}
    for note in leak_notes(source, there, by_mode["train"], by_mode["test"]):
        yield f"note: {note}"
    for split in config.splits:
        missing = dataset.missing.get(split, ())
        counts = dataset.counts.get(split)
        yield f"{split}: {len(there[split])} videos, {len(missing)} missing{_left_out(counts)}"
        yield from _missing_lines(missing)
        for kind in counts.left_out if counts else ():
            yield f"  left out: {kind.count} {kind.kind}, such as {kind.example}"


def _left_out(counts: SplitCounts | None) -> str:
    return f", {counts.num_left_out} left out, of {counts.entries} entries" if counts and counts.left_out else ""


def _missing_lines(missing: tuple[ListEntry, ...]) -> Iterator[str]:
    for entry in missing[:_MISSING_SHOWN]:
        why = why_missing(entry.path)
        yield f"  missing: {entry.path} (listed at {entry.where}){f': {why}' if why else ''}"
    if len(missing) > _MISSING_SHOWN:
        yield f"  and {len(missing) - _MISSING_SHOWN} more; a conversion lists them all in {MISSING_NAME}"


def _notes_on_classes(dataset: Dataset, config: Config) -> Iterator[str]:
    train_splits = [name for name, split in config.splits.items() if split.mode == "train"]
    counts = {
        split: Counter(label for video in dataset.splits.get(split, ()) for label in video.labels)
        for split in config.splits
    }
    yield from class_notes(dataset.class_names, counts, train_splits)
    for subset, class_names in dataset.subsets.items():
        counts = {
            split: Counter(
                label
                for video in dataset.splits.get(split, ())
                for name, label in video.subsets
                if name == subset and label != OUTSIDE
            )
            for split in config.splits
        }
        yield from class_notes(class_names, counts, train_splits, f" of {subset}")
