"""Shards as a timm reader, for ``timm.data.IterableImageDataset``. The only file of ``shards`` that needs torch.

It differs from timm's own ``wds`` reader in three ways. The samples of an epoch are dealt as one long row, not shard by
shard, so every rank gets the same number of whole batches whatever the number of shards. Nothing is skipped: a damaged
shard or image ends the run. And the shuffle buffer is small, since the videos were shuffled when the shards were made.
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
from shards.partition import batches_of_worker, cut_row, samples_of_rank
from shards.read import decode_image, iter_samples, multi_hot
from shards.storage import join
from shards.write import Sample


class ShardReader(Reader):
    """Iterates ``(RGB image, label)`` of one split for this rank and loader worker.

    A label is an int, or, where the manifest says that samples have several, all of them as multi-hot float32 (C,).

    ``is_training``: whole batches only, shards and samples in an order drawn from (seed, epoch); the less than
    ``ranks * batch_size`` samples left over are others in each epoch. Otherwise each sample exactly once, in order.

    ``views``: ``all`` views of a video in every epoch; ``cycle``: view e % V in epoch e; or the number of one view.
    ``tile_order``: ``stored``, or ``random``: the frames of a sample are laid out in a new order in each epoch, drawn
    from (seed, epoch, key); Flatten eq. 11. ``pad_colour``: an RGB colour for pads that stand for the mean.

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
        pad_colour: tuple[int, ...] | None = None,
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
        self._pad_colour = pad_colour if has_mean_pads(manifest.layout) else None
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
        """timm tells the number of loader workers here; the share of a rank does not depend on it."""

    def __len__(self) -> int:
        """Samples that this rank will see in an epoch, over all its loader workers."""
        return self._num_rank_samples

    def __iter__(self) -> Iterator[tuple[Image.Image, int | np.ndarray]]:
        for image, target, _ in self.with_metadata():
            yield image, target

    def with_metadata(self) -> Iterator[tuple[Image.Image, int | np.ndarray, dict]]:
        """``(RGB image, label, KEY.json)`` of the same samples, for readers that need the video and the view."""
        for sample, path in self._samples():
            target = multi_hot(sample, self._num_classes, path) if self.multi_label else sample.label
            yield self._image(sample, path), target, sample.metadata

    def _image(self, sample: Sample, path: str | Path) -> Image.Image:
        image = decode_image(sample, path)
        if self._tile_order == "random":
            order = random_order(self._layout.frames, seed=self.seed, epoch=self._epoch.value, key=sample.key)
            # In whatever order the tiles are stored: a permutation of them is as random.
            cells = np.arange(self._layout.frames)
            image = Image.fromarray(reorder(np.asarray(image), self._layout, cells, order))
        if self._pad_colour is not None:
            fill_pads_of_image(image, self._layout, self._pad_colour)
        return image

    def _filename(self, index: int, basename: bool = False, absolute: bool = False) -> str:
        raise NotImplementedError("samples are streamed in order; use filenames()")

    def filenames(self, basename: bool = False, absolute: bool = False) -> list[str]:
        """The keys of all samples of the split, in the order of evaluation."""
        return [
            sample.key
            for sample, _ in _read_row(self._files(self.split), range(self.split.num_samples), self.split.alt_label)
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
        share = batches_of_worker(
            self._rank_range(),
            batch_size=self.batch_size,
            worker=worker.id if worker else 0,
            num_workers=worker.num_workers if worker else 1,
        )
        split = self._epoch_splits[self._epoch.value % len(self._epoch_splits)]
        files = self._files(split)
        if not self.is_training:
            return _read_row(files, share, split.alt_label)
        random.Random(f"{self.seed} {self._epoch.value}").shuffle(files)
        # Keyed by the share's start, which no other worker of the epoch has.
        generator = random.Random(f"{self.seed} {self._epoch.value} {share.start}")
        return _shuffled(_read_row(files, share, split.alt_label), self.shuffle_size, generator)


def random_order(frames: int, *, seed: int, epoch: int, key: str) -> np.ndarray:
    """A permutation of T frames, int64 (T,), the same for the same (seed, epoch, key)."""
    digest = hashlib.sha256(f"{seed} {epoch} {key}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big")).permutation(frames)


def _rank_and_size() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _read_row(files: list[tuple[str | Path, int]], share: range, alt_label: str) -> Iterator[tuple[Sample, str | Path]]:
    """The samples ``share`` of all files laid end to end."""
    for number, start, stop in cut_row([count for _, count in files], share):
        path, count = files[number]
        last = stop if stop < count else None
        for sample in iter_samples(path, num_samples=count, start=start, stop=last, alt_label=alt_label):
            yield sample, path


def _shuffled(items: Iterator, size: int, generator: random.Random) -> Iterator:
    """Each item once, drawn at random from a buffer of ``size`` that the stream refills."""
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
