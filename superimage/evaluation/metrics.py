"""Classification metrics, in percent. Pure NumPy."""

import numpy as np


def top_k_accuracy(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Percentage of the N samples whose class is among the k highest scores; scores (N, C), labels int (N,).

    ``scores [[.1, .7, .2]], label 2: k=1 -> 0, k=2 -> 100``. Of equal scores, the lower class index ranks first. With
    fewer than k classes the result is 100, as in timm. Raises ValueError for NaN.
    """
    scores, labels = _checked(scores, labels)
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = (scores > own).sum(1) + ((scores == own) & earlier).sum(1)
    return 100.0 * float(np.mean(rank < k))


def _checked(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores), np.asarray(labels)
    if scores.ndim != 2 or labels.shape != scores.shape[:1] or len(labels) == 0:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape}: must be (N, C) and (N,) with N > 0")
    _refuse_not_finite(scores)
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"labels {labels.min()} to {labels.max()}: must lie in 0 to {scores.shape[1] - 1}")
    return scores, labels


def _refuse_not_finite(scores: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).any(1).sum())
        raise ValueError(
            f"{bad} of {len(scores)} samples have scores that are not finite; the weights of the model contain NaN or "
            "overflow"
        )


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """int (C, C): the number of samples of class [row] that were predicted as class [column]."""
    matrix = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(matrix, (np.asarray(labels), np.asarray(predictions)), 1)
    return matrix


def mean_class_accuracy(confusion: np.ndarray) -> float:
    """Mean accuracy of the classes, in percent: every class has the same weight. Classes without samples are ignored.

    ``[[8, 0], [1, 1]] -> (100 + 50) / 2 = 75``, while top-1 is 90. Raises ValueError if there are no samples.
    """
    totals = confusion.sum(1)
    present = totals > 0
    if not present.any():
        raise ValueError("a confusion matrix without samples has no mean class accuracy")
    return 100.0 * float(np.mean(np.diag(confusion)[present] / totals[present]))


def average_precision(scores: np.ndarray, positives: np.ndarray) -> float:
    """Average precision of one class in percent; scores (N,), positives bool (N,) with at least one true value.

    The precision at each positive, averaged over the positives, without interpolation. The precision at a positive
    counts all samples with the same or a higher score: ``scores [.9, .8, .7], positives [1, 0, 1] -> (1/1 + 2/3) / 2 =
    83.3``. Samples with equal scores share one threshold, so their order does not matter. The official script ranks
    them in the order of the videos. Sources: Charades_v1_classify.m (Sigurdsson et al., ECCV 2016); scikit-learn's
    ``average_precision_score`` for ties. Raises ValueError for NaN and for a class without positives.
    """
    scores, positives = np.asarray(scores), np.asarray(positives, bool)
    if scores.ndim != 1 or positives.shape != scores.shape or not positives.any():
        shapes = f"scores {scores.shape}, positives {positives.shape} with {positives.sum()} true"
        raise ValueError(f"{shapes}: both must have shape (N,), and at least one positive must be true")
    _refuse_not_finite(scores[:, None])
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # For each rank, counted from 0: the last rank with the same score.
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    precision = np.cumsum(positives[order])[last] / (last + 1)
    return 100.0 * float(precision[positives[order]].mean())


def average_precisions(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``average_precision`` of each class: float (C,), NaN for a class without positives; scores and targets (N, C)."""
    scores, targets = np.asarray(scores), np.asarray(targets, bool)
    if scores.ndim != 2 or targets.shape != scores.shape or len(scores) == 0:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape}: both must have shape (N, C) with N > 0")
    _refuse_not_finite(scores)
    columns = zip(scores.T, targets.T)
    return np.array([average_precision(*column) if column[1].any() else np.nan for column in columns])


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """mAP in percent: the mean ``average_precision`` of the classes with positives; scores and targets (N, C).

    Charades and Multi-Moments in Time are scored by it. Raises ValueError if no class has a positive.
    """
    each = average_precisions(scores, targets)
    if np.isnan(each).all():
        raise ValueError(f"none of {len(each)} classes has a positive among {len(scores)} samples, so mAP is undefined")
    return float(np.nanmean(each))
