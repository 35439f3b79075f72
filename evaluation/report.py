"""What an evaluation tells of its videos: numbers, predictions, a picture, a table to print. Pure, but for plots."""

import csv
import io
from collections.abc import Sequence

import numpy as np

from evaluation.metrics import confusion_matrix, mean_class_accuracy, top_k_accuracy
from evaluation.plots import confusion_png

PREDICTIONS, CONFUSION = "predictions.csv", "confusion.png"


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


def table(results: dict) -> str:
    """Two lines: the names of the columns, and the numbers."""
    columns = ("split", "order", "num_videos", "views_per_video", "top1", "top5", "mean_class")
    cells = [f"{results[name]:.2f}" if isinstance(results[name], float) else str(results[name]) for name in columns]
    widths = [max(len(name), len(cell)) for name, cell in zip(columns, cells)]
    return "\n".join(
        "  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in (columns, cells)
    )
