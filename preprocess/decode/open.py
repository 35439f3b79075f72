"""The only entry point to the decoders.

PyAV decodes in this process. It is exact and fast, and stops at a broken stream. The ffmpeg command runs in its own
process. It is slower, conceals errors, and can be killed. ``auto`` tries them in this order. A folder of numbered
frames has its own reader, whichever decoder is configured.
"""

import os
import time

from preprocess import reasons
from preprocess.decode.ffmpeg_cli import FfmpegVideo
from preprocess.decode.ffmpeg_cli import decoder_version as ffmpeg_version
from preprocess.decode.image_folder import FolderVideo
from preprocess.decode.pyav import PyavVideo
from preprocess.decode.pyav import decoder_version as pyav_version
from preprocess.decode.source import MAX_PIXELS, DecodeError, VideoSource

_DECODERS = {"pyav": PyavVideo, "ffmpeg": FfmpegVideo}


def decoders_to_try(decoder: str, path: str) -> tuple[str, ...]:
    """``auto -> (pyav, ffmpeg)``; a named decoder alone; for a folder of frames its reader."""
    if os.path.isdir(path):
        return ("folder",)
    return ("pyav", "ffmpeg") if decoder == "auto" else (decoder,)


def open_video(
    path: str,
    *,
    decoder: str,
    timeout_seconds: float,
    frame_rate: float | None = None,
    max_pixels: int = MAX_PIXELS,
    square_pixels: bool = False,
) -> VideoSource:
    """Open a video with one decoder. All use must end within ``timeout_seconds``; later calls raise DecodeError.

    ``frame_rate`` (frames a second) applies to a folder of frames, which has no rate of its own. A picture of more
    than ``max_pixels`` is refused before memory is allocated for it. ``square_pixels`` stretches frames whose pixels
    are not square to the size that a player shows.
    """
    deadline = time.monotonic() + timeout_seconds
    if os.path.isdir(path):
        return FolderVideo(path, deadline=deadline, frame_rate=frame_rate, max_pixels=max_pixels)
    _refuse_what_is_no_file(path)
    return _DECODERS[decoder](path, deadline=deadline, max_pixels=max_pixels, square_pixels=square_pixels)


def decoder_versions() -> dict[str, str]:
    """The versions of the decoders, for the manifest."""
    return {"pyav": pyav_version(), "ffmpeg": ffmpeg_version()}


def _refuse_what_is_no_file(path: str) -> None:
    if not os.path.isfile(path):
        raise DecodeError(reasons.MISSING_FILE, f"{path} does not exist")
    if os.path.getsize(path) == 0:
        raise DecodeError(reasons.EMPTY_FILE, f"{path} has 0 bytes")
