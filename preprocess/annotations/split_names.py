"""Other names of a split, such as ``val`` for ``validation``. Pure."""

from collections.abc import Iterable, Sequence

TRAINING = frozenset(("train", "training"))
VALIDATION = frozenset(("validation", "validate", "valid", "val"))
_SAME = (
    TRAINING,
    VALIDATION,
    frozenset(("test", "testing")),
)


def also_called(names: Sequence[str], splits: Iterable[str], where: str) -> dict[str, str]:
    """{split: the one of ``names`` that means it}. The exact name comes before another name for the split.

    >>> also_called(["train", "val"], ["train", "validation"], "no folder")
    {'train': 'train', 'validation': 'val'}

    Raises ValueError, which begins with ``where``, for a split that no name or more than one name can mean.
    """
    splits = list(splits)
    return {split: _name_of(split, names, splits, where) for split in splits}


def is_named(split: str, names: Sequence[str]) -> bool:
    """Whether one of ``names`` means the split: ``validation, ["val"] -> True``."""
    return any(_words_for(name) == _words_for(split) for name in names)


def is_word_for(words: frozenset[str], split: str) -> bool:
    """Whether the name of a split is one of ``words``, which is ``TRAINING`` or ``VALIDATION``."""
    return split.casefold() in words


def _name_of(split: str, names: Sequence[str], splits: Sequence[str], where: str) -> str:
    if split in names:
        return split
    likely = [name for name in names if name not in splits and _words_for(name) == _words_for(split)]
    if len(likely) > 1:
        raise ValueError(
            f"{where} has the name {split!r}, a split of the configuration, but {' and '.join(likely)} could each be "
            f"it; rename one of them to {split}"
        )
    if not likely:
        raise ValueError(
            f"{where} has the name {split!r}: split {split!r} of the configuration is not in the data set, which has "
            f"{', '.join(names) or 'none'}; rename one of these, or change splits in the configuration"
        )
    return likely[0]


def _words_for(name: str) -> frozenset[str]:
    lower = name.casefold()
    return next((words for words in _SAME if lower in words), frozenset((lower,)))
