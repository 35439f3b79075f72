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
    _refuse_not_finite(scores)
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"labels {labels.min()} to {labels.max()}: must lie in 0 to {scores.shape[1] - 1}")
    return scores, labels


def _refuse_not_finite(scores: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        bad = int((~np.isfinite(scores)).any(1).sum())
        raise ValueError(f"{bad} of {len(scores)} samples have scores that are not finite; the weights are spoilt")


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


def average_precision(scores: np.ndarray, positives: np.ndarray) -> float:
    """Percent of average precision of one class over N samples; scores (N,), positives bool (N,), one or more true.

    The mean over the positives of the precision among all samples that score as high or higher, not interpolated:
    ``scores [.9, .8, .7], positives [1, 0, 1] -> (1/1 + 2/3) / 2 = 83.3``. Equal scores are one threshold, so their
    order changes nothing: N equal scores give the share of positives, where the official script lets the order of the
    videos decide. Source: Charades_v1_classify.m (Sigurdsson et al., ECCV 2016), and scikit-learn's
    ``average_precision_score`` for ties. Raises ValueError for NaN, and for a class without positives.
    """
    scores, positives = np.asarray(scores), np.asarray(positives, bool)
    if scores.ndim != 1 or positives.shape != scores.shape or not positives.any():
        shapes = f"scores {scores.shape}, positives {positives.shape} of which {positives.sum()} are true"
        raise ValueError(f"{shapes}: (N,) of both and a positive are needed")
    _refuse_not_finite(scores[:, None])
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    # The last place, from 0, that has the score of each place.
    last = np.searchsorted(-ranked, -ranked, side="right") - 1
    precision = np.cumsum(positives[order])[last] / (last + 1)
    return 100.0 * float(precision[positives[order]].mean())


def average_precisions(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """``average_precision`` of each class, float (C,); scores and targets (N, C). NaN for a class without positives."""
    scores, targets = np.asarray(scores), np.asarray(targets, bool)
    if scores.ndim != 2 or targets.shape != scores.shape or len(scores) == 0:
        raise ValueError(f"scores {scores.shape} and targets {targets.shape}: (N, C) of both with N > 0 are needed")
    _refuse_not_finite(scores)
    columns = zip(scores.T, targets.T)
    return np.array([average_precision(*column) if column[1].any() else np.nan for column in columns])


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Percent of mAP: ``average_precision`` averaged over the classes that have positives; scores and targets (N, C).

    The metric of Charades and Multi-Moments in Time. Raises ValueError where no class has a positive.
    """
    each = average_precisions(scores, targets)
    if np.isnan(each).all():
        raise ValueError(f"none of {len(each)} classes has a positive among {len(scores)} samples: no mAP")
    return float(np.nanmean(each))
