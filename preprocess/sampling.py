"""Chooses frames: (frames in the video, ``Sampling``, generator) -> indices. Pure.

Every result is int64 (T,), non-decreasing, with ``0 <= index < num_frames``. If the video has fewer than T frames, they
repeat in order: ``5 frames, T=8 -> [0 0 1 2 2 3 4 4]``.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np

STRATEGIES = ("uniform", "dense", "fps")
OFFSETS = ("independent", "shared")
CLIP_POSITIONS = ("even", "sifar")
# Containers round times, WebM to whole milliseconds.
_TICK_SECONDS = 1e-3


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the T frames of a clip are chosen.

    ``uniform``: one frame from each of T equal segments. In training, its position in the segment is random, drawn for
    each segment (``offset: independent``) or once for all segments (``shared``, as in SIFAR's code). ``dense``: every
    ``stride_frames``-th frame. ``fps``: a fixed number of frames per second (STAM), by the display time of the frames.
    ``clip_positions`` places the test clips of ``uniform``: ``even``ly in each segment, or shifted by whole frames from
    the middle of the segment (``sifar``).
    """

    strategy: Annotated[str, "uniform (T equal segments), dense (every k-th frame) or fps (a fixed rate)"] = "uniform"
    offset: Annotated[
        str,
        "strategy uniform, training: the position in a segment is drawn for each segment (independent) or once for "
        "all segments (shared)",
    ] = "independent"
    clip_positions: Annotated[
        str,
        "strategy uniform, test: clips are spread over each segment (even), or shifted by whole frames (sifar)",
    ] = "even"
    stride_frames: Annotated[
        int | None, "strategy dense: distance between the frames of a clip, in frames of the video"
    ] = None
    fps: Annotated[float | None, "strategy fps: frames per second of a clip"] = None

    def __post_init__(self) -> None:
        for field, choices in (("strategy", STRATEGIES), ("offset", OFFSETS), ("clip_positions", CLIP_POSITIONS)):
            if getattr(self, field) not in choices:
                raise ValueError(f"{field}={getattr(self, field)!r}: must be one of {', '.join(choices)}")
        for field, strategy in (("stride_frames", "dense"), ("fps", "fps")):
            value = getattr(self, field)
            if (value is not None) != (self.strategy == strategy):
                raise ValueError(
                    f"{field}={value} with strategy={self.strategy}: {field} belongs to strategy={strategy}"
                )
            if value is not None and value <= 0:
                raise ValueError(f"{field}={value}: must be positive")


def indices_for_training(
    num_frames: int,
    clip_frames: int,
    sampling: Sampling,
    rng: np.random.Generator,
    *,
    times_seconds: np.ndarray | None = None,
) -> np.ndarray:
    """One training clip. Only ``fps`` needs ``times_seconds``, float (num_frames,), the display time of each frame."""
    _check_counts(num_frames, clip_frames)
    if sampling.strategy == "uniform":
        if sampling.offset == "independent":
            return _in_segments(num_frames, rng.random(clip_frames))
        segment = num_frames // clip_frames
        if segment == 0:
            return _at_same_place(num_frames, clip_frames)
        return np.arange(clip_frames) * segment + rng.integers(segment)
    num_starts = _num_starts(num_frames, clip_frames, sampling, times_seconds)
    if num_starts < 1:
        return _at_same_place(num_frames, clip_frames)
    return _from(int(rng.integers(num_starts)), clip_frames, sampling, times_seconds)


