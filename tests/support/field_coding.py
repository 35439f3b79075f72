"""A writer of H.264 whose frames are two fields, each a picture of its own (PAFF), which libx264 does not write.

All macroblocks are stored as they are (I_PCM), so that no prediction is needed: ITU-T H.264, 7.3.
"""

from pathlib import Path

import numpy as np

_MACROBLOCK = 16
_FRAME_NUMBER_BITS = _ORDER_BITS = 8
_IDR, _SLICE, _SEQUENCE, _PICTURE = 5, 1, 7, 8
_I_SLICE, _I_PCM = 7, 25


class _Bits:
    def __init__(self):
        self._bits: list[str] = []

    def u(self, value: int, count: int) -> "_Bits":
        self._bits.append(f"{value:0{count}b}")
        return self

    def ue(self, *values: int) -> "_Bits":
        """Exp-Golomb codes (9.1)."""
        for value in values:
            code = f"{value + 1:b}"
            self._bits.append("0" * (len(code) - 1) + code)
        return self

    def align(self) -> "_Bits":
        self._bits.append("0" * (-len("".join(self._bits)) % 8))
        return self

    def raw(self, content: bytes) -> "_Bits":
        return self.u(int.from_bytes(content, "big"), 8 * len(content))

    def unit(self, kind: int, *, is_reference: bool = True) -> bytes:
        """The NAL unit behind its start code, with the bytes that keep start codes out of it (7.4.1)."""
        bits = "".join(self._bits) + "1"
        bits += "0" * (-len(bits) % 8)
        content = bytes([kind | 0b1100000 * is_reference])
        for byte in int(bits, 2).to_bytes(len(bits) // 8, "big"):
            content += b"\3" if content[-2:] == b"\0\0" and byte <= 3 else b""
            content += bytes([byte])
        return b"\0\0\0\1" + content


def write_fields(path: Path, luma: np.ndarray, *, shown: list[int] | None = None, group: int = 10) -> Path:
    """Annex B file of uint8 (T, H, W) grey frames, sizes multiples of 32.

    ``shown``: frame numbers in the order of decoding, all when None; every ``group`` frames begin with an IDR picture,
    and the order is kept within a group. Frames that are shown before the one decoded before them are no references.
    """
    count, height, width = luma.shape
    units = [_sequence(width, height), _picture()]
    frame_number = 0
    shown = list(range(count)) if shown is None else shown
    for position, number in enumerate(shown):
        is_idr = number % group == 0
        is_reference = is_idr or number > max(shown[:position])
        frame_number = 0 if is_idr else frame_number % (1 << _FRAME_NUMBER_BITS)
        for bottom in (0, 1):
            units.append(
                _field(
                    luma[number, bottom::2],
                    bottom=bottom,
                    is_idr=is_idr and not bottom,
                    is_reference=is_reference,
                    frame_number=frame_number,
                    order=2 * (number % group) + bottom,
                )
            )
        frame_number += is_reference
    path.write_bytes(b"".join(units))
    return path


def _sequence(width: int, height: int) -> bytes:
    """7.3.2.1.1: main profile, order type 0, fields allowed."""
    bits = _Bits().u(77, 8).u(0, 8).u(40, 8).ue(0)
    bits.ue(_FRAME_NUMBER_BITS - 4, 0, _ORDER_BITS - 4).ue(2).u(0, 1)
    bits.ue(width // _MACROBLOCK - 1, height // (2 * _MACROBLOCK) - 1)
    bits.u(0, 1).u(0, 1).u(1, 1).u(0, 1)  # not frames alone, no adaptive frames, direct inference, no cropping
    # VUI: nothing but that two frames at most wait for their turn.
    bits.u(1, 1).u(0, 8).u(1, 1).u(1, 1).ue(0, 0, 10, 10, 1, 2)
    return bits.unit(_SEQUENCE)


def _picture() -> bytes:
    """7.3.2.2: CAVLC, no bottom_field_pic_order_in_frame, no deblocking control."""
    bits = _Bits().ue(0, 0).u(0, 1).u(0, 1).ue(0).ue(0, 0).u(0, 1).u(0, 2).ue(0, 0, 0)
    return bits.u(0, 1).u(0, 1).u(0, 1).unit(_PICTURE)


def _field(luma: np.ndarray, *, bottom: int, is_idr: bool, is_reference: bool, frame_number: int, order: int) -> bytes:
    """7.3.3 and 7.3.5: one slice of macroblocks that are stored as they are, grey ones."""
    bits = _Bits().ue(0, _I_SLICE, 0).u(frame_number, _FRAME_NUMBER_BITS).u(1, 1).u(bottom, 1)
    if is_idr:
        bits.ue(0)
    bits.u(order, _ORDER_BITS)
    if is_idr:
        bits.u(0, 2)
    elif is_reference:
        bits.u(0, 1)
    bits.ue(0)  # slice_qp_delta, 0
    for top in range(0, luma.shape[0], _MACROBLOCK):
        for left in range(0, luma.shape[1], _MACROBLOCK):
            block = luma[top : top + _MACROBLOCK, left : left + _MACROBLOCK].tobytes()
            bits.ue(_I_PCM).align().raw(block + b"\x80" * (_MACROBLOCK * _MACROBLOCK // 2))
    return bits.unit(_IDR if is_idr else _SLICE, is_reference=is_reference)
