"""Averages the logits of a video's views into one score for each class. Pure NumPy."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

AVERAGES = ("logits", "probabilities")
_NAMED = 5


def softmax(logits: np.ndarray) -> np.ndarray:
    """Softmax over the last axis, in float64."""
    shifted = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Element-wise sigmoid, in float64, without overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))


def average_views(logits: np.ndarray, average: str, *, probabilities: Callable = softmax) -> np.ndarray:
    """Logits (V, C) of one video's views -> probabilities (C,).

    ``average="logits"`` applies softmax to the mean logits; ``average="probabilities"`` averages the softmax of each
    view. Both are equal for a single view. Pass ``probabilities=sigmoid`` for multi-label data.
    """
    if average not in AVERAGES:
        raise ValueError(f"average={average!r}: must be one of {', '.join(AVERAGES)}")
    logits = np.asarray(logits, np.float64)
    return probabilities(logits.mean(0)) if average == "logits" else probabilities(logits).mean(0)


def check_views(seen: Mapping[str, Collection[int]], expected: Collection[int]) -> None:
    """Raise ValueError with the names of the videos whose views are not exactly the expected ones."""
    wrong = {video: sorted(views) for video, views in seen.items() if set(views) != set(expected)}
    if wrong:
        named = "; ".join(f"{video} has {views}" for video, views in sorted(wrong.items())[:_NAMED])
        rest = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ValueError(f"{len(wrong)} of {len(seen)} videos do not have views {sorted(expected)}: {named}{rest}")
