"""What packets tell before anything is decoded: when each is shown, and where decoding may begin afresh. Pure.

A *restart* is a packet after which no frame depends on anything before it. What a container flags as a key frame need
not be one (an open group of pictures, a writer that flags every packet), so the packet's first bytes decide.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Glance(NamedTuple):
    """What one packet's own bytes say.

    ``restart``: the standard lets decoding begin here. ``headers``: parameter sets that the container's own do not
    hold, and that later packets may need. ``hidden``: it shows no frame. ``layered``: it is above the lowest layer.
    ``bidirectional``: it is shown before the frame that was decoded before it; None where the bytes do not tell.
    """

    restart: bool = False
    headers: bytes = b""
    hidden: bool = False
    layered: bool = False
    bidirectional: bool | None = None


NOTHING = Glance()


def glance_for(codec: str, extradata: bytes | None) -> Callable[[memoryview], Glance] | None:
    """The reader of packets of a codec, by ffmpeg's name; None for one whose packets we do not read."""
    if codec == "mpeg4":
        return lambda data: _glance_mpeg4(bytes(data), extradata or b"")
    if codec not in _NAL_CODECS:
        return {"av1": _glance_av1, "vp8": _glance_vp8, "vp9": _glance_vp9}.get(codec)
    length_field, read = _NAL_CODECS[codec]
    # The first byte of avcC and hvcC is 1. Without one of them there are start codes in the place of lengths.
    if extradata is None or len(extradata) <= length_field or extradata[0] != 1:
        return None
    length_bytes = (extradata[length_field] & 3) + 1
    return lambda data: read(data, length_bytes, extradata)


def _glance_h264(data: memoryview, length_bytes: int, extradata: bytes) -> Glance:
    """ITU-T H.264, table 7-1: 5 is a slice of an IDR picture, 7 and 8 are parameter sets."""
    restart, headers = False, b""
    for start, end in _nal_units(data, length_bytes):
        kind = data[start] & 31
        if kind == 5:
            restart = True
        elif kind in (7, 8):
            headers += _unless_known(data[start:end], extradata)
    return Glance(restart=restart, headers=headers) if restart or headers else NOTHING


def _glance_hevc(data: memoryview, length_bytes: int, extradata: bytes) -> Glance:
    """ITU-T H.265, 7.3.1.2 and table 7-1: 16..21 are slices of pictures to begin at, 32..34 are parameter sets."""
    restart, headers, layered = False, b"", False
    for start, end in _nal_units(data, length_bytes):
        kind = data[start] >> 1 & 63
        restart |= 16 <= kind <= 21
        layered |= kind < 32 and (data[start] & 1, data[start + 1]) != (0, 1)
        if 32 <= kind <= 34:
            headers += _unless_known(data[start:end], extradata)
    return Glance(restart=restart, headers=headers, layered=layered)


_NAL_CODECS = {"h264": (4, _glance_h264), "hevc": (21, _glance_hevc)}


