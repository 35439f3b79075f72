"""A worker's decoder in a process of its own: a video that crashes, hangs or bloats it is found and named.

The price is one process start a shard and a pipe's copy of each image. In exchange the worker outlives every video, and
knows for certain which one ended its decoder.
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
from preprocess.worker.messages import Converted, Facts, Job, UnfitMachineError
from preprocess.worker.versions import differences
from shards.allocator import KEEP_FREED_MEMORY
from shards.records import Failure
from shards.write import Sample

# Only a decoder that dies again and again over one video convicts it. SIGKILL convicts later: no video can send it, but
# operators do, schedulers, and kernels that run out of memory because of others.
_CRASHES_TO_BLAME = 3
_KILLS_TO_BLAME = 10
_START_SECONDS = 300
# The decoders keep timeout_seconds themselves; one that has not answered by then is stuck inside a library.
_LEAST_GRACE_SECONDS = 5
_LAST_WORDS = 1000  # characters
_DYING_SECONDS = 5  # from the end of its pipe to the end of a process


class Sandbox:
    """Converts videos one by one; use as a context manager. The process starts with the first video.

    Blame does not depend on what was converted before: a crash or a lack of memory counts only when a new process,
    which has seen no other video, shows it too.
    """

    def __init__(self, job: Job):
        self._job = job
        self._child: _Child | None = None

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop()

    def start(self) -> None:
        """Start the process now, and not with the first video. Raises UnfitMachineError where it does not start."""
        self._child = self._child or _started(self._job)

    def convert(self, split: str, video: Video) -> Converted:
        """What becomes of a video. Its failure may be that it crashed, hung or bloated its decoder.

        Raises UnfitMachineError where the process does not even start, or has other libraries than the driver.
        """
        causes: list[str] = []
        while not _convict(causes):
            is_new = self._child is None
            self._child = self._child or _started(self._job)
            try:
                converted = self._child.convert(split, video)
            except TimeoutError:
                self._stop()
                limit = f"timeout_seconds={self._job.config.timeout_seconds:g}"
                return _failed(video, reasons.TIME_LIMIT, f"no answer after {limit}; its decoder was killed")
            except (EOFError, BrokenPipeError, ConnectionResetError):
                causes.append(self._stop(_DYING_SECONDS))
                continue
            except (ValueError, TypeError, KeyError) as error:
                # The process has parsed a hostile file, perhaps: what it sends may be anything.
                self._stop()
                return _failed(video, reasons.UNEXPECTED, f"its decoder sent an answer that cannot be read: {error!r}")
            if converted.failure is None or converted.failure.reason != reasons.MEMORY_LIMIT:
                return converted
            self._stop()
            if is_new:
                return converted
        return _failed(video, reasons.CRASHED, f"its decoder died {len(causes)} times, at last of {causes[-1]}")

    def peak_memory_bytes(self) -> int:
        """The most that the running decoder has held at once; 0 where none runs, or the system does not tell."""
        return self._child.peak_memory_bytes() if self._child else 0

    def _stop(self, patience_seconds: float = 0) -> str:
        child, self._child = self._child, None
        return child.stop(patience_seconds) if child else ""


def _convict(causes: list[str]) -> bool:
    kills = causes.count(signal.SIGKILL.name)
    return len(causes) - kills >= _CRASHES_TO_BLAME or kills >= _KILLS_TO_BLAME


class _DidNotStartError(Exception):
    """(how the process ended, its last words)."""


def _started(job: Job) -> "_Child":
    for _ in range(_KILLS_TO_BLAME):
        try:
            return _Child(job)
        except _DidNotStartError as error:
            cause, words = error.args
            if cause != signal.SIGKILL.name:
                break
    raise UnfitMachineError(f"no decoder starts on {platform.node()}: {cause}; {words}")


class _Child:
    """The running ``preprocess.worker.child``."""

    def __init__(self, job: Job):
        self._complaints = tempfile.TemporaryFile()
        timeout = job.config.timeout_seconds
        self._patience_seconds = timeout + max(_LEAST_GRACE_SECONDS, timeout / 10)
        read_commands, write_commands = os.pipe()
        read_replies, write_replies = os.pipe()
        # Nothing is ever written: the decoder dies when its other end is closed, which this process alone holds.
        lifeline, self._lifeline = os.pipe()
        descriptors = (read_commands, write_replies, lifeline)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "preprocess.worker.child", *map(str, descriptors)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=descriptors,
                stderr=self._complaints,
                env={**KEEP_FREED_MEMORY, **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                start_new_session=True,  # so that its own children are killed with it, and Ctrl-C is left to the driver
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
            raise _DidNotStartError(self.stop(_DYING_SECONDS), self._last_words())
        if differing := differences(job.versions, versions):
            self.stop()
            raise UnfitMachineError(
                f"the driver and {platform.node()} have other libraries ({differing}), so their bytes would differ; "
                "install the same ones there, or name them in --runtime-env"
            )

    def _last_words(self) -> str:
        self._complaints.seek(0)
        return self._complaints.read().decode("utf-8", "replace").strip()[-_LAST_WORDS:]

    def convert(self, split: str, video: Video) -> Converted:
        """TimeoutError when there is no answer in time, EOFError or BrokenPipeError when the process has died."""
        self._commands.send((split, video))
        if not self._replies.poll(self._patience_seconds):
            raise TimeoutError
        header = json.loads(self._replies.recv_bytes())
        samples = {
            (layout, view): Sample(**fields, image=self._replies.recv_bytes())
            for layout, view, fields in header["samples"]
        }
        failure = Failure(**header["failure"]) if header["failure"] else None
        return Converted(samples=samples, failure=failure, facts=Facts(**header["facts"]))

    def peak_memory_bytes(self) -> int:
        status = Path(f"/proc/{self._process.pid}/status")
        return peak_memory_bytes(status.read_text()) if status.exists() else 0

    def stop(self, patience_seconds: float = 0) -> str:
        """Kill it and its children; how it ended, such as ``SIGSEGV``, if it did so within ``patience_seconds``."""
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
    """Out of Linux's ``/proc/PID/status``."""
    return int(re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)[1]) * 1024


def _failed(video: Video, reason: str, detail: str) -> Converted:
    return Converted(failure=Failure(video=video.key, path=video.path, reason=reason, detail=detail))
