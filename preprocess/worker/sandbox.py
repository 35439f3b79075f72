"""Run the decoder of a worker in its own process. A video that crashes it, hangs it or fills its memory is found and
named.

The cost is one process start for each batch and one copy of each image through a pipe. In return, the worker survives
every video, and knows which one ended its decoder.
"""

import contextlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

from preprocess import reasons
from preprocess.annotations.dataset import Video
from preprocess.worker.messages import Job, Statistics, UnfitNodeError, VideoResult
from preprocess.worker.versions import differences
from shards.allocator import KEEP_FREED_MEMORY
from shards.records import Failure
from shards.write import Sample

# A video is to blame if its decoder dies repeatedly. SIGKILL needs more repetitions: a video cannot send it, but
# operators, schedulers and the kernel's out-of-memory killer can, for reasons that have nothing to do with the video.
_CRASHES_TO_BLAME = 3
_KILLS_TO_BLAME = 10
_START_SECONDS = 300
# The decoders observe timeout_seconds themselves. A decoder that still does not answer hangs inside a library.
_LEAST_GRACE_SECONDS = 5
_STDERR_TAIL_CHARACTERS = 1000
_DYING_SECONDS = 5  # from the end of a process's pipe to the end of the process


class Sandbox:
    """Converts videos one by one. Context manager. The process starts with the first video.

    The result does not depend on the videos before: a crash or a lack of memory counts only if a new process, which
    has seen no other video, fails in the same way.
    """

    def __init__(self, job: Job):
        self._job = job
        self._child: _Child | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def start(self) -> None:
        """Start the process now instead of with the first video. Raises UnfitNodeError if it does not start."""
        self._child = self._child or _started(self._job)

    def result_of(self, split: str, video: Video) -> VideoResult:
        """Convert one video. Its failure may be that its decoder crashed, hung or ran out of memory.

        Raises UnfitNodeError if the process does not start, or has other library versions than the driver.
        """
        causes: list[str] = []
        while not _is_to_blame(causes):
            is_new = self._child is None
            self._child = self._child or _started(self._job)
            try:
                result = self._child.request(split, video)
            except TimeoutError:
                self._stop()
                limit = f"timeout_seconds={self._job.config.timeout_seconds:g}"
                return _failed(video, reasons.TIME_LIMIT, f"no answer after {limit}; its decoder was killed")
            except (EOFError, BrokenPipeError, ConnectionResetError):
                causes.append(self._stop(_DYING_SECONDS))
                continue
            except (ValueError, TypeError, KeyError) as error:
                # The process may have parsed a hostile file, so its answer may be anything.
                self._stop()
                return _failed(video, reasons.UNEXPECTED, f"its decoder sent an unreadable answer: {error!r}")
            if result.failure is None or result.failure.reason != reasons.MEMORY_LIMIT:
                return result
            self._stop()
            if is_new:
                return result
        return _failed(video, reasons.CRASHED, f"its decoder died {len(causes)} times, the last time of {causes[-1]}")

    def peak_memory_bytes(self) -> int:
        """The peak memory of the running decoder; 0 if none runs, or if the system does not report it."""
        return self._child.peak_memory_bytes() if self._child else 0

    def _stop(self, patience_seconds: float = 0) -> str:
        child, self._child = self._child, None
        return child.stop(patience_seconds) if child else ""


def _is_to_blame(causes: list[str]) -> bool:
    kills = causes.count(signal.SIGKILL.name)
    return len(causes) - kills >= _CRASHES_TO_BLAME or kills >= _KILLS_TO_BLAME


class _DidNotStartError(Exception):
    """Arguments: how the process ended, and the end of its standard error."""


def _started(job: Job) -> "_Child":
    for _ in range(_KILLS_TO_BLAME):
        try:
            return _Child(job)
        except _DidNotStartError as error:
            cause, stderr = error.args
            if cause != signal.SIGKILL.name:
                break
    raise UnfitNodeError(f"no decoder starts on {platform.node()}: {cause}; {stderr}")


class _Child:
    """The running process ``preprocess.worker.child``."""

    def __init__(self, job: Job):
        self._stderr = tempfile.TemporaryFile()
        timeout = job.config.timeout_seconds
        self._patience_seconds = timeout + max(_LEAST_GRACE_SECONDS, timeout / 10)
        read_commands, write_commands = os.pipe()
        read_replies, write_replies = os.pipe()
        # Nothing is ever written. Only this process holds the other end, and the decoder dies when it is closed.
        lifeline, self._lifeline = os.pipe()
        descriptors = (read_commands, write_replies, lifeline)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "preprocess.worker.child", *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=descriptors,
                stderr=self._stderr,
                env={**KEEP_FREED_MEMORY, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # its children are killed with it, and Ctrl-C reaches only the driver
            )
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._commands = Connection(write_commands, readable=False)
        self._replies = Connection(read_replies, writable=False)
        self._start(job)

    def _start(self, job: Job) -> None:
        try:
            self._commands.send(job)
            versions = json.loads(self._replies.recv_bytes()) if self._replies.poll(_START_SECONDS) else None
        except (EOFError, BrokenPipeError, ConnectionResetError):
            versions = None
        if versions is None:
            raise _DidNotStartError(self.stop(_DYING_SECONDS), self._stderr_tail())
        if differing := differences(job.versions, versions):
            self.stop()
            raise UnfitNodeError(
                f"the driver and {platform.node()} have different versions of libraries ({differing}), so their bytes "
                "would differ; install the same ones there, or name them in --runtime-env"
            )

    def _stderr_tail(self) -> str:
        self._stderr.seek(0)
        return self._stderr.read().decode("utf-8", "replace").strip()[-_STDERR_TAIL_CHARACTERS:]

    def request(self, split: str, video: Video) -> VideoResult:
        """Raises TimeoutError without an answer in time, and EOFError or BrokenPipeError if the process has died."""
        self._commands.send((split, video))
        if not self._replies.poll(self._patience_seconds):
            raise TimeoutError
        header = json.loads(self._replies.recv_bytes())
        samples = {
            (layout, view): Sample(**fields, image=self._replies.recv_bytes())
            for layout, view, fields in header["samples"]
        }
        failure = Failure(**header["failure"]) if header["failure"] else None
        return VideoResult(samples=samples, failure=failure, statistics=Statistics(**header["statistics"]))

    def peak_memory_bytes(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status")
        return peak_memory_bytes(status.read_text(encoding="utf-8")) if status.exists() else 0

    def stop(self, patience_seconds: float = 0) -> str:
        """Kill the process and its children.

        Returns how it ended, such as ``SIGSEGV``, if it ended by itself within ``patience_seconds``.
        """
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        status = self._process.wait()
        self._commands.close()
        self._replies.close()
        os.close(self._lifeline)
        return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def peak_memory_bytes(status: str) -> int:
    """Read the peak memory from the content of ``/proc/PID/status`` (Linux)."""
    return int(re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)[1]) * 1024


def _failed(video: Video, reason: str, detail: str) -> VideoResult:
    return VideoResult(failure=Failure(video=video.key, path=video.path, reason=reason, detail=detail))
