"""Find the order in which the packets of a stream are shown, and their times, from packets and container. Pure."""

from dataclasses import dataclass, field

import numpy as np

from preprocess.decode.packet_info import PacketInfo
from preprocess.decode.packets import frames_are_known, order_by_bytes, order_by_stamps
from preprocess.decode.timeline import as_ticks, parts, ticks_of_avi, times_of_frames

# Containers that store the time of each frame. Others, such as avi, store only the decoding order.
STAMPING_CONTAINERS = ("mov", "matroska", "mpegts", "flv")
# Codecs with reordered frames whose packets we parse.
_REORDERING_CODECS = ("h264", "hevc", "mpeg4")


@dataclass(kw_only=True)
class StreamNotes:
    """Notes about the packets of a stream, in decoding order. Each list has P entries.

    ``codec`` and ``container`` are ffmpeg's names. ``stamps`` and ``decoding``: when a packet is shown and decoded,
    in ticks, or None. ``discarded``: the container marks the packet as not shown. ``places``: (position in the file,
    bytes).
    """

    codec: str
    container: str
    packet_infos: list[PacketInfo] = field(default_factory=list)
    stamps: list[int | None] = field(default_factory=list)
    decoding: list[int | None] = field(default_factory=list)
    discarded: list[bool] = field(default_factory=list)
    places: list[tuple[int | None, int]] = field(default_factory=list)

    def parts(self, longest_pause_ticks: float | None) -> np.ndarray:
        """int64 (P,): the part of a joined stream that each packet belongs to."""
        return parts(as_ticks(self.decoding), longest_pause_ticks)

    def number_of(self, place: tuple[int | None, int], last: int) -> int | None:
        """The number of the packet at this place, among packets 0 to ``last``, or None."""
        return next((number for number in range(last, -1, -1) if self.places[number] == place), None)


def order_shown(notes: StreamNotes, part_of: np.ndarray, *, reorders: bool) -> np.ndarray | None:
    """Return int64 (P,), the packets in the order shown, or None if only decoding can determine it.

    ``reorders``: the codec's header allows frames that are shown before a frame that is decoded earlier.
    """
    if not frames_are_known(notes.packet_infos, notes.discarded):
        return None
    if notes.codec not in _REORDERING_CODECS:
        return np.arange(len(notes.packet_infos))
    if not notes.packet_infos[0].restart:
        return None  # the references of its first packets were cut off
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
    """Return float64 (F,), when the frames of these packets are shown, in seconds from the first.

    ``rate`` (frames a second) is used for frames without a time stamp. ``reorders`` as in ``order_shown``.
    """
    packets = np.array([-1 if number is None else number for number in numbers], np.int64)
    ticks, decoding_ticks = as_ticks(notes.stamps), as_ticks(notes.decoding)
    if np.isnan(ticks[packets]).any() and not np.isnan(decoding_ticks[packets]).any():
        # The container stores only decoding times. The times of showing are the same values in another order.
        ticks = decoding_ticks
    frame_ticks = np.where(packets < 0, np.nan, ticks[packets])
    if notes.container == "avi" and len(frame_ticks) == len(ticks) and not np.isnan(decoding_ticks).any():
        # The number of frames that the decoder delays: the fewest with which each frame is decoded before it is shown.
        delay_frames = max(int((packets - np.arange(len(packets))).max()), int(reorders))
        frame_ticks = ticks_of_avi(decoding_ticks, delay_frames)
    frame_parts = np.maximum.accumulate(np.where(packets < 0, 0, part_of[packets]))
    return times_of_frames(frame_ticks, frame_parts, tick_seconds, rate)
