"""Chooses pixels: boxes in the source frame, which are scaled to square tiles later. Pure.

Boxes are in whole source pixels. So a tile is a single resampling of the original frame, and one box serves tiles of
every size.
"""

from dataclasses import dataclass

import numpy as np

TRAIN_CROPS = ("multiscale", "short_side", "center")
TEST_CROP_COUNTS = (1, 3, 5, 10)
# Fractions of the short side; a crop's width and height are at most one step apart (Wang et al. 2016; SIFAR 4.1).
MULTISCALE = (1.0, 0.875, 0.75, 0.66)
# The short side is resized to a random length in this range, then a square of 224 is cut.
SHORT_SIDE_RANGE = (256, 320)
SHORT_SIDE_CROP = 224
# Left and top of a multi-scale crop, in quarters of the free space: the corners, the middles of the sides, the center,
# and the points half-way between the center and the corners.
_OFFSETS_IN_QUARTERS = (
    *((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)),
    *((0, 2), (4, 2), (2, 4), (2, 0)),
    *((1, 1), (3, 1), (1, 3), (3, 3)),
)


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A box in whole source pixels, and whether it is mirrored left to right."""

    left: int
    top: int
    width: int
    height: int
    flip: bool = False

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom)."""
        return self.left, self.top, self.left + self.width, self.top + self.height


def crop_for_training(width: int, height: int, recipe: str, *, flip: bool, rng: np.random.Generator) -> Crop:
    """The crop of one training view, the same for all its frames. With ``flip``, half of the crops are mirrored.

    ``multiscale``: SIFAR 4.1 and its code: two of the four scales, at most one step apart, at one of 13 fixed places.
    ``short_side``: short side in [256, 320], a square of 224 at a random place. ``center``: the largest central square.
    """
    if recipe not in TRAIN_CROPS:
        raise ValueError(f"crop={recipe!r}: must be one of {', '.join(TRAIN_CROPS)}")
    mirrored = bool(rng.random() < 0.5) and flip
    if recipe == "multiscale":
        return _multiscale(width, height, mirrored, rng)
    if recipe == "short_side":
        return _short_side(width, height, mirrored, rng)
    return _square(width, height, 1.0, (0.5, 0.5), mirrored)


def _multiscale(width: int, height: int, flip: bool, rng: np.random.Generator) -> Crop:
    steps = len(MULTISCALE)
    pairs = [(w, h) for w in range(steps) for h in range(steps) if abs(w - h) <= 1]
    across, down = pairs[rng.integers(len(pairs))]
    quarters = _OFFSETS_IN_QUARTERS[rng.integers(len(_OFFSETS_IN_QUARTERS))]
    short = min(width, height)
    crop_width, crop_height = (max(int(short * MULTISCALE[step]), 1) for step in (across, down))
    return Crop(
        left=(width - crop_width) // 4 * quarters[0],
        top=(height - crop_height) // 4 * quarters[1],
        width=crop_width,
        height=crop_height,
        flip=flip,
    )


def _short_side(width: int, height: int, flip: bool, rng: np.random.Generator) -> Crop:
    resized = rng.uniform(*SHORT_SIDE_RANGE)
    return _square(width, height, SHORT_SIDE_CROP / resized, (rng.random(), rng.random()), flip)


def _square(width: int, height: int, fraction: float, place: tuple[float, float], flip: bool) -> Crop:
    """A square of ``fraction`` of the short side, at ``place`` in [0, 1] of the free space (horizontal, vertical)."""
    side = max(round(min(width, height) * fraction), 1)
    left, top = round((width - side) * place[0]), round((height - side) * place[1])
    return Crop(left=left, top=top, width=side, height=side, flip=flip)


def crop_for_test(width: int, height: int, *, number: int, num_crops: int, fraction: float = 1.0) -> Crop:
    """Test crop ``number`` of 1, 3, 5 or 10: a square of ``fraction`` of the short side.

    Number 0 is always the center. 3 crops: the center, then both ends of the long side (SIFAR 4.1: top-left, center,
    bottom-right). 5: the center and the corners. 10: the same five, then their mirror images.
    """
    if num_crops not in TEST_CROP_COUNTS or not 0 <= number < num_crops:
        raise ValueError(f"crop {number} of {num_crops}: there are {', '.join(map(str, TEST_CROP_COUNTS))} test crops")
    if num_crops <= 3:
        along = (0.5, 0.0, 1.0)[number]
        place = (along, 0.5) if width >= height else (0.5, along)
    else:
        place = ((0.5, 0.5), (0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0))[number % 5]
    return _square(width, height, fraction, place, number >= 5)
