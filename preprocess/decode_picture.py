"""A frame of PyAV's as a ``Picture``: its tiles are scaled by libswscale, three times as fast as by Pillow.

Both average over the area with the same triangle; what they give differs by rounding (58 dB and more).
"""

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter

from preprocess.crops import Crop
from preprocess.picture import ArrayPicture

# libswscale's own numbers: PyAV has names for them from 18 on, and takes numbers in any version.
_ACCURATE_ROUNDING, _BIT_EXACT = 0x40000, 0x80000
# The same sums on every processor, whatever instructions it has.
_SCALING = int(Interpolation.BILINEAR) | _ACCURATE_ROUNDING | _BIT_EXACT
_CONVERSION = Interpolation.BICUBIC
_RGB_OF_GBR = (1, 2, 0)  # position of each plane's colour; the planes are green, blue, red


class Scalers:
    """The contexts of libswscale for one video: to make a new one takes as long as to convert a small frame."""

    def __init__(self):
        self._to_rgb, self._to_planes, self._scale = (VideoReformatter() for _ in range(3))

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 (H, W, 3), turned as the file asks; PyAV does not turn by itself, the ffmpeg command does."""
        rgb = self._to_rgb.reformat(frame, format="rgb24", interpolation=_CONVERSION, threads=1).to_ndarray()
        quarters = _quarters(frame)
        return np.ascontiguousarray(np.rot90(rgb, quarters)) if quarters else rgb

    def planes(self, frame: av.VideoFrame) -> list[np.ndarray]:
        """Green, blue and red, each uint8 (H, W); views of one converted frame."""
        planar = self._to_planes.reformat(frame, format="gbrp", interpolation=_CONVERSION, threads=1)
        return [_pixels(planar, plane) for plane in range(3)]

    def scale(self, plane: np.ndarray, side: int) -> np.ndarray:
        """uint8 (h, w) -> uint8 (side, side)."""
        grey = av.VideoFrame.from_ndarray(np.ascontiguousarray(plane), format="gray")
        return _pixels(self._scale.reformat(grey, width=side, height=side, interpolation=_SCALING, threads=1), 0)


class FramePicture:
    """See ``preprocess.picture.Picture``."""

    def __init__(self, frame: av.VideoFrame, scalers: Scalers):
        self._frame = frame
        self._scalers = scalers
        self._planes: list[np.ndarray] | None = None
        self.size = frame.width, frame.height

    def rgb(self) -> np.ndarray:
        return self._scalers.rgb(self._frame)

    def tile(self, crop: Crop, side: int) -> np.ndarray:
        if self._planes is None:
            self._planes = self._scalers.planes(self._frame)
        left, top, right, bottom = crop.box
        tile = np.empty((side, side, 3), np.uint8)
        for plane, position in zip(self._planes, _RGB_OF_GBR):
            tile[..., position] = self._scalers.scale(plane[top:bottom, left:right], side)
        return tile


def picture_of(frame: av.VideoFrame, scalers: Scalers) -> FramePicture | ArrayPicture:
    """The frame upright: one that must be turned is turned as a whole."""
    return ArrayPicture(scalers.rgb(frame)) if _quarters(frame) else FramePicture(frame, scalers)


def _quarters(frame: av.VideoFrame) -> int:
    """Quarter turns, positive anticlockwise as in np.rot90."""
    return round(frame.rotation / 90) % 4


def _pixels(frame: av.VideoFrame, plane: int) -> np.ndarray:
    """uint8 (H, W), a view: rows may be longer in memory than in the picture."""
    pixels = frame.planes[plane]
    return np.frombuffer(pixels, np.uint8).reshape(-1, pixels.line_size)[: frame.height, : frame.width]