def indices_for_test(
    num_frames: int,
    clip_frames: int,
    sampling: Sampling,
    *,
    clip: int = 0,
    num_clips: int = 1,
    times_seconds: np.ndarray | None = None,
) -> np.ndarray:
    """Test clip number ``clip`` of ``num_clips``. Nothing is random.

    uniform, one clip: ``int(n/T/2 + t*n/T)``, so ``n=16, T=4 -> [2 6 10 14]`` (SIFAR's code). C clips are at
    (c + 1/2)/C of each segment; with ``sifar`` they are shifted by whole frames, ``C=3 -> -1, 0, +1``. dense and fps: C
    evenly spaced starts; a single clip starts in the middle.
    """
    _check_counts(num_frames, clip_frames)
    if not 0 <= clip < num_clips:
        raise ValueError(f"clip {clip} of {num_clips}: must be in 0..{num_clips - 1}")
    if sampling.strategy == "uniform":
        if sampling.clip_positions == "sifar":
            return _sifar_test_clip(num_frames, clip_frames, clip, num_clips)
        return _at_same_place(num_frames, clip_frames, clip, num_clips)
    num_starts = _num_starts(num_frames, clip_frames, sampling, times_seconds)
    if num_starts < 1:
        return _at_same_place(num_frames, clip_frames, clip, num_clips)
    start = (num_starts - 1) / 2 if num_clips == 1 else (num_starts - 1) * clip / (num_clips - 1)
    return _from(int(start), clip_frames, sampling, times_seconds)


def _check_counts(num_frames: int, clip_frames: int) -> None:
    if num_frames < 1 or clip_frames < 1:
        raise ValueError(f"{num_frames} frames in the video, {clip_frames} in the clip: both must be at least 1")


def _at_same_place(num_frames: int, clip_frames: int, clip: int = 0, num_clips: int = 1) -> np.ndarray:
    """The frame at (clip + 1/2) / num_clips of each segment, in integer arithmetic to avoid rounding errors."""
    parts = 2 * num_clips * np.arange(clip_frames, dtype=np.int64) + 2 * clip + 1
    return parts * num_frames // (2 * num_clips * clip_frames)


def _sifar_test_clip(num_frames: int, clip_frames: int, clip: int, num_clips: int) -> np.ndarray:
    """The middles of the segments, shifted by -1, 0, +1, ... frames inside the segment, as in SIFAR's code.

    If the video has at most T frames, SIFAR's code draws frames at random; here they repeat in order.
    """
    if num_frames <= clip_frames:
        return _at_same_place(num_frames, clip_frames)
    segment = num_frames / clip_frames
    shift = min(max(clip - (num_clips - 1) // 2, -segment / 2), segment / 2 - 1e-4)
    return (segment / 2 + shift + segment * np.arange(clip_frames)).astype(np.int64)


def _in_segments(num_frames: int, places: np.ndarray) -> np.ndarray:
    """One index per segment, at ``places[t]`` in [0, 1) of segment t."""
    positions = (np.arange(len(places)) + places) * num_frames / len(places)
    # If a draw is within 1e-16 of 1, rounding gives num_frames.
    return np.minimum(positions.astype(np.int64), num_frames - 1)


def _num_starts(num_frames: int, clip_frames: int, sampling: Sampling, times_seconds: np.ndarray | None) -> int:
    """The number of frames, from the first one on, at which a complete clip can start."""
    if sampling.stride_frames is not None:
        return max(num_frames - (clip_frames - 1) * sampling.stride_frames, 0)
    assert sampling.fps is not None
    assert times_seconds is not None, "strategy fps needs the times of the frames"
    if num_frames == 1:
        return 0  # its duration is not known
    # The last frame is assumed to last as long as the average frame.
    end = times_seconds[-1] + (times_seconds[-1] - times_seconds[0]) / (num_frames - 1)
    return int(np.searchsorted(times_seconds, end - (clip_frames - 1) / sampling.fps - _TICK_SECONDS))


def _from(start: int, clip_frames: int, sampling: Sampling, times_seconds: np.ndarray | None) -> np.ndarray:
    if sampling.stride_frames is not None:
        return start + np.arange(clip_frames, dtype=np.int64) * sampling.stride_frames
    assert sampling.fps is not None
    assert times_seconds is not None, "strategy fps needs the times of the frames"
    moments = times_seconds[start] + np.arange(clip_frames) / sampling.fps
    # The frame on the screen at each moment: the last one whose display time has come.
    return np.searchsorted(times_seconds, moments + _TICK_SECONDS, side="right") - 1
