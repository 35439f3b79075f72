"""Parse the fields of H.264 and HEVC headers that determine what a packet shows, and when. Pure."""

from dataclasses import dataclass

# Profiles whose sequence parameter sets tell the chroma format (ITU-T H.264, 7.3.2.1.1).
_HIGH_PROFILES = (100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135)


class BitReader:
    """The bits of a NAL unit, without emulation prevention bytes. Raises IndexError at the end."""

    def __init__(self, unit: bytes):
        self._bits = "".join(map(_BYTES.__getitem__, unit.replace(b"\0\0\3", b"\0\0")))
        self._position = 0

    def u(self, count: int) -> int:
        """Read ``count`` bits as a number."""
        end = self._position + count
        if end > len(self._bits):
            raise IndexError(f"bit {end} of {len(self._bits)}")
        value = int(self._bits[self._position : end] or "0", 2)
        self._position = end
        return value

    def ue(self) -> int:
        """Read an Exp-Golomb code (9.1): ``1 -> 0, 010 -> 1, 011 -> 2``."""
        zeros = self._bits.find("1", self._position) - self._position
        if zeros < 0:
            raise IndexError("no 1 is left")
        self._position += zeros
        return self.u(zeros + 1) - 1

    def se(self) -> int:
        """Read a signed Exp-Golomb code (9.1.1)."""
        value = self.ue()
        return (value + 1) // 2 if value % 2 else -(value // 2)


_BYTES = tuple(f"{byte:08b}" for byte in range(256))


@dataclass(frozen=True, kw_only=True)
class _Sequence:
    """A sequence parameter set of H.264. ``order_bits``: the length of pic_order_cnt_lsb, or None."""

    frame_number_bits: int
    frames_only: bool
    colour_planes: bool
    order_bits: int | None
    shown_as_decoded: bool