def _nal_units(data: memoryview, length_bytes: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the NAL units of a packet, each behind its length."""
    start, end = length_bytes, len(data)
    while start + 1 < end:
        stop = start + int.from_bytes(data[start - length_bytes : start], "big")
        yield start, stop
        start = stop + length_bytes


def _unless_known(unit: memoryview, extradata: bytes) -> bytes:
    content = bytes(unit)
    return b"" if content in extradata else content


_MPEG4_START, _MPEG4_PICTURE = b"\0\0\1", b"\0\0\1\xb6"
_MPEG4_LAYER_HEADERS = range(0x20, 0x30)
_MPEG4_NOT_CODED_BYTES = 16  # a picture that says no more than that it repeats the last one is shorter
# By coding type, the first two bits of a picture.
_MPEG4_PICTURES = tuple(Glance(restart=kind == 0, bidirectional=kind == 2) for kind in range(4))


def _glance_mpeg4(data: bytes, extradata: bytes) -> Glance:
    """ISO/IEC 14496-2, 6.3.5: coding type 0 is intra, 2 is bidirectional. Two pictures in one packet tell nothing."""
    start = data.find(_MPEG4_PICTURE)
    if (
        not 0 <= start < len(data) - 4
        or len(data) <= _MPEG4_NOT_CODED_BYTES
        or data.find(_MPEG4_PICTURE, start + 4) > 0
    ):
        return NOTHING
    glance = _MPEG4_PICTURES[data[start + 4] >> 6]
    return glance._replace(headers=_new_mpeg4_headers(data[:start], extradata)) if start else glance


def _new_mpeg4_headers(data: bytes, extradata: bytes) -> bytes:
    layers = [part for part in data.split(_MPEG4_START) if part and part[0] in _MPEG4_LAYER_HEADERS]
    return b"".join(part for part in layers if part not in extradata)


def _glance_vp8(data: memoryview) -> Glance:
    """RFC 6386, 9.1: bit 4 says whether the frame is shown."""
    return Glance(hidden=not data[0] >> 4 & 1)


def _glance_vp9(data: memoryview) -> Glance:
    """VP9 bitstream specification, 6.2: marker 2, a profile below 3, not a repeated frame, type 0 (key)."""
    return Glance(restart=data[0] >> 6 == 2 and data[0] & 0b110000 != 0b110000 and not data[0] & 0b1100)


_AV1_SEQUENCE_HEADER, _AV1_FRAMES = 1, (3, 6)


def _glance_av1(data: memoryview) -> Glance:
    """AV1 specification, 5.3 and 5.9.2: a sequence header, then a frame that is new, of type 0 (key), and shown."""
    has_sequence = False
    for kind, start in _av1_units(data):
        has_sequence |= kind == _AV1_SEQUENCE_HEADER
        if kind in _AV1_FRAMES:
            return Glance(restart=has_sequence and data[start] >> 4 == 0b0001)
    return NOTHING


def _av1_units(data: memoryview) -> Iterator[tuple[int, int]]:
    """(type, start of the content) of the units of a packet; each tells its own length, or is the last."""
    position = 0
    while position < len(data):
        header = data[position]
        position += 2 if header & 4 else 1
        length, shift, more = 0, 0, bool(header & 2)
        while more and position < len(data):
            length |= (data[position] & 127) << shift
            more, shift, position = bool(data[position] & 128), shift + 7, position + 1
        if position < len(data):
            yield header >> 3 & 15, position
        position = position + length if header & 2 else len(data)


def shown_places(glances: list[Glance]) -> list[int] | None:
    """When each packet is shown, counted from 0, where its bytes tell: ``I P B B P -> 0 3 1 2 4``.

    A bidirectional frame is shown at once; any other when the next such comes.
    """
    if any(glance.bidirectional is None for glance in glances):
        return None
    order, waiting = [], []
    for number, glance in enumerate(glances):
        if not glance.bidirectional:
            order += waiting
            waiting = [number]
        else:
            order.append(number)
    return np.argsort(order + waiting).tolist()


@dataclass(frozen=True, kw_only=True)
class PacketTable:
    """All packets of a video stream in the order of decoding, and its frames in the order shown.

    ``stamps``: int64 (P,), ascending in the order shown; None where frames can only be counted. ``shown``: bool (P,),
    false for what is only there to be decoded. ``restarts``: bool (P,), the first one true. ``frame_stamps``: int64
    (F,), ascending, or None. ``layered``: some frame may belong to a higher layer.
    """

    stamps: np.ndarray | None
    shown: np.ndarray
    restarts: np.ndarray
    frame_stamps: np.ndarray | None
    layered: bool

    @property
    def num_frames(self) -> int:
        return int(self.shown.sum())

    def number_of(self, stamp: int | None) -> int | None:
        """The place of the packet with this time, or None."""
        places = np.flatnonzero(self.stamps == stamp)
        return int(places[0]) if len(places) else None

    def packets_of_frames(self) -> np.ndarray:
        """int64 (F,): the packet of each frame."""
        packets = np.flatnonzero(self.shown)
        return packets[np.argsort(self.stamps[packets])]


def packet_table(stamps: list[int] | None, shown: list[bool], glances: list[Glance]) -> PacketTable:
    """A table out of what each packet said. ``glances`` is empty where nothing can be said."""
    is_shown, restarts = np.array(shown, bool), np.arange(len(shown)) == 0
    times = None if stamps is None or len(set(stamps)) < len(stamps) else np.array(stamps, np.int64)
    if times is not None and glances:
        restarts = _restarts(times, glances)
    return PacketTable(
        stamps=times,
        shown=is_shown,
        restarts=restarts,
        frame_stamps=None if times is None else np.sort(times[is_shown]),
        layered=not glances or any(glance.layered for glance in glances),
    )


def _restarts(stamps: np.ndarray, glances: list[Glance]) -> np.ndarray:
    """Packets that say so, and that part all that is shown before from all that is shown after.

    Where packets bring headers, a packet that does not cannot be begun at; where those differ, none can.
    """
    restarts = np.array([glance.restart for glance in glances], bool)
    headers = {glance.headers for glance in glances} - {b""}
    if headers:
        restarts &= np.array([glance.headers != b"" for glance in glances], bool) & (len(headers) == 1)
    latest_before = np.concatenate(([np.iinfo(np.int64).min], np.maximum.accumulate(stamps)[:-1]))
    earliest_after = np.minimum.accumulate(stamps[::-1])[::-1]
    restarts &= (latest_before < stamps) & (earliest_after == stamps)
    restarts[0] = True
    return restarts


@dataclass(frozen=True, kw_only=True)
class Run:
    """Packets ``first`` to ``last``, both included, that are decoded for some frames; ``wanted``: stamp -> index."""

    first: int
    last: int
    wanted: dict[int, int]


def runs(table: PacketTable, indices: list[int]) -> list[Run]:
    """The least that must be decoded for the frames of ascending ``indices``: from the restart before each to it."""
    packets = table.packets_of_frames()[indices]
    begins = np.flatnonzero(table.restarts)
    groups = np.searchsorted(begins, packets, side="right") - 1
    return [
        Run(
            first=int(begins[group]),
            last=int(packets[groups == group].max()),
            wanted={int(table.stamps[packets[at]]): indices[at] for at in np.flatnonzero(groups == group)},
        )
        for group in np.unique(groups)
    ]
