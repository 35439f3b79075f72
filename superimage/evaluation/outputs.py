"""Makes the content of an evaluation's files: metrics, predictions.csv, the printed table and the picture."""

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from superimage.evaluation.metrics import (
    average_precisions,
    confusion_matrix,
    mean_average_precision,
    mean_class_accuracy,
    top_k_accuracy,
)
from superimage.evaluation.plots import average_precision_png, confusion_png

PREDICTIONS, CONFUSION, AVERAGE_PRECISION = "predictions.csv", "confusion.png", "average_precision.png"
_TOP_CLASSES = 5


def picture_name(*, multi_label: bool) -> str:
    return AVERAGE_PRECISION if multi_label else CONFUSION


def single_label_outputs(
    videos: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> tuple[dict, bytes]:
    """(metrics, predictions.csv) of N single-label videos; labels int (N,), probabilities (N, C)."""
    confusion = confusion_matrix(labels, probabilities.argmax(1), len(class_names))
    metrics = {
        "top1": top_k_accuracy(probabilities, labels, 1),
        "top5": top_k_accuracy(probabilities, labels, 5),
        "mean_class": mean_class_accuracy(confusion),
    }
    return metrics, predictions_csv(videos, labels, probabilities, class_names)


def multi_label_outputs(
    videos: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> tuple[dict, bytes]:
    """(metrics, predictions.csv) of N multi-label videos; targets multi-hot (N, C), probabilities (N, C).

    Raises ValueError if no video has a label.
    """
    each = average_precisions(probabilities, targets)
    metrics = {
        "mAP": mean_average_precision(probabilities, targets),
        "classes": [
            {"name": name, "num_videos": int(count), "average_precision": None if np.isnan(value) else float(value)}
            for name, count, value in zip(class_names, targets.sum(0), each)
        ],
    }
    return metrics, multi_label_predictions_csv(videos, targets, probabilities, class_names)


def draw(results: dict, predictions: bytes, class_names: Sequence[str]) -> bytes:
    """PNG of the confusion matrix, or of each class's average precision for multi-label data.

    ``results`` is the content of results.json, ``predictions`` the content of predictions.csv.
    """
    title = f"{results['split']}, order {results['order']}"
    if "mAP" in results:
        each = np.array([entry["average_precision"] for entry in results["classes"]], float)  # None becomes NaN
        return average_precision_png(each, class_names, f"{title}: mAP {results['mAP']:.1f} %")
    rows = list(csv.DictReader(io.StringIO(predictions.decode(), newline="")))
    labels, predicted = ([int(row[name]) for row in rows] for name in ("label", "predicted"))
    confusion = confusion_matrix(np.array(labels), np.array(predicted), len(class_names))
    return confusion_png(confusion, class_names, f"{title}: top-1 {results['top1']:.1f} %")


def predictions_csv(
    videos: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> bytes:
    """One row for each video: key, true class, predicted class and its probability."""
    text, writer = _writer(class_names)
    writer.writerow(["video", "label", "label_name", "predicted", "predicted_name", "probability", "correct"])
    for video, label, row in zip(videos, labels.tolist(), probabilities):
        best = int(row.argmax())
        names = class_names[label], class_names[best]
        writer.writerow([video, label, names[0], best, names[1], f"{row[best]:.6f}", int(best == label)])
    return _encoded(text)


def multi_label_predictions_csv(
    videos: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> bytes:
    """One row for each video: key, true classes, the five most probable classes. ``; `` separates classes."""
    text, writer = _writer(class_names)
    writer.writerow(["video", "labels", "label_names", "predicted", "predicted_names", "probabilities"])
    for video, target, row in zip(videos, targets, probabilities):
        labels, best = np.flatnonzero(target), np.argsort(-row, kind="stable")[:_TOP_CLASSES]
        cells = [
            *(labels, [class_names[label] for label in labels]),
            *(best, [class_names[label] for label in best], [f"{row[label]:.6f}" for label in best]),
        ]
        writer.writerow([video, *("; ".join(map(str, cell)) for cell in cells)])
    return _encoded(text)


def _writer(class_names: Sequence[str]) -> Any:
    """(text buffer, CSV writer into it). A name with a lone carriage return can only be read back if it is quoted."""
    quoting = csv.QUOTE_ALL if any("\r" in name for name in class_names) else csv.QUOTE_MINIMAL
    text = io.StringIO(newline="")
    return text, csv.writer(text, lineterminator="\n", quoting=quoting)


def _encoded(text: io.StringIO) -> bytes:
    """UTF-8 bytes. A byte of a class name that is not UTF-8 is written as ``\\udcff``."""
    return text.getvalue().encode("utf-8", "backslashreplace")


def table(results: dict) -> str:
    """Two lines of text: a header, and the numbers."""
    shown = [name for name in ("top1", "top5", "mean_class", "mAP") if name in results]
    columns = ("split", "order", "num_videos", "views_per_video", *shown)
    cells = [f"{results[name]:.2f}" if isinstance(results[name], float) else str(results[name]) for name in columns]
    widths = [max(len(name), len(cell)) for name, cell in zip(columns, cells)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in (columns, cells)
    )
