"""A frame of PyAV as a ``Picture``. libswscale scales and converts a tile in one step; Pillow would need two.

Both average over the area with the same triangle filter. libswscale is nearer to the colours of the frame: it scales
the chroma, which has a quarter of the samples, straight to the tile, instead of enlarging it to the whole frame
first.
"""

import errno
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import count
from numbers import Rational
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

from preprocess import reasons
from preprocess.crops import Crop
from preprocess.decode.frame import ArrayPicture, YCbCr, ycbcr_of
from preprocess.decode.orientation import UPRIGHT, Orientation, orientation_of_matrix
from preprocess.decode.source import DecodeError

# libswscale's numbers: PyAV has names for them since version 18, and accepts numbers in every version.
_ACCURATE_ROUNDING, _BIT_EXACT = 0x40000, 0x80000
# The same result on every processor.
_SCALING = int(Interpolation.BILINEAR) | _ACCURATE_ROUNDING | _BIT_EXACT
_CONVERSION = Interpolation.BICUBIC
_RGB_OF_GBR = (1, 2, 0)  # position of each plane's colour; the planes are green, blue, red
# Eight bits with 4:2:0 chroma, as in nearly every video. The second format has the full range.
_CUTTABLE_FORMATS = ("yuv420p", "yuvj420p")
# AVColorSpace: unspecified (decoders then use BT.601), and BT.470 BG and SMPTE 170M, which equal BT.601.
_BT601 = (2, 5, 6)
_UNSPECIFIED_MATRIX, _RESERVED_MATRIX = 2, 3
# Expand 16..235 and 16..240 to 0..255 (BT.601-7, table 3). libswscale would shift the chroma by half a step.
_LUMA_TABLE, _CHROMA_TABLE = (
    np.rint((np.arange(256) - zero) * 255 / steps + new_zero).clip(0, 255).astype(np.uint8).tobytes()
    for zero, steps, new_zero in ((16, 219, 0), (128, 224, 128))
)


