"""A loader whose samples are counted: as many come out as are due, or the run ends."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from timm.data import FastCollateMixup
from timm.data.loader import PrefetchLoader
from torch.utils.data import Dataset

from superimage.training.shared_memory import SharedMemoryError, describe_place, ways_out


class Batches:
    """The batches ``(images float (B, C, H, W) on the device, targets)`` of one split.

    ``due``: the samples that an epoch must bring to this rank; None where the reader cannot tell. ``valid``: how many
    of them are no repetitions that even out the ranks; those come last, and are left out. ``samples_per_image`` is 2
    for mixup's mode half, 1 otherwise. ``pads``: bool (H, W), the pixels that are made zero after normalisation.
    """

    def __init__(
        self,
        loader: PrefetchLoader,
        *,
        name: str,
        rank: int = 0,
        due: int | None = None,
        valid: int | None = None,
        samples_per_image: int = 1,
        pads: torch.Tensor | None = None,
        mixup: FastCollateMixup | None = None,
    ):
        self.loader, self.name, self.rank = loader, name, rank
        self.due, self.valid, self.samples_per_image = due, valid, samples_per_image
        self.pads, self.mixup = pads, mixup

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def dataset(self) -> Dataset:
        return self.loader.dataset

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        left = self.valid
        for images, targets in counted(self.loader, due=self.due, count=self._count, name=self.name, rank=self.rank):
            if left is not None:
                images, targets = images[:left], targets[:left]
                left -= len(targets)
                if not len(targets):
                    continue
            yield (images if self.pads is None else images.masked_fill_(self.pads, 0)), targets

    def _count(self, batch: tuple[torch.Tensor, torch.Tensor]) -> int:
        return len(batch[1]) * self.samples_per_image

    def set_epoch(self, epoch: int) -> None:
        """Each epoch has its own order, and its own view of the videos."""
        for part in (self.loader.dataset, self.loader.sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    def stop_mixing(self) -> None:
        """No mixup and no CutMix from the next epoch on."""
        if self.mixup is not None:
            self.mixup.mixup_enabled = False


def counted(batches: Any, *, due: int | None, count: Callable[[Any], int], name: str, rank: int = 0) -> Iterator[Any]:
    """All batches; then a ValueError if ``count`` of them is not what was due. Loader workers that died are one too."""
    seen, iterator = 0, iter(batches)
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            break
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            told = str(error).splitlines()[0].rstrip(".")
            raise SharedMemoryError(f"{name}: {told}; {describe_place()}. {ways_out('--batch-size')}") from error
        seen += count(batch)
        yield batch
    if due is not None and seen != due:
        raise ValueError(
            f"{name}: rank {rank} received {seen} of the {due} samples that it was due in this epoch; "
            f"{describe_place()}. {ways_out('--batch-size')}"
        )
