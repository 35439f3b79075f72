"""Many views of a video -> one score vector. Pure numpy."""

from collections.abc import Callable, Collection, Mapping

import numpy as np

AVERAGES = ("logits", "probabilities")
_NAMED = 5


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, in float64."""
    shifted = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Each by itself, in float64."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, np.float64)))


def average_views(logits: np.ndarray, average: str, *, probabilities: Callable = softmax) -> np.ndarray:
    """Logits (V, C) of one video's views -> probabilities (C,).

    ``logits``: softmax of the mean; ``probabilities``: mean of the softmax. One view: the same. With
    ``probabilities=sigmoid``, for classes that do not exclude each other, sigmoid takes the place of softmax.
    """
    if average not in AVERAGES:
        raise ValueError(f"average={average!r}: must be one of {', '.join(AVERAGES)}")
    logits = np.asarray(logits, np.float64)
    return probabilities(logits.mean(0)) if average == "logits" else probabilities(logits).mean(0)


def check_views(seen: Mapping[str, Collection[int]], expected: Collection[int]) -> None:
    """ValueError that names the videos without all the expected views, or with others."""
    wrong = {video: sorted(views) for video, views in seen.items() if set(views) != set(expected)}
    if wrong:
        named = "; ".join(f"{video} has {views}" for video, views in sorted(wrong.items())[:_NAMED])
        rest = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ValueError(f"{len(wrong)} of {len(seen)} videos do not have views {sorted(expected)}: {named}{rest}")
