"""Find out which packets show which frames, and which packets must be decoded for given frames. Pure.

A *restart* is a packet after which no frame depends on anything before it. A container may flag packets as key frames
that are no restarts (an open group of pictures, or a writer that flags every packet). So the packet's first bytes
decide.
"""

from dataclasses import dataclass

import numpy as np

from preprocess.decode.packet_info import PacketInfo


@dataclass(frozen=True, kw_only=True)
class PacketTable:
    """All packets of a video stream in decoding order, and its frames in the order shown.

    ``packets``: int64 (F,), the packet of each frame; None if frames can only be counted. ``num_frames``: F.
    ``restarts``: bool (P,); the first one is true. ``layered``: some frame may belong to a higher layer.
    ``one_each``: every shown packet is one complete frame.
    """

    packets: np.ndarray | None
    num_frames: int
    restarts: np.ndarray
    layered: bool
    one_each: bool


def frames_are_known(packet_infos: list[PacketInfo], discarded: list[bool]) -> bool:
    """Whether the bytes of each packet that is not discarded say if it shows a frame."""
    return not any(info.frames is None and not is_discarded for info, is_discarded in zip(packet_infos, discarded))


def order_by_stamps(
    stamps: np.ndarray, decoding: np.ndarray, part_of: np.ndarray, packet_infos: list[PacketInfo], *, reorders: bool
) -> np.ndarray | None:
    """Return int64 (P,), the packets in the order shown by their time stamps (float), part by part.

    None if the stamps cannot be right: one is missing, repeats within a part, or is before its decoding time; frames
    are reordered (``reorders``) but the stamps are not, or the reverse; or a part starts with a packet that decoding
    cannot start with.
    """
    steps = np.diff(stamps)
    begins = np.diff(part_of) > 0
    if np.isnan(stamps).any() or (stamps < decoding).any():
        return None
    if not all(packet_infos[number + 1].restart for number in np.flatnonzero(begins)):
        return None
    is_sorted = bool(((steps >= 0) | begins).all())
    if reorders == is_sorted and len(stamps) > 1:
        return None
    order = np.lexsort((stamps, part_of))
    is_twice = (np.diff(stamps[order]) == 0) & (np.diff(part_of[order]) == 0)
    return None if reorders and is_twice.any() else order


def order_by_bytes(packet_infos: list[PacketInfo]) -> np.ndarray | None:
    """Return int64 (P,), the packets in the order shown, from their bytes: ``I P B B P -> 0 2 3 1 4``.

    A bidirectional frame is shown at once. Any other frame is shown when the next such frame arrives.
    """
    if all(info.order is not None for info in packet_infos):
        return np.array(sorted(range(len(packet_infos)), key=lambda number: packet_infos[number].order), np.int64)
    if any(info.bidirectional is None for info in packet_infos):
        return None
    order, waiting = [], []
    for number, info in enumerate(packet_infos):
        if not info.bidirectional:
            order += waiting
            waiting = [number]
        else:
            order.append(number)
    return np.array(order + waiting, np.int64)


def table_from_headers(order: np.ndarray, packet_infos: list[PacketInfo], discarded: list[bool]) -> PacketTable:
    """Make the table from packets in the order shown whose bytes say what they show."""
    is_shown = ~np.array(discarded, bool) & np.array([info.frames == 1 for info in packet_infos])
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    packets = order[is_shown[order]]
    return PacketTable(
        packets=packets,
        num_frames=len(packets),
        restarts=_restarts(places, packet_infos),
        layered=any(info.layered for info in packet_infos),
        one_each=True,
    )


def counted_table(numbers: list[int | None], packet_infos: list[PacketInfo]) -> PacketTable:
    """Make the table of a stream that was decoded. ``numbers`` are the packets of its frames, in the order shown."""
    restarts = np.arange(len(packet_infos)) == 0
    if None in numbers or len(set(numbers)) < len(numbers):
        return PacketTable(packets=None, num_frames=len(numbers), restarts=restarts, layered=True, one_each=False)
    packets = np.array(numbers, np.int64)
    places = np.full(len(packet_infos), -1, np.int64)
    places[packets] = np.arange(len(packets))
    return PacketTable(
        packets=packets, num_frames=len(packets), restarts=_restarts(places, packet_infos), layered=True, one_each=False
    )


def _restarts(places: np.ndarray, packet_infos: list[PacketInfo]) -> np.ndarray:
    """Find the packets that are restarts and that separate everything shown before from everything shown after.

    ``places``: the place of each packet in the order shown; -1 if no frame came from it. If some packets bring
    headers, decoding cannot start at a packet without headers. If the headers differ, there is no restart.
    """
    restarts = np.array([info.restart for info in packet_infos], bool)
    headers = {info.headers for info in packet_infos} - {b""}
    if headers:
        restarts &= np.array([info.headers != b"" for info in packet_infos], bool) & (len(headers) == 1)
    latest_before = np.concatenate(([-1], np.maximum.accumulate(places)[:-1]))
    earliest_after = np.minimum.accumulate(np.where(places < 0, len(places), places)[::-1])[::-1]
    restarts &= (latest_before < places) & (earliest_after == places)
    restarts[0] = True
    return restarts


@dataclass(frozen=True, kw_only=True)
class Run:
    """Packets ``first`` to ``last`` (inclusive), to decode for some frames. ``wanted``: packet -> frame index."""

    first: int
    last: int
    wanted: dict[int, int]


def runs(table: PacketTable, indices: list[int]) -> list[Run]:
    """Return the fewest packets to decode for the frames of ascending ``indices``: from the restart before each
    frame.
    """
    packets = table.packets[indices]
    begins = np.flatnonzero(table.restarts)
    groups = np.searchsorted(begins, packets, side="right") - 1
    ends = packets if table.one_each else _ends(table, packets)
    return [
        Run(
            first=int(begins[group]),
            last=int(ends[groups == group].max()),
            wanted={int(packets[at]): indices[at] for at in np.flatnonzero(groups == group)},
        )
        for group in np.unique(groups)
    ]


def _ends(table: PacketTable, packets: np.ndarray) -> np.ndarray:
    """The last packet before the next frame's packet. A packet without a frame may hold the second field of a frame."""
    known = np.sort(table.packets)
    return np.append(known, len(table.restarts))[np.searchsorted(known, packets, side="right")] - 1
