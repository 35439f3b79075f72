"""Mixup and CutMix for super images: timm's implementation, with the same box in every tile."""

from typing import Any

import numpy as np
import torch
from timm.data import FastCollateMixup


class TileMixup(FastCollateMixup):
    """timm's FastCollateMixup, but CutMix draws its box within a tile and cuts it out of every tile.

    3x3 tiles of 224 px, a box of 100x100 -> nine boxes, one at the same position of each tile, and label weight
    ``1 - 100 * 100 / (224 * 224)`` for the image that they are cut into. A box in the whole image would replace whole
    frames. Pads are mixed like frames. Mixup works on single pixels, so tiles make no difference.

    Samples are ``(image uint8 (C, rows*h, columns*w), target)``, NumPy or torch, for any h and w. SIFAR 4.1: mixup and
    CutMix are applied to the frames, before they become a super image.
    """

    def __init__(self, *, rows: int, columns: int, **mixing: Any):
        super().__init__(**mixing)
        self.rows, self.columns = rows, columns

    def __call__(self, batch: Any, _: object = None) -> Any:
        # The tiles become channels of one small image, so timm cuts the same box out of all of them.
        mixed, target = super().__call__([(self._apart(image), label) for image, label in batch])
        return self._together(mixed), target

    def _apart(self, image: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
        """(C, rows*h, columns*w) -> (C*rows*columns, h, w)."""
        _, height, width = image.shape
        assert height % self.rows == width % self.columns == 0, f"{height}x{width} in {self.rows}x{self.columns} tiles"
        h, w = height // self.rows, width // self.columns
        return image.reshape(-1, self.rows, h, self.columns, w).swapaxes(2, 3).reshape(-1, h, w)

    def _together(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C*rows*columns, h, w) -> (B, C, rows*h, columns*w)."""
        batch, _, h, w = images.shape
        cells = images.reshape(batch, -1, self.rows, self.columns, h, w)
        return cells.swapaxes(3, 4).reshape(batch, -1, self.rows * h, self.columns * w)
