"""One decoded frame, out of which tiles are cut: each is a single resampling of the box that a crop names."""

from typing import Protocol

import numpy as np
from PIL import Image

from preprocess.crops import Crop

# Pillow's bilinear widens with the scale, so that shrinking averages over the area and does not alias.
_RESAMPLING = Image.Resampling.BILINEAR


class Picture(Protocol):
    """An upright frame. ``size``: (width, height)."""

    size: tuple[int, int]

    def rgb(self) -> np.ndarray:
        """uint8 (height, width, 3)."""
        ...

    def tile(self, crop: Crop, side: int) -> np.ndarray:
        """uint8 (side, side, 3): the crop's box, not yet mirrored."""
        ...


class ArrayPicture:
    """A frame that is at hand as uint8 (height, width, 3)."""

    def __init__(self, rgb: np.ndarray):
        self._image = Image.fromarray(rgb)
        self.size = self._image.size

    def rgb(self) -> np.ndarray:
        return np.asarray(self._image)

    def tile(self, crop: Crop, side: int) -> np.ndarray:
        # Cut first: resize() with a box would look at the pixels around it.
        return np.asarray(self._image.crop(crop.box).resize((side, side), _RESAMPLING))


def scaled_to(picture: Picture, size: tuple[int, int]) -> Picture:
    """The same picture in another size (width, height), as ffmpeg does to a frame whose size changes midway."""
    if picture.size == size:
        return picture
    return ArrayPicture(np.asarray(Image.fromarray(picture.rgb()).resize(size, _RESAMPLING)))
