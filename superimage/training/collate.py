"""The collate function of loader workers: checks labels, and moves the batch to shared memory."""

import multiprocessing.queues
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from torch.utils.data import DataLoader, get_worker_info

from superimage.training.shared_memory import into_shared_memory, no_room


class CheckedCollate:
    """A collate function that checks the labels of a batch, and moves it to shared memory if it runs in a worker.

    Samples are ``(image, label, ...)``. Labels must be from 0 to ``num_classes - 1``; pass None to skip the check.
    Raises ValueError for a label out of range, SharedMemoryError if the shared memory is too small for the batch.
    """

    def __init__(self, collate: Callable, *, num_classes: int | None = None, source: str = ""):
        self.collate, self.num_classes, self.source = collate, num_classes, source

    def __call__(self, samples: Sequence[tuple]) -> object:
        if self.num_classes is not None:
            self._check_labels([sample[1] for sample in samples])
        if get_worker_info() is None:
            return self.collate(samples)
        try:
            batch = self.collate(samples)
        except RuntimeError as error:
            # The default collate function of torch allocates in shared memory.
            if "shared memory" in str(error):
                raise no_room() from error
            raise
        return into_shared_memory(batch)

    def _check_labels(self, labels: Sequence[object]) -> None:
        for label in labels:
            if isinstance(label, int) and not 0 <= label < self.num_classes:
                why = "no label" if label == -1 else f"label {label}"
                raise ValueError(
                    f"{self.source}: a sample has {why}, but the model has classes 0 to {self.num_classes - 1}; "
                    "correct the data, or give another --num-classes"
                )


def end_worker_on_lost_batch(loader: DataLoader) -> None:
    """Make a worker exit if a batch cannot be sent, so that torch reports it. By default torch drops the batch."""
    loader.worker_init_fn = partial(_init_worker, loader.worker_init_fn)


def _init_worker(then: Callable[[int], None] | None, worker: int) -> None:
    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(_end_this_process)
    if then is not None:
        then(worker)


def _end_this_process(error: Exception, batch: object) -> None:
    print(f"a loader worker could not send a batch: {error!r}", file=sys.stderr, flush=True)
    os._exit(1)  # called on a thread, where sys.exit() would only end the thread
