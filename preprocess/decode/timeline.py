"""When each frame is shown: one timeline out of the stamps of packets, also where a stream was joined. Pure.

Joined transport streams (DVR, HLS) begin a new clock in the middle. The decoder gives all frames of the one part before
those of the next, so the parts are put one behind the other, whatever their clocks say.
"""

from collections.abc import Sequence

import numpy as np

# What ffmpeg takes for another clock rather than for a pause (its option -dts_delta_threshold).
LONGEST_PAUSE_SECONDS = 10


def as_ticks(stamps: Sequence[int | None]) -> np.ndarray:
    """float64 (P,), nan for None: 2**53 ticks are exact, and the clocks of containers have fewer bits."""
    return np.array([np.nan if stamp is None else stamp for stamp in stamps], np.float64)


def parts(decoding_ticks: np.ndarray, longest_pause_ticks: float | None) -> np.ndarray:
    """int64 (P,): which part of a joined stream each packet belongs to: ``0 1 2 | 0 1 -> 0 0 0 1 1``.

    A part begins where the decoding time goes backward, or forward by more than ``longest_pause_ticks`` (None: never).
    """
    known = np.flatnonzero(~np.isnan(decoding_ticks))
    steps = np.diff(decoding_ticks[known])
    begins = steps < 0
    if longest_pause_ticks is not None:
        begins |= steps > longest_pause_ticks
    numbers = np.zeros(len(decoding_ticks), np.int64)
    numbers[known[1:][begins]] = 1
    return np.cumsum(numbers)


def ticks_of_avi(decoding_ticks: np.ndarray, delay_frames: int) -> np.ndarray:
    """float (F,) of the frames in the order shown, one for each packet, of a container that stores times of decoding.

    The decoder gives a frame out when it has ``delay_frames`` more packets, and the frame is shown then; the last ones
    come a usual step apart: ``decoded 0 24 48 72, delay 2 -> 48 72 96 120``.
    """
    decoded = np.sort(decoding_ticks)
    delay = min(delay_frames, len(decoded) - 1)
    step = _usual_step(decoded, 1)
    return np.concatenate((decoded[delay:], decoded[-1] + step * np.arange(1, delay + 1)))


def times_of_frames(ticks: np.ndarray, part_of: np.ndarray, tick_seconds: float, rate: float) -> np.ndarray:
    """float64 (F,): seconds from the first frame, ascending.

    ``ticks``: float (F,), the stamp of each frame in the order shown, nan where it has none; ``part_of``: int (F,), its
    part, ascending. The next part begins one usual step after the last frame of the one before; ``rate`` (frames a
    second) is for frames without stamps.
    """
    times, begin = np.empty(len(ticks)), 0.0
    for part in np.unique(part_of):
        places = np.flatnonzero(part_of == part)
        seconds = _filled(_without_strays(ticks[places]) * tick_seconds, 1 / rate)
        # What is decoded in another order than its stamps has the stamps made up; the decoder's order holds.
        seconds = np.sort(seconds)
        times[places] = seconds - seconds[0] + begin
        begin = times[places[-1]] + _usual_step(seconds, 1 / rate)
    return times


def _without_strays(ticks: np.ndarray) -> np.ndarray:
    """Stamps that go backward are mistakes of the writer if some stand twice: ``0 1 2 1 4 -> 0 1 2 nan 4``."""
    values, counts = np.unique(ticks[~np.isnan(ticks)], return_counts=True)
    is_stray = ticks < np.fmax.accumulate(np.concatenate(([-np.inf], ticks[:-1])))
    return np.where(is_stray, np.nan, ticks) if np.isin(ticks[is_stray], values[counts > 1]).any() else ticks


def _filled(seconds: np.ndarray, step: float) -> np.ndarray:
    """Frames without a stamp stand evenly between those with one, and a step apart outside them."""
    known = np.flatnonzero(~np.isnan(seconds))
    places = np.arange(len(seconds))
    if not len(known):
        return places * step
    filled = np.interp(places, known, seconds[known])
    before, after = places < known[0], places > known[-1]
    filled[before] = seconds[known[0]] - (known[0] - places[before]) * step
    filled[after] = seconds[known[-1]] + (places[after] - known[-1]) * step
    return filled


def _usual_step(seconds: np.ndarray, default: float) -> float:
    steps = np.diff(seconds)
    steps = steps[steps > 0]
    return float(np.median(steps)) if len(steps) else default
