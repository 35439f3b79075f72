"""The dataset that an evaluation reads, one sample for each view, and the views that each video must have."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from timm.data import create_transform
from torch.utils.data import IterableDataset

from shards.format import Manifest, view_split
from shards.layouts import reorder
from shards.pads import has_mean_pads, nearest_color, pad_mask
from shards.timm_reader import ShardReader
from superimage.evaluation.checkpoint import Trained
from superimage.evaluation.orders import other_order
from superimage.training.grid import shows_whole_grid


def expected_views(manifest: Manifest, split: str) -> list[int]:
    """The view numbers that each video of a split has: ``validation -> [0, 1, 2]``, ``validation_v01 -> [1]``."""
    for base, num_views in manifest.num_views.items():
        if split == base:
            return list(range(num_views))
        for view in range(num_views):
            if split == view_split(base, view):
                return [view]
    known = ", ".join(f"{base}: {count}" for base, count in manifest.num_views.items())
    raise ValueError(f"--split {split}: the manifest has no number of views for it; it has {known}")


class ViewDataset(IterableDataset):
    """Yields every sample of a split once: (image float (3, H, W), label, video key, view number).

    Loader workers read different samples. Pads with ``pad: mean`` are zero in the image, whatever mean the model uses,
    as in SIFAR's code. A label is an int, or multi-hot float32 (C,) for multi-label data.
    """

    def __init__(
        self, root: str, manifest: Manifest, split: str, *, trained: Trained, order: str, seed: int, batch_size: int
    ):
        self.name = f"--split {split}"
        self.layout, self.order, self.seed = manifest.layout, order, seed
        config = trained.input
        self.input_size, self.transform = config["input_size"], create_transform(**config)
        color = nearest_color(config["mean"]) if len(config["mean"]) == 3 else None
        # Pads are filled before the image is resized, so that resizing mixes no other color into neighboring frames.
        self.reader = ShardReader(root, split=split, batch_size=batch_size, pad_color=color)
        self.pads = None
        size = tuple(config["input_size"][1:])
        if has_mean_pads(manifest.layout) and shows_whole_grid(manifest, size, config["crop_pct"]):
            self.pads = torch.from_numpy(pad_mask(manifest.layout, *size))

    def __len__(self) -> int:
        return len(self.reader)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, int | np.ndarray, str, int]]:
        for image, label, metadata in self.reader.with_metadata():
            tensor = self.transform(self._ordered(image, metadata))
            if self.pads is not None:
                tensor.masked_fill_(self.pads, 0)
            yield tensor, label, metadata["video"], metadata["view"]

    def _ordered(self, image: Image.Image, metadata: dict) -> Image.Image:
        if self.order == "normal":
            return image
        old = np.asarray(metadata["order"])
        new = other_order(old, self.order, video=metadata["video"], seed=self.seed)
        return Image.fromarray(reorder(np.asarray(image), self.layout, old, new))
