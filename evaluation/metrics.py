"""Metrics of classification, in percent. Pure numpy."""

import numpy as np


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Percent of the N samples whose class is among their k highest scores; scores (N, C), labels int (N,).

    ``scores [[.1, .7, .2]], label 2: k=1 -> 0, k=2 -> 100``. Equal scores rank by class index, the lower first. With C
    classes a k above C counts as C, so top-5 of 3 classes is 100, as in timm. Raises ValueError for NaN.
    """
    scores, labels = _checked(scores, labels)
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = (scores > own).sum(1) + ((scores == own) & earlier).sum(1)
    return 100.0 * float(np.mean(rank < k))


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or len(labels) == 0:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape}: (N, C) and (N,) with N > 0 are needed")
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).any(1).sum())
        raise ValueError(f"{bad} of {len(scores)} samples have scores that are not finite; the weights are spoilt")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"labels {labels.min()} to {labels.max()}: must lie in 0 to {scores.shape[1] - 1}")
    return scores, labels


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """int (C, C): how many samples of class [row] were taken for class [column]."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(predictions)), 1)
    return matrix


def mean_class_accuracy(confusion: np.ndarray) -> float:
    """Percent right of each class, averaged over the classes that have samples: each class weighs the same.

    ``[[8, 0], [1, 1]] -> (100 + 50) / 2 = 75``, where top-1 is 90.
    """
    totals = confusion.sum(1)
    present = totals > 0
    if not present.any():
        raise ValueError("a confusion matrix without samples has no mean class accuracy")
    return 100.0 * float(np.mean(np.diag(confusion)[present] / totals[present]))
