"""Distribute the batches of a conversion to Ray workers, on this machine or on a cluster.

``ray_session`` starts or joins Ray.
"""

import contextlib
import errno
import sys
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from tqdm import tqdm

from preprocess.plan import VideoBatch
from preprocess.run.ray_session import options_without, ray_session, this_node
from preprocess.worker.batch import BatchState, write_batch
from preprocess.worker.messages import Job, UnfitNodeError
from preprocess.worker.node_check import refuse_unfit_directories, unseen_of

_IN_FLIGHT_PER_WORKER = 2
# A batch may be lost many times to preempted nodes. A video cannot kill a worker, because its decoder is sandboxed.
_DEATHS_PER_BATCH = 1000
# A disk that fails once must not end a job of days. A full disk must: the other workers would fill it again.
_TRIES_PER_BATCH = 3
_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_POLL_SECONDS = 1.0
_DISMISS_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where a conversion runs: ``count`` processes on this machine, or a running cluster at ``address``.

    On a cluster, ``count`` limits the batches at work at once. None means one for each core, also when the cluster
    grows. ``runtime_env`` is passed to Ray. Our code is added to it, so that no node needs an installation.
    """

    count: int | None = None
    address: str | None = None
    runtime_env: Mapping[str, Any] = field(default_factory=dict)


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)  # does not break a progress bar


@dataclass(frozen=True, kw_only=True)
class Observer:
    """Callbacks of a running conversion.

    ``works()`` is called about once a second while a batch is at work, and ``waits(free_cores, cores)`` while none
    is. ``note(text)`` is for the user. ``lost(reason)`` is called when Ray has died, just before the process ends.
    """

    works: Callable[[], None] = lambda: None
    waits: Callable[[int, int], None] = lambda free, cores: None
    note: Callable[[str], None] = _say
    lost: Callable[[str], None] = _say


def run_on_ray(
    job: Job, batches: Sequence[VideoBatch], workers: Workers, observer: Observer = Observer()
) -> Iterator[tuple[VideoBatch, BatchState]]:
    """Yield the state of each batch as it advances, until all batches are finished.

    If a worker dies, Ray starts another one and the batch is tried again. A node that cannot work on the batches is
    excluded. Raises OSError if a disk fails, and UnfitNodeError if no node is left. While the iterator is in use,
    Ray's output goes to standard error.
    """
    session = ray_session(
        count=workers.count, address=workers.address, runtime_env=workers.runtime_env, lost=observer.lost
    )
    with contextlib.redirect_stdout(sys.stderr), session as ray:
        task = ray.remote(num_cpus=1, max_retries=_DEATHS_PER_BATCH, num_returns="streaming")(_batch_task)
        yield from _Scheduler(ray, task, job, workers.count, observer).run(batches)


@dataclass(frozen=True)
class _Began:
    """The first message of a worker about a batch."""

    node: str


def _batch_task(job: Job, batch: VideoBatch, gone: frozenset[str]) -> Iterator[_Began | BatchState]:
    """Runs on a worker. It adds the node to every OSError."""
    yield _Began(this_node())
    try:
        yield from write_batch(job, batch, gone)
    except OSError as error:
        error.node = this_node()
        raise


class _Scheduler:
    """Keeps track of the batches: waiting, submitted, and how often each one came back unfinished."""

    def __init__(self, ray: ModuleType, task: Any, job: Job, count: int | None, observer: Observer):
        self._ray = ray
        self._task = task
        self._job = job
        self._job_reference = ray.put(job)
        self._count = count
        self._observer = observer
        self._waiting: deque[VideoBatch] = deque()
        self._handed_out: dict[Any, VideoBatch] = {}
        self._began_on: dict[Any, str] = {}  # the node of each stream that has begun
        self._given_back: Counter[tuple[str, int]] = Counter()
        self._avoided: defaultdict[tuple[str, int], set[str]] = defaultdict(set)  # nodes where a batch has failed
        self._nodes = _Nodes(ray)
        self._gone: frozenset[str] = frozenset()  # planned videos that the driver no longer sees

    def run(self, batches: Sequence[VideoBatch]) -> Iterator[tuple[VideoBatch, BatchState]]:
        self._waiting.extend(batches)
        try:
            while self._waiting or self._handed_out:
                self._look()
                self._hand_out()
                for stream in self._ready():
                    batch = self._handed_out[stream]
                    state = self._next_state(stream)
                    if state is not None:
                        yield batch, state
        finally:
            self._dismiss()

    def _look(self) -> None:
        if not self._nodes.look():
            return
        if any(node in self._nodes.cores for node in self._began_on.values()):
            self._observer.works()
        else:
            self._observer.waits(self._nodes.free_cores(), self._nodes.num_cores)

    def _ready(self) -> list[Any]:
        return self._ray.wait(list(self._handed_out), num_returns=1, timeout=_POLL_SECONDS)[0]

    def _dismiss(self) -> None:
        """If the run ends early, let the workers discard their unfinished batches, for some seconds at most."""
        for stream in self._handed_out:
            self._ray.cancel(stream)
        end = time.monotonic() + _DISMISS_SECONDS
        while self._handed_out and time.monotonic() < end:
            for stream in self._ready():
                try:
                    self._ray.get(next(stream))
                except (StopIteration, self._ray.exceptions.RayError):
                    del self._handed_out[stream]

    def _hand_out(self) -> None:
        while self._waiting and len(self._handed_out) < self._room():
            batch = self._waiting.popleft()
            task = self._task
            if avoided := self._nodes.to_avoid(self._avoided[batch.split, batch.number]):
                task = task.options(**options_without(avoided))
            self._handed_out[task.remote(self._job_reference, batch, self._gone)] = batch

    def _room(self) -> int:
        """The number of batches to submit at once.

        Two for each core, so that no core idles and an autoscaling cluster sees a backlog. If ``count`` is less than
        the number of cores, exactly ``count``.
        """
        cores = max(self._nodes.num_cores, 1)
        count = self._count or cores
        return count if count < cores else count * _IN_FLIGHT_PER_WORKER

    def _next_state(self, stream: Any) -> BatchState | None:
        try:
            state = self._ray.get(next(stream))
        except StopIteration:
            self._take_back(stream)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause or error
            batch = self._take_back(stream)
            if isinstance(cause, UnfitNodeError):
                self._retry_on_another_node(batch, cause)
            else:
                self._retry_later(batch, cause)
        except self._ray.exceptions.RayError as error:
            self._retry_later(self._take_back(stream), UnfitNodeError(_error_of_ray(error)))
        else:
            if isinstance(state, BatchState):
                return state
            self._began_on[stream] = state.node
            self._observer.works()
        return None

    def _take_back(self, stream: Any) -> VideoBatch:
        self._began_on.pop(stream, None)
        return self._handed_out.pop(stream)

    def _retry_on_another_node(self, batch: VideoBatch, error: UnfitNodeError) -> None:
        """Exclude the node, unless the driver cannot see the missing files either.

        Raises UnfitNodeError if the driver does not see a directory, because no other node can help then.
        """
        refuse_unfit_directories(self._job)
        gone = unseen_of(self._job, error.unseen)
        self._gone |= set(gone)
        is_fault_of_node = len(gone) < len(error.unseen) or not error.unseen
        if is_fault_of_node and self._nodes.leave_out(error):
            self._observer.note(f"note: a node is excluded: {error} (Ray's node {error.node[:8]})")
        self._waiting.appendleft(batch)

    def _retry_later(self, batch: VideoBatch, error: BaseException) -> None:
        """Try a batch again later, on another node if there is one, or raise the worker's exception."""
        name = batch.split, batch.number
        self._given_back[name] += 1
        is_hopeless = not isinstance(error, OSError) or error.errno in _HOPELESS
        if is_hopeless or self._given_back[name] >= _TRIES_PER_BATCH:
            raise error
        if node := getattr(error, "node", None):
            self._avoided[name].add(node)
        self._waiting.append(batch)


