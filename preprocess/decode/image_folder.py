"""Read a folder of numbered frames as a video: ``00001.jpg, 00002.jpg, ...``."""

import os
import re
import time
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps

from preprocess import reasons
from preprocess.decode.frame import ArrayPicture, Picture
from preprocess.decode.source import MAX_PIXELS, DecodeError, VideoInfo, check_indices, check_size

DEFAULT_FRAME_RATE = 25.0  # ffmpeg's default for numbered images
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_NUMBER = re.compile(r"(\d+)\.[A-Za-z]+$")


class FolderVideo:
    """A video with one image file per frame. Context manager; see ``preprocess.decode.source.VideoSource``."""

    def __init__(self, path: str, *, deadline: float, frame_rate: float | None = None, max_pixels: int = MAX_PIXELS):
        self._path = path
        self._max_pixels = max_pixels
        self._deadline = deadline
        self._names = _frame_names(path)
        if not self._names:
            raise DecodeError(reasons.NO_FRAMES, f"{path}: the folder has no numbered images such as 00001.jpg")
        times = np.arange(len(self._names)) / (frame_rate or DEFAULT_FRAME_RATE)
        self.info = VideoInfo(decoder="folder", codec=None, times_seconds=times)

    def __enter__(self) -> "FolderVideo":
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing stays open between the frames."""

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, uint8 (H, W, 3)) for each index, upright. Raises DecodeError if an image does not decode."""
        check_indices(indices, self.info.num_frames)
        for index in indices:
            if time.monotonic() > self._deadline:
                raise DecodeError(reasons.TIME_LIMIT, f"{self._path}: reading took longer than timeout_seconds allows")
            yield index, self._read(self._names[index])

    def pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """Yield the same frames as pictures, to cut tiles from."""
        return ((index, ArrayPicture(frame)) for index, frame in self.frames(indices))

    def _read(self, name: str) -> np.ndarray:
        path = os.path.join(self._path, name)
        try:
            # The formats are named, because Pillow also knows formats that run other programs (EPS).
            with Image.open(path, formats=_FORMATS) as image:
                check_size(path, image.width, image.height, self._max_pixels)
                return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        except Image.DecompressionBombError as error:
            raise DecodeError(reasons.PICTURE_TOO_LARGE, f"{path}: {error}") from error
        except (OSError, ValueError, SyntaxError) as error:  # Pillow raises SyntaxError for some broken PNGs
            raise DecodeError(reasons.DAMAGED_FRAME, f"{path}: {error}") from error


def _frame_names(path: str) -> list[str]:
    """Sort by number, not by name: ``9.jpg`` comes before ``10.jpg``."""
    numbered = [
        (int(match.group(1)), name)
        for name in os.listdir(path)
        if name.lower().endswith(_SUFFIXES) and not name.startswith(".") and (match := _NUMBER.search(name))
    ]
    return [name for _, name in sorted(numbered)]
