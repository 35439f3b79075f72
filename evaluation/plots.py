"""Pictures of results. The only door to matplotlib."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_MOST_NAMED_CLASSES = 60
_MOST_NUMBERED_CLASSES = 15
_MOST_NAMED_BARS = 320  # Charades has 157 classes, Multi-Moments in Time 313


def confusion_png(confusion: np.ndarray, class_names: Sequence[str], title: str) -> bytes:
    """PNG of a confusion matrix int (C, C), each row scaled to its class; names and counts while they can be read."""
    num_classes = len(class_names)
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = float(np.clip(2 + 0.35 * num_classes, 5, 24))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="part of the class")
    axes.set(title=title, xlabel="predicted", ylabel="true class")
    if num_classes <= _MOST_NAMED_CLASSES:
        axes.set_xticks(range(num_classes), class_names, rotation=90)
        axes.set_yticks(range(num_classes), class_names)
    if num_classes <= _MOST_NUMBERED_CLASSES:
        for (row, column), count in np.ndenumerate(confusion):
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    return _png(figure)


def average_precision_png(average_precisions: np.ndarray, class_names: Sequence[str], title: str) -> bytes:
    """PNG of a bar for each class float (C,), in percent, the highest first; names while they can be read.

    NaN, of a class without positives, is left out.
    """
    order = np.argsort(-average_precisions, kind="stable")[: np.isfinite(average_precisions).sum()]
    named = len(order) <= _MOST_NAMED_BARS
    figure = Figure(figsize=(9, float(np.clip(1.5 + 0.2 * len(order), 4, 66))), layout="constrained")
    axes = figure.add_subplot()
    axes.barh(range(len(order)), average_precisions[order])
    axes.axvline(average_precisions[order].mean(), color="black", linestyle="--", label="mean")
    axes.set(title=title, xlabel="average precision, %", xlim=(0, 100), ylim=(len(order) - 0.5, -0.5))
    axes.set_yticks(range(len(order)) if named else [], [class_names[index] for index in order] if named else [])
    axes.legend(loc="lower right")
    return _png(figure)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
