"""The only door to a decoder.

Two stand behind it. PyAV decodes in this process: exact, quick, and strict, it gives up on a broken stream. ffmpeg runs
as a process of its own: slower, it conceals what it can and can be killed. ``auto`` tries them in that order. A folder
of numbered frames is a video too, whichever decoder is named.
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
    """``auto -> (pyav, ffmpeg)``; a named one alone; for a folder of frames its reader."""
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
    """Open a video with one decoder. All of its use must end within ``timeout_seconds``, or it raises DecodeError.

    ``frame_rate`` (frames a second) is for a folder of frames, which does not tell its own. A picture of more than
    ``max_pixels`` is an error before memory is taken for it. With ``square_pixels`` frames are stretched to what a
    player shows where the file says that its pixels are not square.
    """
    deadline = time.monotonic() + timeout_seconds
    if os.path.isdir(path):
        return FolderVideo(path, deadline=deadline, frame_rate=frame_rate, max_pixels=max_pixels)
    _refuse_what_is_no_file(path)
    return _DECODERS[decoder](path, deadline=deadline, max_pixels=max_pixels, square_pixels=square_pixels)


def decoder_versions() -> dict[str, str]:
    """What the manifest says of the decoders."""
    return {"pyav": pyav_version(), "ffmpeg": ffmpeg_version()}


def _refuse_what_is_no_file(path: str) -> None:
    if not os.path.isfile(path):
        raise DecodeError(reasons.MISSING_FILE, f"{path} is not there")
    if os.path.getsize(path) == 0:
        raise DecodeError(reasons.EMPTY_FILE, f"{path} has 0 bytes")
