"""Loader workers hand their batches over in /dev/shm: whether they fit there, and what helps where they do not.

A container has 64 MB of it unless it is asked for more. torch moves a batch there on a thread of the worker whose
errors nobody hears: the batch is lost, and the epoch is shorter or never ends. So the batch is moved before that.
"""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import distributed

from superimage.training.device_env import DeviceEnv

SHARED_MEMORY = Path("/dev/shm")
DEFAULT_PREFETCH = 2  # torch's: batches that each worker prepares ahead
_LABEL_BYTES = 1 << 16  # room for the targets of a batch, and for what else is there of a process


class SharedMemoryError(ValueError):
    """Loader workers that cannot hand over a batch. The message gives the sizes and the ways out."""


@dataclass(frozen=True, kw_only=True)
class LoaderPlan:
    """The workers of a loader and the batches that each prepares ahead; with 0 workers the second means nothing."""

    workers: int
    prefetch: int = DEFAULT_PREFETCH

    def num_batches(self, *, pinned: bool) -> int:
        """Batches in shared memory at once: those prepared, the one in use, and the one that is being pinned."""
        return self.workers * self.prefetch + 1 + pinned if self.workers else 0


def fit_plan(workers: int, *, batch_bytes: int, free_bytes: int, pinned: bool) -> LoaderPlan:
    """The plan nearest to ``workers`` whose batches fit: first fewer batches ahead, then fewer workers, at last none.

    ``2 workers, batches of 10 MB, 40 MB free -> 2 workers with 1 batch ahead; 25 MB free -> 1 with 1; 15 MB -> 0``.
    """
    plans = [LoaderPlan(workers=workers), *(LoaderPlan(workers=n, prefetch=1) for n in range(workers, 0, -1))]
    needed = batch_bytes + _LABEL_BYTES
    return next(
        (plan for plan in plans if plan.num_batches(pinned=pinned) * needed <= free_bytes), LoaderPlan(workers=0)
    )


def plan_workers(
    workers: int, *, batch_bytes: int, pinned: bool, ranks_here: int, flags: str
) -> tuple[LoaderPlan, str]:
    """(the plan for a loader of this rank, why it is not the one asked for or an empty string).

    ``ranks_here`` share /dev/shm; ``flags`` names those that set the batch. Where there is no /dev/shm, as on macOS,
    the plan is what was asked for.
    """
    asked = LoaderPlan(workers=workers)
    free = free_bytes()
    if workers == 0 or free is None:
        return asked, ""
    plan = fit_plan(workers, batch_bytes=batch_bytes, free_bytes=free // ranks_here, pinned=pinned)
    if plan == asked:
        return plan, ""
    kept = f"{plan.workers} with {plan.prefetch} batch ahead" if plan.workers else "no loader workers (--workers 0)"
    return plan, (
        f"{describe_place()}, shared by {ranks_here} ranks; {workers} loader workers on each need "
        f"{_megabytes(asked.num_batches(pinned=pinned) * batch_bytes)} for batches of {_megabytes(batch_bytes)}. "
        f"Going on with {kept}, which is slower. {ways_out(flags)}"
    )


def ranks_on_this_node(device_env: DeviceEnv) -> int:
    """The ranks that share this rank's /dev/shm. A collective: all ranks call it."""
    if not device_env.distributed:
        return 1
    mine = (socket.gethostname(), SHARED_MEMORY.stat().st_dev if SHARED_MEMORY.is_dir() else 0)
    places = [None] * device_env.world_size
    distributed.all_gather_object(places, mine)
    return places.count(mine)


def free_bytes() -> int | None:
    """Bytes left in /dev/shm; None where there is none."""
    if not SHARED_MEMORY.is_dir():
        return None
    space = os.statvfs(SHARED_MEMORY)
    return space.f_bavail * space.f_frsize


def describe_place() -> str:
    """``/dev/shm has 64.0 MB, 21.0 MB of them free``."""
    if not SHARED_MEMORY.is_dir():
        return f"there is no {SHARED_MEMORY}"
    space = os.statvfs(SHARED_MEMORY)
    return f"{SHARED_MEMORY} has {_megabytes(space.f_blocks * space.f_frsize)}, {_megabytes(free_bytes())} of it free"


def ways_out(flags: str) -> str:
    return f"Give it more (docker run --shm-size 8g), load without workers (--workers 0), or lower {flags}"


def into_shared_memory(batch: object) -> object:
    """The same batch with its tensors in shared memory; SharedMemoryError where that has no room for them."""
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
        f"a loader worker has no shared memory for a batch{size}: {describe_place()}. {ways_out('--batch-size')}"
    )


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
