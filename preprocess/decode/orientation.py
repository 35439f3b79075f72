"""The eight ways in which a picture can lie, out of the display matrix that a container or a stream gives. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Orientation:
    """What is done to a stored picture to show it: first transposed, then mirrored left to right, then upside down."""

    transposes: bool = False
    mirrors: bool = False
    flips: bool = False

    def apply(self, frame: np.ndarray) -> np.ndarray:
        """(H, W, ...) -> (H, W, ...), or (W, H, ...) where it transposes: a view."""
        turned = frame.swapaxes(0, 1) if self.transposes else frame
        return turned[:: -1 if self.flips else 1, :: -1 if self.mirrors else 1]


UPRIGHT = Orientation()


def orientation_of_matrix(matrix: Sequence[int]) -> Orientation:
    """The nearest of the eight orientations to a matrix of nine numbers, row by row.

    A stored point (p, q) is shown at (a p + c q + x, b p + d q + y), for the rows (a b u), (c d v), (x y w) (ISO/IEC
    14496-12, 6.2.2; libavutil/display.h). A matrix of zeros says nothing.

    ``0 1 0 / -1 0 0 / ...`` -> a quarter turn clockwise: transposed, then mirrored.
    """
    a, b, _, c, d = matrix[:5]
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Orientation(transposes=True, mirrors=c < 0, flips=b < 0)
    return Orientation(mirrors=a < 0, flips=d < 0)
