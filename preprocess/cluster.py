"""The only door to Ray: shards to the workers of this machine or of a cluster, each until it is done."""

import contextlib
import errno
import os
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import preprocess
import shards
from preprocess.convert_shard import ShardState, convert_shard
from preprocess.job import Job, UnfitMachineError
from preprocess.plan import PlannedShard

_IN_FLIGHT_PER_WORKER = 2
_OBJECT_STORE_BYTES = 100 << 20  # results are small, and Ray would take a third of the memory
# Nodes that are pre-empted take their shards with them, over and over. No video can do that: its decoder is sandboxed.
_DEATHS_PER_SHARD = 1000
# A disk that fails for a moment is no reason to end a job of days. A full one is: the others would fill it again.
_TRIES_PER_SHARD = 3
_HOPELESS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}
_POLL_SECONDS = 1.0
_CONNECT_SECONDS = 30
_DISMISS_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Where a conversion runs: ``count`` processes on this machine, or a running cluster at ``address``.

    In a cluster, ``count`` (None: as many as it has cores, growing with it) bounds the shards at work at once, and
    ``runtime_env`` is Ray's: our code is added to it, so that no machine needs an installation.
    """

    count: int | None = None
    address: str | None = None
    runtime_env: Mapping[str, Any] = field(default_factory=dict)


def convert_on_ray(
    job: Job, planned: Sequence[PlannedShard], workers: Workers
) -> Iterator[tuple[PlannedShard, ShardState]]:
    """Each shard as it comes on, until all are done. A worker that dies is replaced and its shard tried again.

    Raises OSError for a disk that fails, and for machines that cannot do their part.
    """
    with _session(workers) as ray:
        task = ray.remote(num_cpus=1, max_retries=_DEATHS_PER_SHARD, num_returns="streaming")(convert_shard)
        yield from _Crew(ray, task, ray.put(job), workers).convert(planned)


class _Crew:
    """Shards in the hands of Ray: waiting, at work, and how often one was given back."""

    def __init__(self, ray: ModuleType, task: Any, job_reference: Any, workers: Workers):
        self._ray = ray
        self._task = task
        self._job_reference = job_reference
        self._workers = workers
        self._at_work: dict[Any, PlannedShard] = {}
        self._waiting: deque[PlannedShard] = deque()
        self._given_back: Counter[tuple[str, int]] = Counter()

    def convert(self, planned: Sequence[PlannedShard]) -> Iterator[tuple[PlannedShard, ShardState]]:
        self._waiting.extend(planned)
        try:
            while self._waiting or self._at_work:
                self._hand_out()
                for stream in self._ready():
                    shard = self._at_work[stream]
                    state = self._next_state(stream)
                    if state is not None:
                        yield shard, state
        finally:
            self._dismiss()

    def _ready(self) -> list[Any]:
        return self._ray.wait(list(self._at_work), num_returns=1, timeout=_POLL_SECONDS)[0]

    def _dismiss(self) -> None:
        """Have the workers put their shards away, when the run ends before they do; they get some seconds for it."""
        for stream in self._at_work:
            self._ray.cancel(stream)
        end = time.monotonic() + _DISMISS_SECONDS
        while self._at_work and time.monotonic() < end:
            for stream in self._ready():
                try:
                    self._ray.get(next(stream))
                except (StopIteration, self._ray.exceptions.RayError):
                    del self._at_work[stream]

    def _hand_out(self) -> None:
        while self._waiting and len(self._at_work) < self._room():
            shard = self._waiting.popleft()
            self._at_work[self._task.remote(self._job_reference, shard)] = shard

    def _room(self) -> int:
        """More shards than cores, so that no core waits for its next, and a cluster that can grow sees a queue.

        Where the count is less than its cores, the count.
        """
        cores = max(int(self._ray.cluster_resources().get("CPU", 1)), 1)
        count = self._workers.count or cores
        return count if count < cores else count * _IN_FLIGHT_PER_WORKER

    def _next_state(self, stream: Any) -> ShardState | None:
        try:
            return self._ray.get(next(stream))
        except StopIteration:
            del self._at_work[stream]
        except self._ray.exceptions.RayTaskError as error:
            self._give_back(stream, error.cause or error)
        except self._ray.exceptions.RayError as error:
            self._give_back(stream, UnfitMachineError(_told_by_ray(error)))
        return None

    def _give_back(self, stream: Any, error: BaseException) -> None:
        """Try a shard again, later, where that can help; else raise what its worker raised."""
        shard = self._at_work.pop(stream)
        self._given_back[shard.split, shard.number] += 1
        is_hopeless = not isinstance(error, OSError) or error.errno in _HOPELESS
        if is_hopeless or self._given_back[shard.split, shard.number] >= _TRIES_PER_SHARD:
            raise error
        self._waiting.append(shard)


def _told_by_ray(error: Exception) -> str:
    """Its last line, which has the cause; those before are Ray's own traceback."""
    lines = str(error).strip().splitlines()
    return f"Ray gave a shard up, {type(error).__name__}: {lines[-1] if lines else 'without a word'}"


@contextlib.contextmanager
def _session(workers: Workers) -> Iterator[ModuleType]:
    """Ray, started, joined, or as a caller has it already."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if workers.address and _has_token():
        # Ray shows it by itself to a cluster that it starts, but not to one that it joins; one that asks for none
        # takes no notice of it.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    import ray  # here and not above: it takes a second, and --help should not

    if ray.is_initialized():
        yield ray
        return
    if workers.address:
        _refuse_silence(workers.address)
        ray.init(address=workers.address, runtime_env=_with_our_code(workers.runtime_env), logging_level="warning")
    else:
        # local: with RAY_ADDRESS in the environment it would join a cluster unasked
        ray.init(
            address="local",
            num_cpus=workers.count,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            logging_level="warning",
        )
    try:
        with _terminated_like_interrupted():
            yield ray
    finally:
        ray.shutdown()


def _has_token() -> bool:
    """Whether this user has one, in the places that Ray documents."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").exists()


def _refuse_silence(address: str) -> None:
    """OSError where nobody listens at HOST:PORT: Ray itself would wait there for ever."""
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise OSError(f"--ray-address {address}: {error}; is 'ray start --head' running there?") from error


def _with_our_code(runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """Ray uploads these folders and puts them on each worker's path."""
    ours = [str(Path(package.__file__).parent) for package in (preprocess, shards)]
    return {**runtime_env, "py_modules": [*runtime_env.get("py_modules", ()), *ours]}


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM, which schedulers send before they kill, as Ctrl-C. Ray sets a handler of its own when it starts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
