"""A loader that counts its samples, and raises an error if an epoch does not have the expected number."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from timm.data import FastCollateMixup
from timm.data.loader import PrefetchLoader
from torch.utils.data import Dataset

from superimage.training.shared_memory import SharedMemoryError, describe_place, ways_out


class Batches:
    """The batches ``(images float (B, C, H, W) on the device, targets)`` of one split.

    ``expected``: number of samples in an epoch on this rank, or None if the reader does not know it. ``valid``: number
    of samples that are not repetitions; samplers append repetitions so that all ranks get equally many, and they are
    dropped here. ``samples_per_image`` is 2 for mixup mode half and 1 otherwise. ``pads``: mask bool (H, W) of pixels
    that are set to zero after normalization.
    """

    def __init__(
        self,
        loader: PrefetchLoader,
        *,
        name: str,
        rank: int = 0,
        expected: int | None = None,
        valid: int | None = None,
        samples_per_image: int = 1,
        pads: torch.Tensor | None = None,
        mixup: FastCollateMixup | None = None,
    ):
        self.loader, self.name, self.rank = loader, name, rank
        self.expected, self.valid, self.samples_per_image = expected, valid, samples_per_image
        self.pads, self.mixup = pads, mixup

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def dataset(self) -> Dataset:
        return self.loader.dataset

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        left = self.valid
        batches = counted(self.loader, expected=self.expected, count=self._count, name=self.name, rank=self.rank)
        for images, targets in batches:
            if left is not None:
                images, targets = images[:left], targets[:left]
                left -= len(targets)
                if not len(targets):
                    continue
            yield (images if self.pads is None else images.masked_fill_(self.pads, 0)), targets

    def _count(self, batch: tuple[torch.Tensor, torch.Tensor]) -> int:
        return len(batch[1]) * self.samples_per_image

    def set_epoch(self, epoch: int) -> None:
        """Choose the order and the view of the videos for this epoch."""
        for part in (self.loader.dataset, self.loader.sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    def stop_mixing(self) -> None:
        """Turn mixup and CutMix off from the next epoch on."""
        if self.mixup is not None:
            self.mixup.mixup_enabled = False


def counted(
    batches: Any, *, expected: int | None, count: Callable[[Any], int], name: str, rank: int = 0
) -> Iterator[Any]:
    """Yield all batches. Raises ValueError if ``count`` does not sum up to ``expected``, or if a loader worker died."""
    seen, iterator = 0, iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            break
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            message = str(error).splitlines()[0].rstrip(".")
            raise SharedMemoryError(f"{name}: {message}; {describe_place()}. {ways_out('--batch-size')}") from error
        seen += count(batch)
        yield batch
    if expected is not None and seen != expected:
        raise ValueError(
            f"{name}: rank {rank} received {seen} of the {expected} samples of this epoch; "
            f"{describe_place()}. {ways_out('--batch-size')}"
        )
