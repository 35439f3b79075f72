"""A timm reader of shards, for ``timm.data.IterableImageDataset``. The only file of ``shards`` that needs torch.

It differs from timm's own ``wds`` reader in three ways. It partitions an epoch by samples, not by shards, so every rank
gets the same number of whole batches for any number of shards. It skips nothing: a damaged shard or image raises an
error. Its shuffle buffer is small, since the videos were shuffled when the shards were made.
"""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch.distributed
from PIL import Image
from timm.data.readers.reader import Reader
from timm.data.readers.shared_count import SharedCount
from torch.utils.data import get_worker_info

from shards.epochs import ALL, TILE_ORDERS, epoch_splits
from shards.format import Split, read_manifest
from shards.layouts import reorder
from shards.pads import fill_pads_of_image, has_mean_pads
from shards.partition import batches_of_worker, files_of_range, samples_of_rank
from shards.read import decode_image, iter_samples, multi_hot
from shards.storage import join
from shards.write import Sample


class ShardReader(Reader):
    """Iterates over ``(RGB image, label)`` of one split, for this rank and loader worker.

    A label is an int, or multi-hot float32 (C,) for multi-label data.

    With ``is_training``, shards and samples come in an order drawn from (seed, epoch), in whole batches only. Fewer
    than ``ranks * batch_size`` samples remain, and they are different ones in each epoch. Without ``is_training``,
    each sample comes exactly once, in the stored order.

    ``views``: ``all`` reads all views of a video in every epoch, ``cycle`` reads view e % V in epoch e, and a number
    reads that view. ``tile_order``: ``stored``, or ``random`` for a new order of the frames in each epoch, drawn from
    (seed, epoch, key); Flatten eq. 11. ``pad_color``: RGB color to fill pads with if the layout has ``pad: mean``.

    Raises ValueError for an unknown split or view, or too few samples for one batch on each rank.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        split: str,
        is_training: bool = False,
        batch_size: int = 1,
        seed: int = 42,
        shuffle_size: int = 256,
        views: str = ALL,
        tile_order: str = TILE_ORDERS[0],
        pad_color: tuple[int, ...] | None = None,
    ):
        super().__init__()
        manifest = read_manifest(root)
        if manifest is None:
            raise ValueError(f"{root}: no manifest of super images; give a directory made by 'python -m preprocess'")
        self.root = root
        if tile_order not in TILE_ORDERS:
            raise ValueError(f"--tile-order {tile_order}: must be one of {', '.join(TILE_ORDERS)}")
        self.split = manifest.split(split)
        self._epoch_splits = epoch_splits(manifest, split, views)
        self._layout, self._tile_order = manifest.layout, tile_order
        self._pad_color = pad_color if has_mean_pads(manifest.layout) else None
        own = manifest.for_split(split)
        self.class_to_idx = {name: index for index, name in enumerate(own.class_names)}
        self.multi_label, self._num_classes = own.multi_label, len(own.class_names)
        self.is_training = is_training
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle_size = shuffle_size
        self._epoch = SharedCount()
        self._rank, self._num_ranks = _rank_and_size()
        self._num_workers = 1
        self._num_rank_samples = len(self._rank_range())

    def set_epoch(self, count: int) -> None:
        self._epoch.value = count

    def set_loader_cfg(self, num_workers: int | None = None) -> None:
        """timm's API. The samples of a rank do not depend on the number of loader workers."""

    def __len__(self) -> int:
        """Number of samples that this rank reads in an epoch, with all of its loader workers."""
        return self._num_rank_samples

    def __iter__(self) -> Iterator[tuple[Image.Image, int | np.ndarray]]:
        for image, target, _ in self.with_metadata():
            yield image, target

    def with_metadata(self) -> Iterator[tuple[Image.Image, int | np.ndarray, dict]]:
        """Iterate over the same samples as ``(RGB image, label, content of KEY.json)``."""
        for sample, path in self._samples():
            target = multi_hot(sample, self._num_classes, path) if self.multi_label else sample.label
            yield self._image(sample, path), target, sample.metadata

    def _image(self, sample: Sample, path: str | Path) -> Image.Image:
        image = decode_image(sample, path)
        if self._tile_order == "random":
            order = random_order(self._layout.frames, seed=self.seed, epoch=self._epoch.value, key=sample.key)
            # The stored order does not matter, since any permutation of it is equally random.
            cells = np.arange(self._layout.frames)
            image = Image.fromarray(reorder(np.asarray(image), self._layout, cells, order))
        if self._pad_color is not None:
            fill_pads_of_image(image, self._layout, self._pad_color)
        return image

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        raise NotImplementedError("samples are streamed, so they have no index; use filenames()")

    def filenames(self, basename: bool = False, absolute: bool = False) -> list[str]:
        """The keys of all samples of the split, in the stored order."""
        return [
            sample.key
            for sample, _ in _read_range(self._files(self.split), range(self.split.num_samples), self.split.alt_label)
        ]

    def _files(self, split: Split) -> list[tuple[str | Path, int]]:
        return [(join(self.root, name), count) for name, count in zip(split.filenames, split.shard_lengths)]

    def _rank_range(self) -> range:
        return samples_of_rank(
            self._epoch_splits[0].num_samples,
            rank=self._rank,
            num_ranks=self._num_ranks,
            batch_size=self.batch_size if self.is_training else None,
        )

    def _samples(self) -> Iterator[tuple[Sample, str | Path]]:
        worker = get_worker_info()
        samples = batches_of_worker(
            self._rank_range(),
            batch_size=self.batch_size,
            worker=worker.id if worker else 0,
            num_workers=worker.num_workers if worker else 1,
        )
        split = self._epoch_splits[self._epoch.value % len(self._epoch_splits)]
        files = self._files(split)
        if not self.is_training:
            return _read_range(files, samples, split.alt_label)
        random.Random(f"{self.seed} {self._epoch.value}").shuffle(files)
        # Seeded by the start of the range, which no other worker of the epoch has.
        generator = random.Random(f"{self.seed} {self._epoch.value} {samples.start}")
        return _shuffled(_read_range(files, samples, split.alt_label), self.shuffle_size, generator)


def random_order(frames: int, *, seed: int, epoch: int, key: str) -> np.ndarray:
    """A permutation of T frames, int64 (T,), that depends only on (seed, epoch, key)."""
    digest = hashlib.sha256(f"{seed} {epoch} {key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(frames)


def _rank_and_size() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _read_range(
    files: list[tuple[str | Path, int]], samples: range, alt_label: str
) -> Iterator[tuple[Sample, str | Path]]:
    """The samples of a range, which counts through all files."""
    for number, start, stop in files_of_range([count for _, count in files], samples):
        path, count = files[number]
        last = stop if stop < count else None
        for sample in iter_samples(path, num_samples=count, start=start, stop=last, alt_label=alt_label):
            yield sample, path


def _shuffled(items: Iterator, size: int, generator: random.Random) -> Iterator:
    """Yield each item once, drawn at random from a shuffle buffer of ``size`` items."""
    buffer: list = []
    for item in items:
        if len(buffer) < size:
            buffer.append(item)
            continue
        index = generator.randrange(size)
        chosen, buffer[index] = buffer[index], item
        yield chosen
    generator.shuffle(buffer)
    yield from buffer
