"""Orders of the tiles, to measure how much a classifier relies on time (SIFAR, Table 9). Pure."""

import hashlib

import numpy as np

ORDERS = ("normal", "reverse", "random")


def other_order(order: np.ndarray, how: str, *, video: str, seed: int) -> np.ndarray:
    """Return a new order int (T,) for the frames of a sample; ``order[cell]`` is the frame's position in the clip.

    ``normal`` keeps the order. ``reverse`` reverses time: ``[0 1 2] -> [2 1 0]``. ``random`` permutes time; the
    permutation is drawn from (seed, video), so all views of a video get the same one. Raises ValueError for another
    ``how``.
    """
    order = np.asarray(order)
    if how == "normal":
        return order
    if how == "reverse":
        return len(order) - 1 - order
    if how == "random":
        digest = hashlib.sha256(f"{seed} {video}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(len(order))[order]
    raise ValueError(f"order={how!r}: must be one of {', '.join(ORDERS)}")