class Scalers:
    """The libswscale contexts of one video. Creating one takes as long as converting a small frame."""

    def __init__(self, path: str = "frame"):
        self._path = path
        self._of_use: defaultdict[tuple, VideoReformatter] = defaultdict(VideoReformatter)

    def rgb(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 (H, W, 3), turned as the file asks; PyAV does not turn by itself, the ffmpeg command does."""
        rgb = self._reformat((), frame, format="rgb24", interpolation=_CONVERSION).to_ndarray()
        orientation = orientation_of(frame)
        return rgb if orientation == UPRIGHT else np.ascontiguousarray(orientation.apply(rgb))

    def rgb_square(self, frame: av.VideoFrame, side: int) -> np.ndarray:
        """uint8 (side, side, 3)."""
        square = np.empty((side, side, 3), np.uint8)
        for plane, position in zip(self._square(frame, side, "gbrp", ColorRange.JPEG), _RGB_OF_GBR):
            square[..., position] = plane
        return square

    def ycbcr_square(self, frame: av.VideoFrame, side: int) -> YCbCr:
        """The tile of a frame in BT.601."""
        planes = self._square(frame, side, "yuv420p", _range_of(frame))
        if _range_of(frame) == ColorRange.JPEG:
            return YCbCr(*planes)
        return YCbCr(*map(_looked_up, planes, (_LUMA_TABLE, _CHROMA_TABLE, _CHROMA_TABLE)))

    def _square(
        self, frame: av.VideoFrame, side: int, pixel_format: str, color_range: ColorRange
    ) -> Iterator[np.ndarray]:
        """Its planes."""
        square = self._reformat(
            (frame.width, frame.height, side, pixel_format),
            frame,
            width=side,
            height=side,
            format=pixel_format,
            interpolation=_SCALING,
            src_color_range=_range_of(frame),
            dst_color_range=color_range,
        )
        return map(_pixels, square.planes)

    def _reformat(self, use: tuple, frame: av.VideoFrame, **options: Any) -> av.VideoFrame:
        if frame.colorspace == _RESERVED_MATRIX:
            frame.colorspace = _UNSPECIFIED_MATRIX  # as the ffmpeg command takes it
        try:
            return self._of_use[use].reformat(frame, threads=1, **options)
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            raise DecodeError(
                reasons.UNKNOWN_MATRIX,
                f"{self._path}: its matrix_coefficients are {frame.colorspace} (ITU-T H.273, table 4); "
                "convert it first, such as with ffmpeg and its filter zscale=matrix=709",
            ) from error


class FramePicture:
    """See ``preprocess.decode.frame.Picture``. The frame must be upright and have one of ``_CUTTABLE_FORMATS``."""

    def __init__(self, frame: av.VideoFrame, scalers: Scalers):
        self._frame = frame
        self._scalers = scalers
        self.size = frame.width, frame.height

    def rgb(self) -> np.ndarray:
        return self._scalers.rgb(self._frame)

    def tile(self, crop: Crop, side: int) -> np.ndarray:
        return self._scalers.rgb_square(_cut(self._frame, crop), side)

    def ycbcr_tile(self, crop: Crop, side: int) -> YCbCr:
        if self._frame.colorspace not in _BT601:
            return ycbcr_of(self.tile(crop, side))
        return self._scalers.ycbcr_square(_cut(self._frame, crop), side)


def picture_of(frame: av.VideoFrame, scalers: Scalers) -> FramePicture | ArrayPicture:
    """Return the frame upright. A frame that must be rotated, or that has an uncommon pixel format, is converted
    whole.
    """
    if orientation_of(frame) != UPRIGHT or frame.format.name not in _CUTTABLE_FORMATS:
        return ArrayPicture(scalers.rgb(frame))
    return FramePicture(frame, scalers)


def orient(frame: av.VideoFrame, last: Orientation) -> Orientation:
    """Store in the frame how to rotate and mirror it, and return the same for the next frame's ``last``.

    The container's orientation applies to every frame. In H.264 and HEVC, the stream's orientation is given with the
    first frame of a sequence and applies to the whole sequence (ITU-T H.264, D.2.27). The container has priority, as
    in libavcodec.
    """
    frame.opaque = _own_orientation(frame) or (UPRIGHT if frame.key_frame else last)
    return frame.opaque


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """The orientation that ``orient`` stored, or the frame's own."""
    return frame.opaque or _own_orientation(frame) or UPRIGHT


def _own_orientation(frame: av.VideoFrame) -> Orientation | None:
    entries = frame.side_data
    if "DISPLAYMATRIX" not in entries:
        return None
    # By number: a name returns the last item of its type, and iteration gives only types from PyAV 19 on.
    first = next(data for number in count() if (data := entries[number]).type == SideDataType.DISPLAYMATRIX)
    return orientation_of_matrix(np.frombuffer(first, np.int32).tolist())


def upright_aspect(frame: av.VideoFrame, sample_aspect: Rational | None) -> Fraction:
    """The width of a shown pixel divided by its height.

    ``sample_aspect`` is the ratio in the stored frame. It is None, or 0 from PyAV 19 on, if the file does not give
    it.
    """
    if not sample_aspect:
        return Fraction(1)
    stored = Fraction(sample_aspect.numerator, sample_aspect.denominator)
    return 1 / stored if orientation_of(frame).transposes else stored


def _cut(frame: av.VideoFrame, crop: Crop) -> av.VideoFrame:
    """Cut the crop out as a frame."""
    cut = av.VideoFrame(crop.width, crop.height, frame.format.name)
    cut.colorspace, cut.color_range = frame.colorspace, frame.color_range
    luma, *chroma = zip(map(_pixels, frame.planes), map(_pixels, cut.planes))
    left, top, right, bottom = crop.box
    luma[1][:] = luma[0][top:bottom, left:right]
    for whole, part in chroma:
        part[:] = _cut_chroma(whole, crop, *part.shape)
    return cut


def _cut_chroma(plane: np.ndarray, crop: Crop, height: int, width: int) -> np.ndarray:
    """Cut the crop out of a chroma plane. A crop that starts inside a sample uses the mean of two samples, so that no
    colour shifts.
    """
    left, top = crop.left // 2, crop.top // 2
    samples = plane[top : top + height + 1, left : left + width + 1]
    if crop.top % 2:
        samples = _half_way(samples)
    if crop.left % 2:
        samples = _half_way(samples.T).T
    return samples[:height, :width]


def _half_way(samples: np.ndarray) -> np.ndarray:
    """The mean of each row and the next one. The last row stays as it is."""
    below = np.concatenate((samples[1:], samples[-1:]))
    return ((samples.astype(np.uint16) + below + 1) >> 1).astype(np.uint8)


def _looked_up(plane: np.ndarray, table: bytes) -> np.ndarray:
    # This takes a quarter less time than indexing.
    return np.frombuffer(plane.tobytes().translate(table), np.uint8).reshape(plane.shape)


def _range_of(frame: av.VideoFrame) -> ColorRange:
    is_full = frame.format.name == "yuvj420p" or frame.color_range == ColorRange.JPEG
    return ColorRange.JPEG if is_full else ColorRange.MPEG


def _pixels(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """uint8 (H, W), a view: rows may be longer in memory than in the picture."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[: plane.height, : plane.width]
