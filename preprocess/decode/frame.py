"""One decoded frame. Each tile is cut from it with a single resampling of the crop's box."""

from fractions import Fraction
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from preprocess.crops import Crop

# Pillow widens its bilinear filter with the scale, so shrinking averages over the area and does not alias.
_RESAMPLING = Image.Resampling.BILINEAR
# JFIF 1.02, section 7, rounded. Pillow's own "YCbCr" truncates, which darkens the picture by half a step.
_YCBCR_OF_RGB = (
    *(0.299, 0.587, 0.114, 0.0),
    *(-0.168736, -0.331264, 0.5, 128.0),
    *(0.5, -0.418688, -0.081312, 128.0),
)


class YCbCr(NamedTuple):
    """A tile as a 4:2:0 JPEG stores it: uint8 (side, side), and two planes of (side / 2, side / 2).

    BT.601 in the full range (JFIF 1.02, section 7).
    """

    y: np.ndarray
    cb: np.ndarray
    cr: np.ndarray


class Picture(Protocol):
    """An upright frame. ``size``: (width, height) in pixels."""

    size: tuple[int, int]

    def rgb(self) -> np.ndarray:
        """uint8 (height, width, 3)."""
        ...

    def tile(self, crop: Crop, side: int) -> np.ndarray:
        """uint8 (side, side, 3): the crop's box, not yet mirrored."""
        ...

    def ycbcr_tile(self, crop: Crop, side: int) -> YCbCr:
        """The same for a JPEG; ``side`` is even."""
        ...


class ArrayPicture:
    """A frame given as uint8 (height, width, 3)."""

    def __init__(self, rgb: np.ndarray):
        self._image = Image.fromarray(rgb)
        self.size = self._image.size

    def rgb(self) -> np.ndarray:
        return np.asarray(self._image)

    def tile(self, crop: Crop, side: int) -> np.ndarray:
        # Crop first: resize() with a box would read the pixels around it.
        return np.asarray(self._image.crop(crop.box).resize((side, side), _RESAMPLING))

    def ycbcr_tile(self, crop: Crop, side: int) -> YCbCr:
        return ycbcr_of(self.tile(crop, side))


def ycbcr_of(rgb: np.ndarray) -> YCbCr:
    """Convert uint8 (H, W, 3) with even sides to its luma, and to the mean chroma of each 2x2 pixels."""
    y, cb, cr = Image.fromarray(rgb).convert("RGB", _YCBCR_OF_RGB).split()
    return YCbCr(*(np.asarray(plane) for plane in (y, cb.reduce(2), cr.reduce(2))))


def square_size(size: tuple[int, int], aspect: Fraction) -> tuple[int, int]:
    """(width, height) after stretching a picture whose pixels are ``aspect`` times as wide as high to square pixels.

    The height is kept, as in video players: 720x576 with 16/15 becomes 768x576.
    """
    width, height = size
    return max(round(width * aspect), 1), height


def with_square_pixels(picture: Picture, aspect: Fraction) -> Picture:
    """Stretch the picture to ``square_size``."""
    return scaled_to(picture, square_size(picture.size, aspect))


def scaled_to(picture: Picture, size: tuple[int, int]) -> Picture:
    """Scale the picture to another (width, height), as ffmpeg does if the frame size changes in a stream."""
    if picture.size == size:
        return picture
    return ArrayPicture(np.asarray(Image.fromarray(picture.rgb()).resize(size, _RESAMPLING)))
