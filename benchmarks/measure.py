"""Measures CPU time: each library in its own process, all of them in turn, repeated; the median counts."""

import contextlib
import multiprocessing
import os
import resource
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

_ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one call. ``cpu_seconds`` includes all threads and child processes."""

    cpu_seconds: float
    wall_seconds: float
    result: Any


def cpu_seconds() -> float:
    """User and system time of this process and its finished children."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Child:
    """A process that runs one function at a time, so that libraries with their own ffmpeg do not conflict."""

    def __init__(self, environment: Mapping[str, str] | None = None):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        with _environment({**dict.fromkeys(_ONE_THREAD, "1"), **(environment or {})}):
            self._process.start()
        theirs.close()

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *exception: object) -> None:
        self._connection.close()
        self._process.join()

    def run(self, function: Callable, *arguments: Any) -> Cost:
        """The cost of ``function(*arguments)`` there. RuntimeError with the traceback if the function fails."""
        self._connection.send((function, arguments))
        outcome = self._connection.recv()
        if isinstance(outcome, str):
            raise RuntimeError(outcome)
        return outcome


def _serve(connection: Connection) -> None:
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        try:
            connection.send(cost_of(function, *arguments))
        except Exception:
            connection.send(traceback.format_exc())


def cost_of(function: Callable, *arguments: Any) -> Cost:
    """Run a function in this process. If it returns a ``Cost``, it has measured itself."""
    cpu, wall = cpu_seconds(), time.monotonic()
    result = function(*arguments)
    if isinstance(result, Cost):
        return result
    return Cost(cpu_seconds=cpu_seconds() - cpu, wall_seconds=time.monotonic() - wall, result=result)


def interleaved(
    tasks: Mapping[str, Callable[[], Cost]], repeats: int, *, warm_up: bool = True
) -> dict[str, list[Cost]]:
    """Run all tasks once to warm up, then all in turn ``repeats`` times, so that other load affects all of them."""
    for task in tasks.values() if warm_up else ():
        task()
    costs: dict[str, list[Cost]] = {name: [] for name in tasks}
    for _ in range(repeats):
        for name, task in tasks.items():
            costs[name].append(task())
    return costs


def median_cpu_seconds(costs: list[Cost]) -> float:
    return statistics.median(cost.cpu_seconds for cost in costs)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for processes started inside the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
