"""Pictures of results as PNG, drawn by matplotlib."""

import contextlib
import io
import unicodedata
from collections.abc import Iterator, Sequence

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_MOST_NAMED_CLASSES = 60
_MOST_NUMBERED_CLASSES = 15
_MOST_NAMED_BARS = 320  # Charades has 157 classes, Multi-Moments in Time 313
_LONGEST_LABEL = 60
_FONT = "DejaVu Sans"  # shipped with matplotlib


def confusion_png(confusion: np.ndarray, class_names: Sequence[str], title: str) -> bytes:
    """PNG of a confusion matrix int (C, C). Colors show the fraction of each row; names and counts only if readable."""
    with _plain_text([*class_names, title]) as (*labels, title):
        return _png(_confusion(confusion, labels, title))


def _confusion(confusion: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    num_classes = len(labels)
    fraction = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    side = float(np.clip(2 + 0.35 * num_classes, 5, 24))
    room = _room(labels) if num_classes <= _MOST_NAMED_CLASSES else 0.0
    figure = Figure(figsize=(side + 1 + room, side + room), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(fraction, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="fraction of the class")
    axes.set(title=title, xlabel="predicted", ylabel="true class")
    if num_classes <= _MOST_NAMED_CLASSES:
        axes.set_xticks(range(num_classes), labels, rotation=90)
        axes.set_yticks(range(num_classes), labels)
    if num_classes <= _MOST_NUMBERED_CLASSES:
        for (row, column), count in np.ndenumerate(confusion):
            color = "white" if fraction[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color)
    return figure


def average_precision_png(average_precisions: np.ndarray, class_names: Sequence[str], title: str) -> bytes:
    """PNG with one bar for each class, the highest first; float (C,) in percent. Names only if readable.

    NaN marks a class without positives, which gets no bar.
    """
    with _plain_text([*class_names, title]) as (*labels, title):
        return _png(_bars(average_precisions, labels, title))


def _bars(average_precisions: np.ndarray, labels: Sequence[str], title: str) -> Figure:
    order = np.argsort(-average_precisions, kind="stable")[: np.isfinite(average_precisions).sum()]
    named = len(order) <= _MOST_NAMED_BARS
    figure = Figure(
        figsize=(9 + (_room(labels) if named else 0), float(np.clip(1.5 + 0.2 * len(order), 4, 66))),
        layout="constrained",
    )
    axes = figure.add_subplot()
    axes.barh(range(len(order)), average_precisions[order])
    axes.axvline(average_precisions[order].mean(), color="black", linestyle="--", label="mean")
    axes.set(title=title, xlabel="average precision, %", xlim=(0, 100), ylim=(len(order) - 0.5, -0.5))
    axes.set_yticks(range(len(order)) if named else [], [labels[index] for index in order] if named else [])
    axes.legend(loc="lower right")
    return figure


def _room(labels: Sequence[str]) -> float:
    """Extra inches for the longest label, so that long names do not shrink the plot."""
    return 0.1 * max(0, max(map(len, labels), default=0) - 20)


def _png(figure: Figure) -> bytes:
    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()


@contextlib.contextmanager
def _plain_text(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield printable labels for the names, and set matplotlib up to draw them as plain text, not as mathematics.

    Characters that DejaVu Sans lacks are drawn in another installed font. Characters that no font has are dropped.
    """
    spaced = [" ".join("".join(map(_spaced, name)).split()) for name in names]
    fonts, missing = _fonts_for({character for name in spaced for character in name})
    labels = ["".join(character for character in name if character not in missing).strip() for name in spaced]
    labels = [label or f"#{index}" for index, label in enumerate(labels)]
    short = [label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…" for label in labels]
    with matplotlib.rc_context({"text.parse_math": False, "text.usetex": False, "font.family": fonts}):
        yield short


def _spaced(character: str) -> str:
    """Replace tabs, line ends and characters without a width by a space."""
    return " " if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp") else character


def _fonts_for(characters: set[str]) -> tuple[list[str], set[str]]:
    """(font families that have the characters, in the order that matplotlib tries them; characters without a font)."""
    families, missing = [_FONT], characters - _characters_of(_FONT)
    names = sorted({entry.name for entry in font_manager.fontManager.ttflist} - {_FONT}) if missing else []
    for name in names:
        found = missing & _characters_of(name)
        if found:
            families, missing = [*families, name], missing - found
        if not missing:
            break
    return families, missing


def _characters_of(family: str) -> set[str]:
    try:
        font = font_manager.get_font(font_manager.findfont(family, fallback_to_default=False))
    except (ValueError, RuntimeError, OSError):  # the font file is missing, or FreeType cannot read it
        return set()
    return set(map(chr, font.get_charmap())) if font.scalable else set()
