"""The CPU of a command and of all processes that it starts, Ray's too, which do not report to their parents. Linux."""

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
_SECONDS_BETWEEN_LOOKS = 0.1
_SECONDS_PER_TICK = 1 / os.sysconf("SC_CLK_TCK")


def run_family(command: Sequence[str], directory: Path) -> Cost:
    """Run a command to its end, looking at its family ten times a second; RuntimeError where it fails.

    What a process did after the last look at it is lost: at most a tenth of a second of its work.
    """
    _adopt_orphans()
    seen: dict[int, float] = {}
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8") as words:
        process = subprocess.Popen(command, cwd=directory, stdout=subprocess.DEVNULL, stderr=words)
        while process.poll() is None:
            seen.update(_cpu_seconds_of_family(os.getpid()))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
        words.seek(0)
        if process.returncode:
            raise RuntimeError(words.read()[-2000:])
    return Cost(cpu_seconds=sum(seen.values()), wall_seconds=time.monotonic() - began, result=None)


def _adopt_orphans() -> None:
    """Have processes whose parents end before them become our children, so that they stay in the family."""
    if sys.platform != "linux" or ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1) != 0:
        raise RuntimeError("the CPU of Ray's processes can only be counted on Linux")


def _cpu_seconds_of_family(ancestor: int) -> dict[int, float]:
    """User and system time of every living descendant."""
    parents, times = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in parentheses, may hold anything; the fields are counted from behind it.
            fields = path.read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended since it was listed
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
