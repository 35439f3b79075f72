"""Notes on classes without a training video, and on class names that are nearly the same. Pure."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

_SHOWN = 10


def class_notes(
    class_names: Sequence[str], counts: Mapping[str, Counter], train_splits: Collection[str], data_set: str = ""
) -> Iterator[str]:
    """Notes on the classes. ``counts``: {split: number of videos by class index}.

    ``data_set`` names a subset, as in ``" of mini"``. Missing training videos are noted only if there is a training
    split.
    """
    trained = {label for split in train_splits for label, count in counts[split].items() if count}
    absent = [label for label in range(len(class_names)) if label not in trained] if train_splits else []
    if absent:
        shown = [f"{_quoted(class_names[label])} ({_by_split(label, counts)})" for label in absent[:_SHOWN]]
        yield (
            f"{len(absent)} of {len(class_names)} classes{data_set} have no training video, so no model learns them: "
            f"{_listed(shown, len(absent))}"
        )
    for alike in _nearly_the_same(class_names):
        shown = [f"{_quoted(class_names[label])} ({_by_split(label, counts)})" for label in alike]
        yield f"class names{data_set} are nearly the same, and remain separate classes: {', '.join(shown)}"


def untrained_after_failures(class_names: Sequence[str], planned: Counter, stored: Counter) -> tuple[str, ...]:
    """Names of the classes whose training videos all failed to convert."""
    return tuple(name for label, name in enumerate(class_names) if planned[label] and not stored[label])


def _nearly_the_same(class_names: Sequence[str]) -> list[list[int]]:
    """Class indices whose names differ only in case, blanks, underscores, hyphens or the form of accents."""
    groups = defaultdict(list)
    for label, name in enumerate(class_names):
        plain = unicodedata.normalize("NFKC", name).casefold()
        groups[re.sub(r"[\s_-]+", " ", plain).strip()].append(label)
    return [labels for labels in groups.values() if len(labels) > 1]


def _by_split(label: int, counts: Mapping[str, Counter]) -> str:
    return (
        ", ".join(f"{count[label]} in {split}" for split, count in counts.items() if count[label]) or "no video at all"
    )


def _quoted(name: str) -> str:
    """The name in quotes. Accents in another Unicode form look the same on a terminal, so they are escaped."""
    return repr(name) if unicodedata.normalize("NFC", name) == name else ascii(name)


def _listed(shown: Sequence[str], count: int) -> str:
    return ", ".join(shown) + (f", and {count - len(shown)} more" if count > len(shown) else "")
