"""SVG charts for self-contained pages, drawn by matplotlib.

Text and axes have the text color of the page (``currentColor``), so that charts are readable in light and dark mode.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from shards.page.formats import short_number

_INK = "#010203"  # a color that no chart uses; it is replaced by the page's text color
_BLUE = "#4a7fc6"
_SIZE_INCHES = (5.0, 1.9)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # keep text as text: searchable, and drawn in the page's font
    "svg.hashsalt": "superimage",  # the same chart gives the same bytes
    "font.size": 8,
    "text.parse_math": False,
    **dict.fromkeys(("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class _Svg:
    """The SVG of a chart, available after the ``with`` block that draws it."""

    markup = Markup("")


def curve(x: Sequence[float], y: Sequence[float], *, x_label: str = "") -> Markup:
    """A line through the points (x, y); both axes begin at 0."""
    with _axes() as (axes, svg):
        axes.plot(x, y, color=_BLUE, linewidth=1.5)
        axes.set_xlim(0, max(x, default=0) or 1)
        axes.set_ylim(0, (max(y, default=0) or 1) * 1.05)
        axes.set_xlabel(x_label)
    return svg.markup


def columns(heights: Sequence[float], *, left: str, right: str) -> Markup:
    """A column for each height; ``left`` and ``right`` name the first and the last one."""
    with _axes() as (axes, svg):
        axes.bar(range(len(heights)), heights, width=0.9, color=_BLUE)
        axes.set_xlim(-0.5, max(len(heights), 1) - 0.5)
        axes.set_ylim(0, (max(heights, default=0) or 1) * 1.05)
        axes.set_xticks([0, max(len(heights) - 1, 1)], [left, right])
        first, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
    return svg.markup


def histogram(spread: Mapping, *, unit: float = 1.0) -> Markup:
    """A histogram of a spread (``preprocess/report/summary.py``): ``counts`` of bins of ``bin_width``.

    The last bin also holds all larger values, up to the maximum. Values are divided by ``unit``.
    """
    last = spread["bin_start"] + spread["bin_width"] * len(spread["counts"])
    ends = dict.fromkeys((short_number(last / unit), short_number(spread["max"] / unit)))  # equal labels are shown once
    return columns(spread["counts"], left=short_number(spread["bin_start"] / unit), right=" ... ".join(ends))


@contextmanager
def _axes() -> Iterator[tuple[Axes, _Svg]]:
    with matplotlib.rc_context(_STYLE):
        figure, svg = Figure(figsize=_SIZE_INCHES, layout="constrained"), _Svg()
        axes = figure.subplots()
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: short_number(value)))
        yield axes, svg
        content = io.StringIO()
        figure.savefig(content, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg.markup = Markup(_inline(content.getvalue()))


def _inline(text: str) -> str:
    """The ``<svg>`` element for a page: no XML header, no fixed size, the page's text color and font."""
    element = text[text.index("<svg") :]
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    element = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", element, count=1)
    element = re.sub(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>', r'<svg role="img" viewBox="\1">', element, count=1)
    element = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", element)
    return element.replace(_INK, "currentColor")