class H264Headers:
    """What the sequence parameter sets of a stream allow, and what a slice says about its picture."""

    def __init__(self, extradata: bytes, *, has_lengths: bool):
        self._sequences: set[_Sequence] = set()
        self._seen: set[bytes] = set()
        self._group = self._last_order = self._count = 0
        self._is_readable = True
        units = _units_in_avcc(extradata) if has_lengths else _units_after_start_codes(extradata)
        for unit in units:
            if unit[0] & 31 == 7:
                self.add(unit)

    @property
    def may_have_fields(self) -> bool:
        """Whether a packet may hold a single field. True also where no parameter set was understood."""
        return not self._is_readable or not self._sequences or any(not found.frames_only for found in self._sequences)

    def add(self, unit: bytes) -> None:
        """Take a sequence parameter set in."""
        if unit in self._seen:
            return
        self._seen.add(unit)
        try:
            self._sequences.add(_read_sequence(BitReader(unit)))
        except IndexError:
            self._is_readable = False

    def read_slice(self, unit: bytes) -> tuple[bool, tuple[int, int] | None]:
        """(it belongs to a whole frame, its place in the order shown or None) of a picture's first slice (7.3.3)."""
        if not self._is_readable or len(self._sequences) != 1:
            return False, None
        (sequence,) = self._sequences
        try:
            return self._read_slice(BitReader(unit), unit[0], sequence)
        except IndexError:
            return False, None

    def _read_slice(self, bits: BitReader, first_byte: int, sequence: _Sequence) -> tuple[bool, tuple[int, int] | None]:
        bits.u(8)
        bits.ue(), bits.ue(), bits.ue()  # first macroblock, type, picture parameter set
        bits.u(2 if sequence.colour_planes else 0)
        bits.u(sequence.frame_number_bits)
        if not sequence.frames_only and bits.u(1):
            return False, None
        is_idr = first_byte & 31 == 5
        if is_idr:
            bits.ue()
        return True, self._order(bits, sequence, is_idr, is_reference=bool(first_byte & 0b1100000))

    def _order(self, bits: BitReader, sequence: _Sequence, is_idr: bool, is_reference: bool) -> tuple[int, int] | None:
        """(which group that begins with an IDR picture, the picture order count in it) (8.2.1)."""
        self._count += 1
        if is_idr:
            self._group, self._last_order = self._count, 0
        if sequence.shown_as_decoded:
            return self._group, self._count
        if sequence.order_bits is None:
            return None
        # Of all numbers with these low bits, the one nearest to the number of the last reference.
        whole = 1 << sequence.order_bits
        order = bits.u(sequence.order_bits)
        order += (self._last_order - order + whole // 2) // whole * whole
        if is_reference:
            self._last_order = order
        return self._group, order


def _read_sequence(bits: BitReader) -> _Sequence:
    """ITU-T H.264, 7.3.2.1.1, up to frame_mbs_only_flag."""
    bits.u(8)
    profile = bits.u(8)
    bits.u(16)
    bits.ue()
    colour_planes = _skip_high_profile(bits) if profile in _HIGH_PROFILES else False
    frame_number_bits = bits.ue() + 4
    order_type = bits.ue()
    order_bits = None
    if order_type == 0:
        order_bits = bits.ue() + 4
    elif order_type == 1:
        bits.u(1)
        bits.se(), bits.se()
        for _ in range(bits.ue()):
            bits.se()
    bits.ue(), bits.u(1), bits.ue(), bits.ue()  # references, gaps in frame numbers, width, height
    return _Sequence(
        frame_number_bits=frame_number_bits,
        frames_only=bool(bits.u(1)),
        colour_planes=colour_planes,
        order_bits=order_bits,
        shown_as_decoded=order_type == 2,
    )


def _skip_high_profile(bits: BitReader) -> bool:
    """Skip chroma format, depths and scaling lists. Returns whether the colour planes are coded separately."""
    chroma = bits.ue()
    colour_planes = bool(bits.u(1)) if chroma == 3 else False
    bits.ue(), bits.ue(), bits.u(1)
    if bits.u(1):
        for number in range(12 if chroma == 3 else 8):
            if bits.u(1):
                _skip_scaling_list(bits, 16 if number < 6 else 64)
    return colour_planes


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


class HevcHeaders:
    """Whether a stream may contain pictures that are not shown: ``may_hide`` (pic_output_flag, 7.3.2.3.1)."""

    def __init__(self, extradata: bytes, *, has_lengths: bool):
        self.may_hide = False
        self._seen: set[bytes] = set()
        for unit in _units_in_hvcc(extradata) if has_lengths else _units_after_start_codes(extradata):
            self.add(unit)

    def add(self, unit: bytes) -> None:
        """Take a picture parameter set (34) in; other units say nothing of it."""
        if unit[0] >> 1 & 63 != 34 or unit in self._seen:
            return
        self._seen.add(unit)
        bits = BitReader(unit)
        try:
            bits.u(16)
            bits.ue(), bits.ue(), bits.u(1)
            self.may_hide |= bool(bits.u(1))
        except IndexError:
            self.may_hide = True


def _units_after_start_codes(extradata: bytes) -> list[bytes]:
    return [unit for part in extradata.split(b"\0\0\1")[1:] if (unit := part.rstrip(b"\0"))]


def _units_in_avcc(extradata: bytes) -> list[bytes]:
    """The sequence parameter sets (ISO/IEC 14496-15, 5.3.3.1)."""
    return _units_behind_lengths(extradata, 6, extradata[5] & 31)[0]


def _units_in_hvcc(extradata: bytes) -> list[bytes]:
    """All units, array by array (ISO/IEC 14496-15, 8.3.3.1)."""
    units, position = [], 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[position + 1 : position + 3], "big")
        found, position = _units_behind_lengths(extradata, position + 3, count)
        units += found
    return units


def _units_behind_lengths(extradata: bytes, position: int, count: int) -> tuple[list[bytes], int]:
    """(units of at least two bytes, where the last one ends)."""
    units = []
    for _ in range(count):
        length = int.from_bytes(extradata[position : position + 2], "big")
        units.append(extradata[position + 2 : position + 2 + length])
        position += 2 + length
    return [unit for unit in units if len(unit) > 1], position