class _Nodes:
    """The nodes that can work: alive, with at least one core, and not excluded."""

    def __init__(self, ray: ModuleType):
        self._ray = ray
        self._left_out: dict[str, UnfitNodeError] = {}
        self._looked = -_POLL_SECONDS
        self.cores: dict[str, int] = {}  # by node

    @property
    def num_cores(self) -> int:
        return sum(self.cores.values())

    def look(self) -> bool:
        """Ask Ray for its nodes, at most once a second. Raises UnfitNodeError if every node is excluded."""
        if time.monotonic() - self._looked < _POLL_SECONDS:
            return False
        alive = [node for node in self._ray.nodes() if node["Alive"]]
        cores = {node["NodeID"]: int(node["Resources"].get("CPU", 0)) for node in alive}
        self.cores = {node: count for node, count in cores.items() if count and node not in self._left_out}
        self._looked = time.monotonic()
        if self._left_out and not self.cores:
            raise self._none_left()
        return True

    def _none_left(self) -> UnfitNodeError:
        *others, last = self._left_out.values()
        if not others:
            return last
        return UnfitNodeError(
            f"no node can convert the batches: {len(self._left_out)} were excluded, the last one because: {last}"
        )

    def free_cores(self) -> int:
        return min(int(self._ray.available_resources().get("CPU", 0)), self.num_cores)

    def leave_out(self, error: UnfitNodeError) -> bool:
        """Exclude the node of this error. Returns whether it was not excluded before."""
        is_new = error.node not in self._left_out
        self._left_out[error.node] = error
        self.cores.pop(error.node, None)
        self._looked = -_POLL_SECONDS  # look again at once, to see whether a node is left
        return is_new

    def to_avoid(self, failed_on: set[str]) -> set[str]:
        """The nodes that must not get a batch: the excluded ones, and those where it failed if there are others."""
        has_others = bool(self.cores.keys() - failed_on)
        return self._left_out.keys() | (failed_on if has_others else set())


def _error_of_ray(error: Exception) -> str:
    """The last line of an exception of Ray, which has the cause. The lines before are Ray's own traceback."""
    lines = str(error).strip().splitlines()
    return f"Ray gave up a batch, {type(error).__name__}: {lines[-1] if lines else 'no message'}"
