"""The loader of an evaluation. Raises an error unless it returns every sample of the split."""

import logging
import math
from collections.abc import Iterator, Sequence

from torch.utils.data import DataLoader, IterableDataset, default_collate

from superimage.training.batches import counted
from superimage.training.collate import CheckedCollate, end_worker_on_lost_batch
from superimage.training.shared_memory import plan_workers

_log = logging.getLogger("eval_video")
_FLOAT_BYTES = 4


def counted_batches(
    dataset: IterableDataset, *, name: str, batch_size: int, workers: int, image: Sequence[int]
) -> Iterator[list]:
    """The batches of a dataset with a known length; ``image`` is the shape (C, H, W) of its float32 images.

    Starts fewer workers, and logs it, if /dev/shm is too small. Raises ValueError if a batch is lost, or if the number
    of samples is not ``len(dataset)``.
    """
    batch_bytes = min(batch_size, len(dataset)) * math.prod(image) * _FLOAT_BYTES
    plan, warning = plan_workers(workers, batch_bytes=batch_bytes, pinned=False, ranks_here=1, flags="--batch-size")
    if warning:
        _log.warning(f"{name}: {warning}")
    loader = DataLoader(
        dataset,
        batch_size=batch_size,
        num_workers=plan.workers,
        prefetch_factor=plan.prefetch if plan.workers else None,
        collate_fn=CheckedCollate(default_collate),
    )
    if plan.workers:
        end_worker_on_lost_batch(loader)
    return counted(loader, expected=len(dataset), count=lambda batch: len(batch[1]), name=name)
