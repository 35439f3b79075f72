"""Measures the CPU time of a command and all processes that it starts, including Ray's. Linux only."""

import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import Cost

_PR_SET_CHILD_SUBREAPER = 36
_SECONDS_BETWEEN_SAMPLES = 0.1
_SECONDS_PER_TICK = 1 / os.sysconf("SC_CLK_TCK")


def run_family(command: Sequence[str], directory: Path) -> Cost:
    """Run a command and sample the CPU time of its descendants ten times per second. RuntimeError if it fails.

    The CPU time of a process after its last sample is not counted, which is at most a tenth of a second.
    """
    _adopt_orphans()
    seen: dict[int, float] = {}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None:
            seen.update(_cpu_seconds_of_family(os.getpid()))
            time.sleep(_SECONDS_BETWEEN_SAMPLES)
        errors.seek(0)
        if process.returncode:
            raise RuntimeError(errors.read()[-2000:])
    return Cost(cpu_seconds=sum(seen.values()), wall_seconds=time.monotonic() - began, result=None)


def _adopt_orphans() -> None:
    """Make this process adopt orphaned descendants, so that they are still counted."""
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1) != 0:
        raise RuntimeError("the CPU time of Ray's processes can only be measured on Linux")


def _cpu_seconds_of_family(ancestor: int) -> dict[int, float]:
    """User and system time of every running descendant."""
    parents, times = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in parentheses may contain anything, so the fields after it are used.
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # the process has ended
        pid = int(path.parent.name)
        parents[pid] = int(fields[1])
        times[pid] = (int(fields[11]) + int(fields[12])) * _SECONDS_PER_TICK
    return {pid: times[pid] for pid in times if _descends(pid, ancestor, parents)}


def _descends(pid: int, ancestor: int, parents: dict[int, int]) -> bool:
    while pid in parents:
        pid = parents[pid]
        if pid == ancestor:
            return True
    return False
