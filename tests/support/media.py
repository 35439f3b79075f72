"""Real videos for the tests, made with the ffmpeg command: every frame carries its own number, so that any decoder's
frames can be told apart without trusting another decoder."""

from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
_BITS = 8


def numbered_frames(count: int, *, width: int = 96, height: int = 64) -> np.ndarray:
    """uint8 (count, height, width, 3): frame i shows the bits of i as bright and dark bars over the upper half.

    The lower half is red on the left and blue on the right, so that a frame that is turned or mirrored is seen to be.
    """
    frames = np.zeros((count, height, width, 3), np.uint8)
    bounds = np.linspace(0, width, _BITS + 1).astype(int)
    for number, frame in enumerate(frames):
        for bit in range(_BITS):
            frame[: height // 2, bounds[bit] : bounds[bit + 1]] = 220 if number >> bit & 1 else 30
        frame[height // 2 :, : width // 2] = (200, 20, 20)
        frame[height // 2 :, width // 2 :] = (20, 20, 200)
    return frames


def frame_number(frame: np.ndarray) -> int:
    """The number that an upright frame of ``numbered_frames`` shows, at any scale."""
    height, width = frame.shape[:2]
    row = frame[height // 8 : 3 * height // 8].mean(axis=(0, 2))
    centers = ((np.arange(_BITS) + 0.5) * width / _BITS).astype(int)
    return int(sum(1 << bit for bit, center in enumerate(centers) if row[center] > 125))


def is_upright(frame: np.ndarray) -> bool:
    """Red stands at the lower left."""
    height, width = frame.shape[:2]
    red, _, blue = frame[height * 3 // 4, width // 4].astype(int)
    return red > blue + 60


def write_video(path: Path, frames: np.ndarray, *, rate: int = 25, filters: str | None = None, **options) -> Path:
    """Encode uint8 (T, H, W, 3) to ``path`` with the ffmpeg options given (``vcodec="libx264"``, ...)."""
    _, height, width, _ = frames.shape
    stream = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", framerate=rate)
    options = {"pix_fmt": "yuv420p", "threads": 1, **({"vf": filters} if filters else {}), **options}
    _run(stream.output(str(path), **options), frames.tobytes())
    return path


def remux(source: Path, path: Path, *, input_options: dict | None = None, **options) -> Path:
    """Copy the packets of ``source`` into another file: cuts, containers and rotations without encoding."""
    _run(ffmpeg.input(str(source), **(input_options or {})).output(str(path), c="copy", **options))
    return path


def h264(path: Path, count: int = 40, *, width: int = 96, height: int = 64, **options) -> Path:
    """H.264 with B-frames and one key frame, as downloaded clips are."""
    defaults = {"vcodec": "libx264", "preset": "veryfast", "bf": 3, "g": 250, "crf": 18}
    return write_video(path, numbered_frames(count, width=width, height=height), **{**defaults, **options})


def sound_only(path: Path) -> Path:
    """A file with an audio stream and no picture."""
    _run(ffmpeg.input("sine=duration=1", f="lavfi").output(str(path)))
    return path


def _run(output, content: bytes | None = None) -> None:
    output.overwrite_output().global_args("-v", "error").run(cmd=FFMPEG, input=content)
