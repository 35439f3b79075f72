"""Parse the bytes of a packet before decoding: how many frames it shows, and whether decoding may start there. Pure.

A packet is not always one frame. The two fields of a frame, a hidden frame that others refer to, and a leading
picture whose references were cut off are packets too. Each parser keeps the headers that it has seen.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from preprocess.decode.headers import H264Headers, HevcHeaders


class PacketInfo(NamedTuple):
    """What the bytes of one packet say.

    ``frames``: the number of frames that it shows, 0 or 1; None if only decoding can tell. ``restart``: the standard
    allows decoding to start here. ``headers``: parameter sets that the container's own lack, and that later packets
    may need. ``layered``: it is above the lowest layer. ``bidirectional``: it is shown before the frame decoded
    before it; None if the bytes do not tell. ``order``: a sort key for the order shown, or None.
    """

    frames: int | None = 1
    restart: bool = False
    headers: bytes = b""
    layered: bool = False
    bidirectional: bool | None = None
    order: tuple[int, int] | None = None


# For a packet whose bytes are not parsed, or not understood.
UNKNOWN = PacketInfo(frames=None)
_PLAIN, _HIDDEN, _RESTART = PacketInfo(), PacketInfo(frames=0), PacketInfo(restart=True)
PacketParser = Callable[[memoryview], PacketInfo]

# Codecs with one complete frame in every packet. jpeg2000 is not here: its packets may have two fields.
_INTRA_CODECS = frozenset(
    (
        "mjpeg",
        "prores",
        "dnxhd",
        "dvvideo",
        "huffyuv",
        "ffvhuff",
        "utvideo",
        "rawvideo",
        "png",
        "magicyuv",
        "cfhd",
        "hap",
    )
)


def packet_parser(codec: str, extradata: bytes | None, *, read_order: bool = False) -> PacketParser | None:
    """Return the parser for a codec, by ffmpeg's name, or None for a codec whose packets are not parsed.

    ``read_order`` asks for ``PacketInfo.order``, which takes longer. Only H.264 has it.
    """
    extradata = extradata or b""
    if codec in _INTRA_CODECS:
        return lambda data: _RESTART
    if codec == "mpeg4":
        return lambda data: _parse_mpeg4(bytes(data), extradata)
    if codec == "h264":
        return _H264Reader(extradata, read_order)
    if codec == "hevc":
        return _HevcReader(extradata)
    return {"av1": _parse_av1, "vp8": _parse_vp8, "vp9": _parse_vp9}.get(codec)


class _H264Reader:
    """ITU-T H.264, table 7-1: 1 and 2 are slices, 5 is one of an IDR picture, 7 and 8 are parameter sets."""

    def __init__(self, extradata: bytes, read_order: bool):
        self._extradata = extradata
        self._length_bytes = _length_bytes(extradata, length_field=4)
        self._headers = H264Headers(extradata, has_lengths=self._length_bytes > 0)
        self._read_order = read_order

    def __call__(self, data: memoryview) -> PacketInfo:
        pictures, restart, headers, first_slice = 0, False, b"", None
        for start, end in nal_units(data, self._length_bytes):
            kind = data[start] & 31
            if kind in (1, 2, 5):
                restart |= kind == 5
                if data[start + 1] & 128:  # first_mb_in_slice is 0
                    pictures += 1
                    first_slice = bytes(data[start : start + 24])
            elif kind in (7, 8):
                headers += _unless_known(data[start:end], self._extradata)
                if kind == 7:
                    self._headers.add(bytes(data[start:end]))
        if pictures != 1:
            return UNKNOWN._replace(restart=restart, headers=headers)
        if self._headers.may_have_fields or self._read_order:
            is_frame, order = self._headers.read_slice(first_slice)
            return PacketInfo(frames=1 if is_frame else None, restart=restart, headers=headers, order=order)
        return PacketInfo(restart=restart, headers=headers) if headers else _RESTART if restart else _PLAIN


class _HevcReader:
    """ITU-T H.265, 7.3.1.2 and table 7-1: 16..21 are slices of pictures to begin at, 8 and 9 are RASL pictures.

    A RASL picture refers to what stands before the picture to begin at: after the first one of a stream, and after a
    BLA picture (16..18), it is not shown (8.1.3). The same holds after the end of a sequence (36, 37), where we decode
    to count.
    """

    def __init__(self, extradata: bytes):
        self._extradata = extradata
        self._length_bytes = _length_bytes(extradata, length_field=21)
        self._headers = HevcHeaders(extradata, has_lengths=self._length_bytes > 0)
        self._begun = self._hides_leading = self._has_ended = False

    def __call__(self, data: memoryview) -> PacketInfo:
        kinds, headers, layered, has_ended = [], b"", False, False
        for start, end in nal_units(data, self._length_bytes):
            kind = data[start] >> 1 & 63
            if kind < 32:
                layered |= (data[start] & 1, data[start + 1]) != (0, 1)
                is_lowest = not data[start] & 1 and data[start + 1] < 8
                if is_lowest and start + 2 < len(data) and data[start + 2] & 128:  # the first slice of a picture
                    kinds.append(kind)
            elif kind <= 34:
                headers += _unless_known(data[start:end], self._extradata)
                self._headers.add(bytes(data[start:end]))
            elif kind in (36, 37):
                has_ended = True
        frames = self._frames(kinds)
        self._has_ended |= has_ended
        return PacketInfo(frames=frames, restart=any(16 <= k <= 21 for k in kinds), headers=headers, layered=layered)

    def _frames(self, kinds: list[int]) -> int | None:
        if len(kinds) != 1 or self._headers.may_hide or self._has_ended:
            return None
        if 16 <= kinds[0] <= 21:
            self._hides_leading = not self._begun or kinds[0] <= 18
            self._begun = True
        if not self._begun:
            return None
        return 0 if kinds[0] in (8, 9) and self._hides_leading else 1


def _length_bytes(extradata: bytes, *, length_field: int) -> int:
    """The size of the length field before each unit: avcC and hvcC start with 1. 0 means start codes (Annex B)."""
    if len(extradata) <= length_field or extradata[0] != 1:
        return 0
    return (extradata[length_field] & 3) + 1


def nal_units(data: memoryview, length_bytes: int) -> Iterator[tuple[int, int]]:
    """(start, end) of the NAL units of a packet that have at least two bytes, after lengths or start codes."""
    if not length_bytes:
        yield from _units_after_start_codes(bytes(data))
        return
    start, end = length_bytes, len(data)
    while start + 1 < end:
        stop = start + int.from_bytes(data[start - length_bytes : start], "big")
        yield start, stop
        start = stop + length_bytes


_START_CODE = b"\0\0\1"


def _units_after_start_codes(data: bytes) -> Iterator[tuple[int, int]]:
    start = data.find(_START_CODE) + 3
    while start >= 3 and start + 1 < len(data):
        following = data.find(_START_CODE, start)
        stop = len(data) if following < 0 else following
        while stop > start and data[stop - 1] == 0:  # start codes may have an additional zero, and zeros may trail
            stop -= 1
        if stop - start > 1:
            yield start, stop
        start = following + 3


def _unless_known(unit: memoryview, extradata: bytes) -> bytes:
    content = bytes(unit)
    return b"" if content in extradata else content


_MPEG4_PICTURE = b"\0\0\1\xb6"
_MPEG4_LAYER_HEADERS = range(0x20, 0x30)
_MPEG4_NOT_CODED_BYTES = 16  # a picture that only repeats the last one is shorter
# By coding type, which is the first two bits of a picture.
_MPEG4_PICTURES = tuple(PacketInfo(restart=kind == 0, bidirectional=kind == 2) for kind in range(4))


def _parse_mpeg4(data: bytes, extradata: bytes) -> PacketInfo:
    """ISO/IEC 14496-2, 6.3.5: coding type 0 is intra, 2 is bidirectional. Two pictures in a packet cannot be told
    apart.
    """
    start = data.find(_MPEG4_PICTURE)
    if (
        not 0 <= start < len(data) - 4
        or len(data) <= _MPEG4_NOT_CODED_BYTES
        or data.find(_MPEG4_PICTURE, start + 4) > 0
    ):
        return UNKNOWN
    info = _MPEG4_PICTURES[data[start + 4] >> 6]
    return info._replace(headers=_new_mpeg4_headers(data[:start], extradata)) if start else info


def _new_mpeg4_headers(data: bytes, extradata: bytes) -> bytes:
    layers = [part for part in data.split(_START_CODE) if part and part[0] in _MPEG4_LAYER_HEADERS]
    return b"".join(part for part in layers if part not in extradata)


def _parse_vp8(data: memoryview) -> PacketInfo:
    """RFC 6386, 9.1: bit 0 is 0 for a key frame, bit 4 says whether the frame is shown."""
    return _PLAIN if data[0] >> 4 & 1 else _HIDDEN


def _parse_vp9(data: memoryview) -> PacketInfo:
    """VP9 bitstream specification, 6.2 and annex B: each frame starts with the marker 2; at most one is shown."""
    starts = _vp9_frames(data)
    if any(data[start] >> 6 != 2 for start in starts):
        return UNKNOWN
    shown = sum(_vp9_is_shown(data[start]) for start in starts)
    if shown > 1:
        return UNKNOWN
    # A profile below 3, not a repeated frame, type 0 (key).
    restart = data[0] & 0b110000 != 0b110000 and not data[0] & 0b1100
    return _RESTART if restart and shown else PacketInfo(frames=shown, restart=restart)


def _vp9_frames(data: memoryview) -> list[int]:
    """The start of each frame in a packet. An index at the end of the packet holds their sizes (annex B)."""
    marker = data[-1]
    count, size_bytes = (marker & 7) + 1, (marker >> 3 & 3) + 1
    index_bytes = 2 + count * size_bytes
    if marker >> 5 != 0b110 or len(data) <= index_bytes or data[-index_bytes] != marker:
        return [0]
    sizes = bytes(data[-index_bytes + 1 : -1])
    starts, position = [], 0
    for number in range(count):
        size = int.from_bytes(sizes[number * size_bytes : (number + 1) * size_bytes], "little")
        if size and position < len(data):
            starts.append(position)
        position += size
    return starts


def _vp9_is_shown(first_byte: int) -> bool:
    """Fields: marker (2 bits), profile (2 bits, 3 for profile 3), show_existing_frame, type, show_frame."""
    bits = first_byte << 1 if first_byte & 0b110000 == 0b110000 else first_byte
    return bool(bits & 0b1000 or bits & 0b10)


_AV1_SEQUENCE_HEADER, _AV1_FRAMES = 1, (3, 6)


def _parse_av1(data: memoryview) -> PacketInfo:
    """AV1 specification, 5.3 and 5.9.2: a restart is a sequence header and a new, shown frame of type 0 (key)."""
    has_sequence, is_first, restart, shown = False, True, False, 0
    for kind, start, is_layered in _av1_units(data):
        # A layer above the lowest, or the reduced header of a still picture.
        if is_layered or (kind == _AV1_SEQUENCE_HEADER and data[start] & 0b1000):
            return UNKNOWN
        has_sequence |= kind == _AV1_SEQUENCE_HEADER
        if kind in _AV1_FRAMES:
            first_byte = data[start]
            restart |= is_first and has_sequence and first_byte >> 4 == 0b0001
            is_first = False
            shown += bool(first_byte & 0b10000000 or first_byte & 0b10000)
    return PacketInfo(frames=shown if shown < 2 else None, restart=restart)


def _av1_units(data: memoryview) -> Iterator[tuple[int, int, bool]]:
    """(type, start of the content, whether in a spatial layer) of the units. A unit has its length, or is the last."""
    position = 0
    while position < len(data):
        header = data[position]
        is_layered = bool(header & 4) and position + 1 < len(data) and bool(data[position + 1] >> 3 & 3)
        position += 2 if header & 4 else 1
        length, shift, more = 0, 0, bool(header & 2)
        while more and position < len(data):
            length |= (data[position] & 127) << shift
            more, shift, position = bool(data[position] & 128), shift + 7, position + 1
        if position < len(data):
            yield header >> 3 & 15, position, is_layered
        position = position + length if header & 2 else len(data)
