"""The eight orientations of a picture, from the display matrix of a container or stream. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """How to show a stored picture: transpose it, then mirror it left to right, then turn it upside down."""

    transposes: bool = False
    mirrors: bool = False
    flips: bool = False

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """Apply it to (H, W, ...). Returns a view of (H, W, ...), or of (W, H, ...) if it transposes."""
        turned = frame.swapaxes(0, 1) if self.transposes else frame
        return turned[:: -1 if self.flips else 1, :: -1 if self.mirrors else 1]


UPRIGHT = Orientation()


def orientation_of_matrix(matrix: Sequence[int]) -> Orientation:
    """Return the orientation nearest to a matrix of nine numbers, given row by row.

    A stored point (p, q) is shown at (a p + c q + x, b p + d q + y), for the rows (a b u), (c d v), (x y w) (ISO/IEC
    14496-12, 6.2.2; libavutil/display.h). A matrix of zeros means upright.

    ``0 1 0 / -1 0 0 / ...`` is a quarter turn clockwise: transposed, then mirrored.
    """
    a, b, _, c, d = matrix[:5]
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transposes=True, mirrors=c < 0, flips=b < 0)
    return Orientation(mirrors=a < 0, flips=d < 0)
