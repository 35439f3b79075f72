"""Layouts: the position of each frame of a clip in the super image. Pure.

A layout is a grid of ``rows x columns`` square tiles. Cells are numbered row-major from the top left corner. An *order*
is an integer array of length T: ``order[cell]`` is the position in the clip (0 = earliest) of the frame in that cell.
The cells after the last frame are pads.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

ORDERS = ("row_major", "column_major", "snake", "nested", "random", "reverse")
PADS = ("mean", "black", "last", "none")
# The ImageNet mean as 8-bit RGB. Normalization turns it into 0, the value of the pads in SIFAR's code.
MEAN_COLOR = (124, 116, 104)
BLACK = (0, 0, 0)


def grid_for(frames: int) -> tuple[int, int]:
    """The near-square grid for T frames: ``8 -> (3, 3)``, ``12 -> (3, 4)``, ``14 -> (4, 4)``.

    With m = ceil(sqrt T): (m-1) x m if T <= (m-1)m, else m x m. SIFAR 3.2 (which writes ``<``, but its own example of
    12 frames in 3x4 needs ``<=``).
    """
    if frames < 1:
        raise ValueError(f"{frames} frames: a layout needs at least 1 frame")
    side = math.isqrt(frames - 1) + 1
    return (side - 1, side) if frames <= (side - 1) * side else (side, side)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """T frames of ``tile x tile`` pixels in ``rows x columns`` cells.

    ``groups`` is N of the nested order (Flatten eq. 5-10) and None for every other order. Raises ValueError if the
    frames do not fit into the grid, or if they do not fill it and ``pad`` is ``none``.
    """

    name: str
    frames: int
    rows: int
    columns: int
    order: str = "row_major"
    pad: str = "mean"
    tile: int = 224
    groups: int | None = None

    def __post_init__(self) -> None:
        _check_choice("order", self.order, ORDERS)
        _check_choice("pad", self.pad, PADS)
        if min(self.frames, self.rows, self.columns, self.tile) < 1:
            raise ValueError(
                f"layout {self.name}: frames={self.frames}, grid={self.rows}x{self.columns}, tile={self.tile}: "
                "each must be at least 1"
            )
        if self.frames > self.cells:
            raise ValueError(
                f"layout {self.name}: {self.frames} frames do not fit in {self.rows}x{self.columns} = {self.cells} "
                "cells; use fewer frames or a larger grid"
            )
        if self.frames < self.cells and self.pad == "none":
            raise ValueError(
                f"layout {self.name}: {self.frames} frames do not fill {self.rows}x{self.columns} with pad=none; "
                f"use pad=mean or {self.cells} frames"
            )
        if self.order == "nested":
            _nested_shape(self)
        elif self.groups is not None:
            raise ValueError(f"layout {self.name}: groups={self.groups} is only for order=nested, not {self.order}")

    @property
    def cells(self) -> int:
        return self.rows * self.columns

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the super image in pixels."""
        return self.rows * self.tile, self.columns * self.tile

    def to_dict(self) -> dict:
        return asdict(self)


def _check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field}={value!r}: must be one of {', '.join(choices)}")


