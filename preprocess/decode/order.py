"""In which order the packets of a stream are shown, and when, out of what packets and container say. Pure."""

from dataclasses import dataclass, field

import numpy as np

from preprocess.decode.packet_info import PacketInfo
from preprocess.decode.packets import frames_are_known, order_by_bytes, order_by_stamps
from preprocess.decode.timeline import as_ticks, parts, ticks_of_avi, times_of_frames

# Containers that keep the time of each frame; avi, for one, has the order of decoding only.
STAMPING_CONTAINERS = ("mov", "matroska", "mpegts", "flv")
# Codecs that decode frames in another order than they are shown in, as far as their packets are read.
_REORDERING_CODECS = ("h264", "hevc", "mpeg4")


@dataclass(kw_only=True)
class StreamNotes:
    """What is noted of the packets of a stream, in the order of decoding; each list has P entries.

    ``codec`` and ``container``: ffmpeg's names. ``stamps`` and ``decoding``: when a packet is shown and decoded, in
    ticks, or None. ``discarded``: the container says not to show it. ``places``: (position in the file, bytes).
    """

    codec: str
    container: str
    packet_infos: list[PacketInfo] = field(default_factory=list)
    stamps: list[int | None] = field(default_factory=list)
    decoding: list[int | None] = field(default_factory=list)
    discarded: list[bool] = field(default_factory=list)
    places: list[tuple[int | None, int]] = field(default_factory=list)

    def parts(self, longest_pause_ticks: float | None) -> np.ndarray:
        """int64 (P,): which part of a joined stream each packet belongs to."""
        return parts(as_ticks(self.decoding), longest_pause_ticks)

    def number_of(self, place: tuple[int | None, int], last: int) -> int | None:
        """The packet at this place, up to packet ``last``; or None."""
        return next((number for number in range(last, -1, -1) if self.places[number] == place), None)


def order_shown(notes: StreamNotes, part_of: np.ndarray, *, reorders: bool) -> np.ndarray | None:
    """int64 (P,): the packets in the order shown; None where only decoding tells it, or tells what is shown at all.

    ``reorders``: the codec's header allows for frames that are shown before one that is decoded before them.
    """
    if not frames_are_known(notes.packet_infos, notes.discarded):
        return None
    if notes.codec not in _REORDERING_CODECS:
        return np.arange(len(notes.packet_infos))
    if not notes.packet_infos[0].restart:
        return None  # what its first packets refer to was cut off
    if notes.codec != "mpeg4" and notes.container in STAMPING_CONTAINERS:
        ticks = as_ticks(notes.stamps), as_ticks(notes.decoding)
        order = order_by_stamps(*ticks, part_of, notes.packet_infos, reorders=reorders)
        if order is not None:
            return order
    return order_by_bytes(notes.packet_infos)


def times_seconds(
    notes: StreamNotes,
    numbers: list[int | None],
    part_of: np.ndarray,
    *,
    tick_seconds: float,
    rate: float,
    reorders: bool,
) -> np.ndarray:
    """float64 (F,): when the frames are shown that come from these packets, in seconds from the first.

    ``rate`` (frames a second) is for frames without a stamp; ``reorders`` as in ``order_shown``.
    """
    packets = np.array([-1 if number is None else number for number in numbers], np.int64)
    ticks, decoding_ticks = as_ticks(notes.stamps), as_ticks(notes.decoding)
    if np.isnan(ticks[packets]).any() and not np.isnan(decoding_ticks[packets]).any():
        # A container that keeps the times of decoding alone: they are those of showing, in another order.
        ticks = decoding_ticks
    frame_ticks = np.where(packets < 0, np.nan, ticks[packets])
    if notes.container == "avi" and len(frame_ticks) == len(ticks) and not np.isnan(decoding_ticks).any():
        # The frames that a decoder holds back: the fewest with which each is decoded before it is shown.
        delay_frames = max(int((packets - np.arange(len(packets))).max()), int(reorders))
        frame_ticks = ticks_of_avi(decoding_ticks, delay_frames)
    frame_parts = np.maximum.accumulate(np.where(packets < 0, 0, part_of[packets]))
    return times_of_frames(frame_ticks, frame_parts, tick_seconds, rate)
