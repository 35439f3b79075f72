"""What an evaluation tells of its videos: numbers, predictions, a picture, a table to print. Pure, but for plots."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from evaluation.metrics import (
    average_precisions,
    confusion_matrix,
    mean_average_precision,
    mean_class_accuracy,
    top_k_accuracy,
)
from evaluation.plots import average_precision_png, confusion_png

PREDICTIONS, CONFUSION, AVERAGE_PRECISION = "predictions.csv", "confusion.png", "average_precision.png"
_TOP_CLASSES = 5


def file_names(*, multi_label: bool) -> tuple[str, ...]:
    """Of the files that a report is made of."""
    return PREDICTIONS, AVERAGE_PRECISION if multi_label else CONFUSION


def report_one_label(
    videos: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], *, title: str
) -> tuple[dict, dict[str, bytes]]:
    """(numbers, the content of each file by its name) of N videos; labels int (N,), probabilities (N, C)."""
    confusion = confusion_matrix(labels, probabilities.argmax(1), len(class_names))
    numbers = {
        "top1": top_k_accuracy(probabilities, labels, 1),
        "top5": top_k_accuracy(probabilities, labels, 5),
        "mean_class": mean_class_accuracy(confusion),
    }
    files = {
        PREDICTIONS: predictions_csv(videos, labels, probabilities, class_names),
        CONFUSION: confusion_png(confusion, class_names, f"{title}: top-1 {numbers['top1']:.1f} %"),
    }
    return numbers, files


def report_several_labels(
    videos: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], *, title: str
) -> tuple[dict, dict[str, bytes]]:
    """(numbers, the content of each file by its name) of N videos; targets multi-hot and probabilities (N, C).

    Raises ValueError where no video has a label.
    """
    each = average_precisions(probabilities, targets)
    numbers = {
        "mAP": mean_average_precision(probabilities, targets),
        "classes": [
            {"name": name, "num_videos": int(count), "average_precision": None if np.isnan(value) else float(value)}
            for name, count, value in zip(class_names, targets.sum(0), each)
        ],
    }
    files = {
        PREDICTIONS: several_predictions_csv(videos, targets, probabilities, class_names),
        AVERAGE_PRECISION: average_precision_png(each, class_names, f"{title}: mAP {numbers['mAP']:.1f} %"),
    }
    return numbers, files


def predictions_csv(
    videos: Sequence[str], labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> bytes:
    """One row a video: key, true class, predicted class and its probability."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "label", "label_name", "predicted", "predicted_name", "probability", "correct"])
    for video, label, row in zip(videos, labels.tolist(), probabilities):
        best = int(row.argmax())
        names = class_names[label], class_names[best]
        writer.writerow([video, label, names[0], best, names[1], f"{row[best]:.6f}", int(best == label)])
    return text.getvalue().encode()


def several_predictions_csv(
    videos: Sequence[str], targets: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]
) -> bytes:
    """One row a video: key, true classes, the five of the highest probabilities; classes stand apart by ``; ``."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "labels", "label_names", "predicted", "predicted_names", "probabilities"])
    for video, target, row in zip(videos, targets, probabilities):
        labels, best = np.flatnonzero(target), np.argsort(-row, kind="stable")[:_TOP_CLASSES]
        cells = [
            *(labels, [class_names[label] for label in labels]),
            *(best, [class_names[label] for label in best], [f"{row[label]:.6f}" for label in best]),
        ]
        writer.writerow([video, *("; ".join(map(str, cell)) for cell in cells)])
    return text.getvalue().encode()


def table(results: dict) -> str:
    """Two lines: the names of the columns, and the numbers."""
    metrics = [name for name in ("top1", "top5", "mean_class", "mAP") if name in results]
    columns = ("split", "order", "num_videos", "views_per_video", *metrics)
    cells = [f"{results[name]:.2f}" if isinstance(results[name], float) else str(results[name]) for name in columns]
    widths = [max(len(name), len(cell)) for name, cell in zip(columns, cells)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in (columns, cells)
    )
