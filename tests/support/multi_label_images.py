"""Super images with several labels each: every colour that a video shows is a class of it, as in Charades."""

from pathlib import Path

import numpy as np
from super_images import encoded, write_super_images

from shards.layouts import Layout, clip_order
from shards.layouts import tile as lay_out
from shards.write import Sample

# No video shows the last one: a class without positives.
COLOURS = {"red": (230, 20, 20), "green": (20, 230, 20), "blue": (20, 20, 230), "unseen": (0, 0, 0)}


def labels_of(index: int) -> list[int]:
    """``0 -> [0], 1 -> [1], 2 -> [0, 1], ..., 6 -> [0, 1, 2], 7 -> [0]``."""
    return [label for label in range(3) if (index % 7 + 1) >> label & 1]


def sample(video: str, view: int, num_views: int, index: int, grid: Layout, rng: np.random.Generator) -> Sample:
    """Noise with a bar for each label, five pixels high, at the same place in every frame."""
    frames = rng.integers(0, 60, (grid.frames, grid.tile, grid.tile, 3)).astype(np.uint8)
    labels, order = labels_of(index), clip_order(grid, rng)
    for label in labels:
        frames[:, 5 * label : 5 * label + 5] = list(COLOURS.values())[label]
    metadata = {"video": video, "label": labels[0], "labels": labels, "view": view, "num_views": num_views}
    return encoded(lay_out(frames, grid, order), {**metadata, "order": order.tolist()})


def write_multi_label_images(root: Path, **options) -> Path:
    """As ``write_super_images``; ``multi_label=False`` says that only the first label of each counts."""
    options = {"train": 56, "validation": 14, "multi_label": True, "make_sample": sample, **options}
    return write_super_images(root, class_names=list(COLOURS), **options)