def _nested_shape(layout: Layout) -> tuple[int, int, int, int]:
    """(outer rows, outer columns, inner rows, inner columns) of a nested order.

    The N groups are blocks in row-major order, and the frames within a block are in row-major order (Flatten eq. 5-10).
    The paper only shows squares: 16 frames are 2x2 blocks of 2x2. In other cases the block is as square as the grid
    allows, and rather wide than tall: 36 frames in 6 groups are 3x2 blocks of 2x3. 9 frames in 3 groups are rows of
    1x3, which is row_major. Raises ValueError if no such blocks exist.
    """
    groups = layout.groups if layout.groups is not None else math.isqrt(layout.frames)
    if layout.groups is None and groups**2 != layout.frames:
        raise ValueError(
            f"layout {layout.name}: order=nested makes sqrt(T) groups, but T={layout.frames} is not a square number; "
            "give groups"
        )
    if layout.frames != layout.cells or groups < 1 or layout.frames % groups:
        raise ValueError(
            f"layout {layout.name}: order=nested needs a full grid and groups that divide it; "
            f"got {layout.frames} frames in {layout.rows}x{layout.columns} with groups={groups}"
        )
    blocks = _blocks(layout, layout.frames // groups)  # never empty, since the number divides rows * columns
    rows, columns = min(blocks, key=lambda block: (abs(block[1] - block[0]), block[0] > block[1]))
    return layout.rows // rows, layout.columns // columns, rows, columns


def _blocks(layout: Layout, frames: int) -> list[tuple[int, int]]:
    """All blocks (rows, columns) of ``frames`` cells that divide the grid."""
    return [
        (rows, frames // rows)
        for rows in range(1, frames + 1)
        if frames % rows == 0 and layout.rows % rows == 0 and layout.columns % (frames // rows) == 0
    ]


def clip_order(layout: Layout, rng: np.random.Generator | None = None) -> np.ndarray:
    """The order of one sample, int64 (T,). Only ``random`` uses ``rng``.

    ``2x2 row_major -> [0 1 2 3]``, ``column_major -> [0 2 1 3]``, ``snake -> [0 1 3 2]``, ``reverse -> [3 2 1 0]``;
    nested with 16 frames and 4 groups -> ``[0 1 4 5 2 3 6 7 8 9 12 13 10 11 14 15]`` (Flatten eq. 5-10).
    """
    if layout.order == "random":
        if rng is None:
            raise ValueError(f"layout {layout.name}: order=random needs a random generator")
        return rng.permutation(layout.frames)
    return _FIXED_ORDERS[layout.order](layout)


def _row_major(layout: Layout) -> np.ndarray:
    return np.arange(layout.frames)


def _reverse(layout: Layout) -> np.ndarray:
    return np.arange(layout.frames)[::-1].copy()


def _column_major(layout: Layout) -> np.ndarray:
    return _ranks(np.arange(layout.cells).reshape(layout.columns, layout.rows).T, layout)


def _snake(layout: Layout) -> np.ndarray:
    cells = np.arange(layout.cells).reshape(layout.rows, layout.columns)
    cells[1::2] = cells[1::2, ::-1]
    return _ranks(cells, layout)


def _nested(layout: Layout) -> np.ndarray:
    outer_rows, outer_columns, inner_rows, inner_columns = _nested_shape(layout)
    cells = np.arange(layout.cells).reshape(outer_rows, outer_columns, inner_rows, inner_columns)
    return cells.transpose(0, 2, 1, 3).reshape(-1)


def _ranks(visits: np.ndarray, layout: Layout) -> np.ndarray:
    """Visit numbers of all cells -> order of the frames; the pads stay in the last cells."""
    return np.argsort(np.argsort(visits.reshape(-1)[: layout.frames]))


_FIXED_ORDERS = {
    "row_major": _row_major,
    "column_major": _column_major,
    "snake": _snake,
    "nested": _nested,
    "reverse": _reverse,
}


class Sheet:
    """One plane of a super image that is filled tile by tile, in any order. SIFAR 3.2.

    ``order[cell]`` is the position in time of the frame in ``cell``. Tiles are uint8 (side, side[, channels]), where
    ``side`` is smaller than ``layout.tile`` for a plane of subsampled chroma.
    """

    def __init__(self, layout: Layout, order: np.ndarray, *, side: int, channels: tuple[int, ...] = ()):
        self._layout = layout
        self._cells = np.argsort(_checked_order(order, layout))  # the cell of each position
        self._side = side
        # Writing cell by cell is six times as fast as joining all tiles by a transpose.
        self._plane = np.empty((layout.rows * side, layout.columns * side, *channels), np.uint8)

    def put(self, position: int, tile: np.ndarray) -> None:
        """Place the tile of the frame at ``position`` in time."""
        self._plane[cell_slices(self._layout, self._cells[position], self._side)] = tile

    def finish(self, pad: int | tuple[int, ...]) -> np.ndarray:
        """The plane, uint8 (rows*side, columns*side[, channels]). ``pad`` is the color of the cells without a frame.

        With ``pad: last``, these cells repeat the last tile instead.
        """
        content = (
            self._plane[cell_slices(self._layout, self._cells[-1], self._side)] if self._layout.pad == "last" else pad
        )
        for cell in range(self._layout.frames, self._layout.cells):
            self._plane[cell_slices(self._layout, cell, self._side)] = content
        return self._plane


def cell_slices(layout: Layout, cell: int, side: int) -> tuple[slice, slice]:
    """(rows, columns) of a cell in a plane whose tiles have ``side`` pixels."""
    row, column = divmod(cell, layout.columns)
    return slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side)


def tile(frames: np.ndarray, layout: Layout, order: np.ndarray | None = None) -> np.ndarray:
    """Make a super image: uint8 (T, tile, tile, 3) in time order -> uint8 (rows*tile, columns*tile, 3). SIFAR 3.2."""
    expected = (layout.frames, layout.tile, layout.tile, 3)
    if frames.shape != expected:
        raise ValueError(f"frames of shape {frames.shape}: layout {layout.name} needs {expected}")
    sheet = Sheet(layout, clip_order(layout) if order is None else order, side=layout.tile, channels=(3,))
    for position, frame in enumerate(frames):
        sheet.put(position, frame)
    return sheet.finish(pad_color(layout.pad))


def untile(image: np.ndarray, layout: Layout, order: np.ndarray | None = None) -> np.ndarray:
    """The inverse of ``tile``: uint8 (rows*tile, columns*tile, 3) -> uint8 (T, tile, tile, 3) in time order."""
    order = clip_order(layout) if order is None else _checked_order(order, layout)
    frames = np.empty((layout.frames, layout.tile, layout.tile, 3), np.uint8)
    frames[order] = _split_cells(image, layout)[: layout.frames]
    return frames


def reorder(image: np.ndarray, layout: Layout, old_order: np.ndarray, new_order: np.ndarray) -> np.ndarray:
    """Move the tiles of a super image from one order to another. The pads do not change. Shapes as in ``tile``."""
    cells = _split_cells(image, layout)
    frames = np.empty_like(cells[: layout.frames])
    frames[_checked_order(old_order, layout)] = cells[: layout.frames]
    moved = cells.copy()
    moved[: layout.frames] = frames[_checked_order(new_order, layout)]
    return _join_cells(moved, layout)


def pad_color(pad: str) -> tuple[int, int, int]:
    """The RGB color of a pad tile. Not called for pad ``none``, since its grid is full."""
    return BLACK if pad == "black" else MEAN_COLOR


def _checked_order(order: np.ndarray, layout: Layout) -> np.ndarray:
    order = np.asarray(order)
    if not np.array_equal(np.sort(order), np.arange(layout.frames)):
        raise ValueError(f"order {order.tolist()} is not a permutation of the {layout.frames} frames of {layout.name}")
    return order


def _join_cells(cells: np.ndarray, layout: Layout) -> np.ndarray:
    grid = cells.reshape(layout.rows, layout.columns, layout.tile, layout.tile, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(*layout.image_size, 3)


def _split_cells(image: np.ndarray, layout: Layout) -> np.ndarray:
    if image.shape != (*layout.image_size, 3):
        raise ValueError(f"image of shape {image.shape}: layout {layout.name} has {(*layout.image_size, 3)}")
    grid = image.reshape(layout.rows, layout.tile, layout.columns, layout.tile, 3)
    return grid.transpose(0, 2, 1, 3, 4).reshape(layout.cells, layout.tile, layout.tile, 3)
