"""The interface of all decoders: information about one video, its frames, and the reason if it cannot be decoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from preprocess import reasons
from preprocess.decode.frame import Picture

# Pixels of a frame: twice 8K. No data set reaches it, so a header that claims more is damaged or hostile.
MAX_PIXELS = 1 << 26

# The allowed container formats, by libavformat's names. Playlists (hls, dash, concat, ...) are not allowed, because
# they make a decoder open other files and URLs. Devices, filter graphs and text are not allowed either.
CONTAINERS = (
    *("mov", "matroska", "avi", "flv", "mpegts", "mpeg", "asf", "ogg", "gif", "mxf", "rm", "dv", "nut", "nsv", "wtv"),
    *("ivf", "obu", "h264", "hevc", "m4v", "mpegvideo", "vc1", "av1", "mjpeg", "yuv4mpegpipe", "swf", "ea", "live_flv"),
    *("mp3", "wav", "flac", "aac"),  # to distinguish a file with sound only from a file without media
)


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Information about a video. ``times_seconds``: float64 (num_frames,), when each frame is shown, counted from the
    first.

    ``codec`` is ffmpeg's name, or None if the decoder does not report it. ``stream`` is the index of the video stream
    in its file; None for a folder of frames, or if the container could not be read. ``decoded_share``, in 0..1, is
    the number of frames that decode without damage divided by the number that the packets and the container promise.
    """

    decoder: str
    codec: str | None
    times_seconds: np.ndarray
    stream: int | None = None
    decoded_share: float = 1.0

    @property
    def num_frames(self) -> int:
        """The number of frames that decode, in the order shown; not the number in a header."""
        return len(self.times_seconds)

    @property
    def fps(self) -> float | None:
        """The mean frame rate in frames a second; None for a single frame."""
        duration = float(self.times_seconds[-1] - self.times_seconds[0])
        return (self.num_frames - 1) / duration if duration > 0 else None


class DecodeError(Exception):
    """The video cannot be decoded. ``reason`` is one of ``preprocess.reasons``; ``detail`` describes this video."""

    def __init__(self, reason: str, detail: str):
        assert reason in reasons.ALL, reason
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


class VideoSource(Protocol):
    """An open video. Use as a context manager."""

    info: VideoInfo

    def __enter__(self) -> "VideoSource": ...

    def __exit__(self, *exception: object) -> None: ...

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, uint8 (H, W, 3) RGB, upright) for each of the ascending, distinct indices. Raises
        DecodeError.

        The colour range and matrix of the file are used. HDR is not tone-mapped: the coded values are reduced to 8
        bits, and look paler than on an HDR screen. Alpha is dropped.
        """
        ...

    def pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """Yield the same frames as pictures. Cutting tiles from them is cheaper than from arrays."""
        ...


def check_indices(indices: Sequence[int], num_frames: int) -> None:
    """Check the precondition of ``frames``."""
    assert list(indices) == sorted(set(indices)), "indices must ascend and be distinct"
    assert not len(indices) or 0 <= indices[0] <= indices[-1] < num_frames, "indices must lie in the video"


def check_size(path: str, width: int, height: int, max_pixels: int) -> None:
    """Raise DecodeError for a picture that is too large."""
    if width * height > max_pixels:
        raise DecodeError(reasons.PICTURE_TOO_LARGE, f"{path}: {width}x{height} pixels; max_pixels is {max_pixels}")
