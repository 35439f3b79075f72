"""Plots the ratios."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

_COLORS = {
    **dict.fromkeys(("ours", "python -m preprocess", "on line, our skip"), "#c0392b"),
    **dict.fromkeys(("floor", "decoding alone"), "#444444"),
    **dict.fromkeys(("torchcodec exact", "torchcodec exact, frames alone", "on line, torchcodec exact"), "#4c72b0"),
    "torchcodec resizing": "#9fbbe0",
    "PyAV in order": "#e1a692",
    "decord": "#8172b2",
    "OpenCV": "#ccb974",
    "ffmpeg select": "#55a868",
    "1 layout": "#e1a692",
    "3 layouts": "#d98880",
}


def save(results: Mapping, path: Path) -> None:
    """Draw a bar chart for each measured part, and save them as one picture."""
    panels = [(name, draw) for name, draw in _PANELS.items() if name in results]
    figure, axes = plt.subplots(len(panels), 1, figsize=(11, 3.6 * len(panels)), squeeze=False)
    for axis, (name, draw) in zip(axes[:, 0], panels):
        draw(axis, results[name]["ms"])
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _extraction(axis: plt.Axes, milliseconds: Mapping) -> None:
    base = "torchcodec exact" if "torchcodec exact" in milliseconds["a"] else "PyAV in order"
    methods = [method for method in milliseconds["a"] if method != "ffmpeg naive"]
    ratios = {
        method: [of_kind.get(method, np.nan) / of_kind[base] for of_kind in milliseconds.values()] for method in methods
    }
    _bars(axis, ratios, list(milliseconds), limit=2.5)
    axis.axhline(1, color="black", linewidth=0.8)
    axis.set_ylabel(f"CPU / {base}")
    axis.set_title("Eight frames of 224 px from a video")


def _conversion(axis: plt.Axes, milliseconds: Mapping) -> None:
    methods = ("decoding alone", "1 layout", "3 layouts", "python -m preprocess", "torchcodec exact, frames alone")
    methods = [method for method in methods if method in milliseconds["a"]]
    ratios = {
        method: [of_kind[method] / of_kind["decoding alone"] for of_kind in milliseconds.values()] for method in methods
    }
    _bars(axis, ratios, list(milliseconds), limit=4)
    axis.set_ylabel("CPU / decoding alone")
    axis.set_title("The whole conversion of a video")


def _training_input(axis: plt.Axes, milliseconds: Mapping) -> None:
    methods = [method for method in next(iter(milliseconds.values())) if method != "shard"]
    ratios = {method: [of_case[method] / of_case["shard"] for of_case in milliseconds.values()] for method in methods}
    _bars(axis, ratios, list(milliseconds), limit=None)
    axis.set_yscale("log")
    axis.set_ylabel("CPU / reading the shard")
    axis.set_title("A training sample: decoding online, compared with reading a shard")


def _bars(axis: plt.Axes, ratios: Mapping[str, list[float]], groups: list[str], *, limit: float | None) -> None:
    """Grouped bars. A bar above the limit is cut and labeled with its value."""
    width = 0.8 / len(ratios)
    for number, (method, values) in enumerate(ratios.items()):
        places = np.arange(len(groups)) + (number - (len(ratios) - 1) / 2) * width
        axis.bar(
            places,
            values if limit is None else np.minimum(values, limit),
            width * 0.92,
            label=method,
            color=_COLORS[method],
        )
        for place, value in zip(places, values):
            if limit is not None and value > limit:
                axis.text(place, limit, f"{value:.1f}", ha="center", va="bottom", fontsize=6)
    axis.set_xticks(range(len(groups)), groups)
    axis.legend(fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False)


_PANELS = {"extraction": _extraction, "conversion": _conversion, "training_input": _training_input}
