"""Other orders for the tiles of a super image, to see what a classifier owes to time (SIFAR, Table 9). Pure."""

import hashlib

import numpy as np

ORDERS = ("normal", "reverse", "random")


def other_order(order: np.ndarray, how: str, *, video: str, seed: int) -> np.ndarray:
    """The order int (T,) to lay a sample's frames out in, from the one it has (``order[cell]`` = position in the clip).

    ``[0 1 2] reverse -> [2 1 0]``: every frame at the mirrored time. ``random``: a permutation of time drawn from
    (seed, video), the same for all of a video's views. ``normal``: as it is.
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
