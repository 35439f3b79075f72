"""Shared memory of loader workers: plans workers so that their batches fit, and suggests ways out if they do not.

Loader workers pass batches through /dev/shm. By default, a container has 64 MB of it. torch moves a batch there on a
thread of the worker, and ignores the errors of that thread: the batch is lost, and the epoch is shorter or never ends.
So our collate function moves the batch first.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from superimage.training.device_env import DeviceEnv

SHARED_MEMORY = Path("/dev/shm")
DEFAULT_PREFETCH = 2  # torch's default: batches that each worker prefetches
_LABEL_BYTES = 1 << 16  # for the targets of a batch and other data of a process


class SharedMemoryError(ValueError):
    """A loader worker cannot pass a batch on. The message contains the sizes and the ways out."""


@dataclass(frozen=True, kw_only=True)
class LoaderPlan:
    """The number of loader workers, and of batches that each prefetches (not used with 0 workers)."""

    workers: int
    prefetch: int = DEFAULT_PREFETCH

    def num_batches(self, *, pinned: bool) -> int:
        """Batches in shared memory at a time: the prefetched ones, the one in use, and the one being pinned."""
        return self.workers * self.prefetch + 1 + pinned if self.workers else 0


def fit_plan(workers: int, *, batch_bytes: int, free_bytes: int, pinned: bool) -> LoaderPlan:
    """The plan nearest to ``workers`` whose batches fit: first with less prefetching, then with fewer workers, or none.

    ``2 workers, batches of 10 MB, 40 MB free -> 2 workers that prefetch 1 batch; 25 MB free -> 1 worker; 15 MB -> 0``.
    """
    plans = [LoaderPlan(workers=workers), *(LoaderPlan(workers=n, prefetch=1) for n in range(workers, 0, -1))]
    needed = batch_bytes + _LABEL_BYTES
    return next(
        (plan for plan in plans if plan.num_batches(pinned=pinned) * needed <= free_bytes), LoaderPlan(workers=0)
    )


def plan_workers(
    workers: int, *, batch_bytes: int, pinned: bool, ranks_here: int, flags: str
) -> tuple[LoaderPlan, str]:
    """(the plan for a loader of this rank, a warning if it has fewer workers or prefetched batches, else "").

    ``ranks_here`` ranks share /dev/shm. ``flags`` are the flags that set the batch size, for the message. Without
    /dev/shm, as on macOS, the plan has all ``workers``.
    """
    asked = LoaderPlan(workers=workers)
    free = free_bytes()
    if workers == 0 or free is None:
        return asked, ""
    plan = fit_plan(workers, batch_bytes=batch_bytes, free_bytes=free // ranks_here, pinned=pinned)
    if plan == asked:
        return plan, ""
    kept = f"{plan.workers} that prefetch {plan.prefetch} batch" if plan.workers else "no loader workers (--workers 0)"
    return plan, (
        f"{describe_place()}, shared by {ranks_here} ranks; {workers} loader workers on each need "
        f"{_megabytes(asked.num_batches(pinned=pinned) * batch_bytes)} for batches of {_megabytes(batch_bytes)}. "
        f"Going on with {kept}, which is slower. {ways_out(flags)}"
    )


def ranks_on_this_node(device_env: DeviceEnv) -> int:
    """Number of ranks that share this rank's /dev/shm. A collective operation: all ranks must call it."""
    if not device_env.distributed:
        return 1
    mine = (socket.gethostname(), SHARED_MEMORY.stat().st_dev if SHARED_MEMORY.is_dir() else 0)
    places = [None] * device_env.world_size
    distributed.all_gather_object(places, mine)
    return places.count(mine)


def free_bytes() -> int | None:
    """Free bytes in /dev/shm; None if it does not exist."""
    if not SHARED_MEMORY.is_dir():
        return None
    space = os.statvfs(SHARED_MEMORY)
    return space.f_bavail * space.f_frsize


def describe_place() -> str:
    """The size of /dev/shm for messages: ``/dev/shm has 64.0 MB, 21.0 MB of it free``."""
    if not SHARED_MEMORY.is_dir():
        return f"there is no {SHARED_MEMORY}"
    space = os.statvfs(SHARED_MEMORY)
    return f"{SHARED_MEMORY} has {_megabytes(space.f_blocks * space.f_frsize)}, {_megabytes(free_bytes())} of it free"


def ways_out(flags: str) -> str:
    return f"Make it larger (docker run --shm-size 8g), load without workers (--workers 0), or lower {flags}"


def into_shared_memory(batch: object) -> object:
    """Move the tensors of a batch to shared memory. Raises SharedMemoryError if they do not fit."""
    tensors = [part for part in batch if isinstance(part, torch.Tensor)] if isinstance(batch, tuple | list) else []
    try:
        for tensor in tensors:
            tensor.share_memory_()
    except RuntimeError as error:
        raise no_room(sum(tensor.nbytes for tensor in tensors)) from error
    return batch


def no_room(batch_bytes: int | None = None) -> SharedMemoryError:
    size = f" of {_megabytes(batch_bytes)}" if batch_bytes else ""
    return SharedMemoryError(
        f"too little shared memory for a batch{size} of a loader worker: {describe_place()}. {ways_out('--batch-size')}"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
