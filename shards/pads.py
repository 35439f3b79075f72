"""The cells of a super image without a frame: where they are, and the colour that normalisation makes zero. Pure.

SIFAR's code pads after normalisation, so its pads are zero whatever the mean. The shards hold 8-bit images, whose pads
have ImageNet's mean to the nearest integer: readers put there what the model's own mean asks for.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from shards.layouts import Layout, cell_slices


def has_mean_pads(layout: Layout) -> bool:
    """Whether the layout has pads that stand for zero; black pads and repeated frames were asked for, and stay."""
    return layout.pad == "mean" and layout.frames < layout.cells


def nearest_colour(mean: Sequence[float]) -> tuple[int, ...]:
    """The 8-bit colour nearest to a mean of 0 to 1: ``(0.485, 0.456, 0.406) -> (124, 116, 104)``."""
    return tuple(round(255 * value) for value in mean)


def fill_pads_of_image(image: Image.Image, layout: Layout, colour: tuple[int, ...]) -> None:
    """Put a colour into the pads of a super image of the stored size, in place."""
    for cell in range(layout.frames, layout.cells):
        rows, columns = cell_slices(layout, cell, layout.tile)
        image.paste(colour, (columns.start, rows.start, columns.stop, rows.stop))


def pad_mask(layout: Layout, height: int, width: int) -> np.ndarray:
    """The pixels of a super image scaled to height x width that show pads alone: bool (H, W).

    2x2 cells, 3 frames, 4x4 pixels -> True in the last two rows of the last two columns. A pixel that a pad shares with
    a frame, where the size is no multiple of the grid, is the frame's.
    """
    pads = (np.arange(layout.cells) >= layout.frames).reshape(layout.rows, layout.columns)
    rows, columns = _cells_of(height, layout.rows), _cells_of(width, layout.columns)
    return np.logical_and.reduce([pads[np.ix_(row, column)] for row in rows for column in columns])


def _cells_of(pixels: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last cell that each pixel touches: ``3 pixels, 2 cells -> [0 0 1] and [0 1 1]``."""
    index = np.arange(pixels)
    return index * cells // pixels, ((index + 1) * cells - 1) // pixels
