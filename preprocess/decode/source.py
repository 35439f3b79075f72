"""What a decoder gives, whichever it is: facts of one video, its frames, and the reason when it has none."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from preprocess import reasons
from preprocess.decode.frame import Picture

# Of a frame: twice 8K, which no data set reaches, so that a header which claims more is damaged or hostile.
MAX_PIXELS = 1 << 26

# What may be inside a file, by libavformat's names. Not playlists (hls, dash, concat, ...), which make a decoder open
# other files and addresses; and no device, filter graph or text either.
CONTAINERS = (
    *("mov", "matroska", "avi", "flv", "mpegts", "mpeg", "asf", "ogg", "gif", "mxf", "rm", "dv", "nut", "nsv", "wtv"),
    *("ivf", "obu", "h264", "hevc", "m4v", "mpegvideo", "vc1", "av1", "mjpeg", "yuv4mpegpipe", "swf", "ea", "live_flv"),
    *("mp3", "wav", "flac", "aac"),  # so that sound alone is told from no media at all
)


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """``times_seconds``: float64 (num_frames,), when each frame is shown, from the first one on.

    ``codec`` is ffmpeg's name for it, or None where the decoder does not tell. ``stream`` is the index of the video
    stream in its file; None for a folder, or where the container could not be asked. ``decoded_share``, in 0..1: the
    frames that decode without damage, of all that the stream's packets and the container's list promise.
    """

    decoder: str
    codec: str | None
    times_seconds: np.ndarray
    stream: int | None = None
    decoded_share: float = 1.0

    @property
    def num_frames(self) -> int:
        """Frames that decode, in the order shown; not what a header claims."""
        return len(self.times_seconds)

    @property
    def fps(self) -> float | None:
        """The mean rate in frames a second; None for a single frame."""
        duration = float(self.times_seconds[-1] - self.times_seconds[0])
        return (self.num_frames - 1) / duration if duration > 0 else None


class DecodeError(Exception):
    """A video that cannot be decoded. ``reason`` is one of ``preprocess.reasons``, ``detail`` is this video's own."""

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
        """(index, uint8 (H, W, 3) RGB, upright) for each of the ascending, distinct indices; DecodeError.

        The range and the matrix that a file names are honoured. HDR is not tone-mapped: its coded values, cut to 8
        bits, look paler than on a screen that knows them. Alpha is dropped: what lies under transparent pixels is seen.
        """
        ...

    def pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """The same frames, to cut tiles from, which is cheaper than to have them as arrays."""
        ...


def check_indices(indices: Sequence[int], num_frames: int) -> None:
    """Hold our side of the contract of ``frames``."""
    assert list(indices) == sorted(set(indices)), "indices must ascend and be distinct"
    assert not len(indices) or 0 <= indices[0] <= indices[-1] < num_frames, "indices must lie in the video"


def check_size(path: str, width: int, height: int, max_pixels: int) -> None:
    """DecodeError for a picture that is too large to be believed."""
    if width * height > max_pixels:
        raise DecodeError(reasons.PICTURE_TOO_LARGE, f"{path}: {width}x{height} pixels, max_pixels is {max_pixels}")
