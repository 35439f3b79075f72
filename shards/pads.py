"""Pads, the cells of a super image without a frame: where they are, and which color normalizes to zero. Pure.

SIFAR's code pads after normalization, so its pads are zero for any mean. Shards contain 8-bit images, in which the pads
have the ImageNet mean, rounded. Readers replace it by the mean of the model.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image

from shards.layouts import Layout, cell_slices


def has_mean_pads(layout: Layout) -> bool:
    """Whether the layout has pads with ``pad: mean``. Black pads and repeated frames are not changed when read."""
    return layout.pad == "mean" and layout.frames < layout.cells


def nearest_color(mean: Sequence[float]) -> tuple[int, ...]:
    """The 8-bit color nearest to a mean in 0 to 1: ``(0.485, 0.456, 0.406) -> (124, 116, 104)``."""
    return tuple(round(255 * value) for value in mean)


def fill_pads_of_image(image: Image.Image, layout: Layout, color: tuple[int, ...]) -> None:
    """Fill the pads of a super image of the stored size with a color, in place."""
    for cell in range(layout.frames, layout.cells):
        rows, columns = cell_slices(layout, cell, layout.tile)
        image.paste(color, (columns.start, rows.start, columns.stop, rows.stop))


def pad_mask(layout: Layout, height: int, width: int) -> np.ndarray:
    """Mask of the pad pixels in a super image that was resized to height x width: bool (H, W).

    2x2 cells, 3 frames, 4x4 pixels -> True in the last two rows of the last two columns. If the size is not a multiple
    of the grid, pixels that belong to both a pad and a frame are False.
    """
    pads = (np.arange(layout.cells) >= layout.frames).reshape(layout.rows, layout.columns)
    rows, columns = _cells_of(height, layout.rows), _cells_of(width, layout.columns)
    return np.logical_and.reduce([pads[np.ix_(row, column)] for row in rows for column in columns])


def _cells_of(pixels: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The first and the last cell that each pixel touches: ``3 pixels, 2 cells -> [0 0 1] and [0 1 1]``."""
    index = np.arange(pixels)
    return index * cells // pixels, ((index + 1) * cells - 1) // pixels
