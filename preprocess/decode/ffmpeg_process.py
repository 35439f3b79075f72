"""One run of the ffmpeg command. Its output is read in pieces before a deadline, and its messages are kept."""

import contextlib
import fcntl
import math
import re
import select
import signal
import subprocess
import tempfile
import time
from collections import deque
from dataclasses import dataclass

import ffmpeg
import imageio_ffmpeg

from preprocess import reasons
from preprocess.decode.source import DecodeError

_SET_PIPE_SIZE = 1031  # fcntl's F_SETPIPE_SZ on Linux
_PIPE_BYTES = 1 << 20
_ERRORS_KEPT = 3  # this many of the first messages, which have the cause, and of the last ones
_LINE_CHARACTERS = 160
_NO_MEMORY = "Cannot allocate memory"
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
_SEVERE = re.compile(r"\[(error|fatal|panic)\] ")
# Hints for command-line users, and messages about ffmpeg's own threads.
_OF_NO_USE = ("To ignore this, add a trailing", "Terminating thread with", "Task finished with")
_DAMAGED_FRAME = "corrupt decoded frame"
_PACKETS_READ = re.compile(r"Input stream #0:\d+ \(video\): (\d+) packets read")
_DECODE_ERRORS = re.compile(r"Input stream #0:\d+ \(video\):.* (\d+) decode errors")


@dataclass(frozen=True, kw_only=True)
class Messages:
    """What a run wrote to standard error.

    ``errors`` holds the first and last error messages. ``damaged_frames`` counts delivered frames with lost parts,
    and ``decode_errors`` the packets that gave no frame. ``packets`` is the number of packets read, or None if ffmpeg
    did not report it.
    """

    errors: str
    damaged_frames: int
    decode_errors: int
    packets: int | None


class FfmpegRun:
    """A running command, which ends with the ``with`` block. Raises DecodeError (``time limit``) after ``deadline``.

    ``output`` is an ffmpeg-python node that writes to ``pipe:``.
    """

    def __init__(self, output: ffmpeg.nodes.OutputStream, *, path: str, deadline: float):
        self._path = path
        self._deadline = deadline
        seconds_left = math.ceil(max(deadline - time.monotonic(), 0))
        # -timelimit ends ffmpeg if this process is killed and cannot do it. ``repeat`` writes repeated messages, to
        # count them. ``level`` marks errors.
        output = output.global_args("-nostdin", "-v", "repeat+level+verbose", "-timelimit", str(seconds_left + 1))
        self._messages = tempfile.TemporaryFile()
        try:
            self._process = subprocess.Popen(
                ffmpeg.compile(output, cmd=imageio_ffmpeg.get_ffmpeg_exe()),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._messages,
                bufsize=0,
            )
        except BaseException:
            self._messages.close()
            raise
        # Frames are larger than the 64 KiB of a pipe. If a quota refuses a larger pipe, decoding is only slower.
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._process.stdout, _SET_PIPE_SIZE, _PIPE_BYTES)

    def __enter__(self) -> "FfmpegRun":
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self._messages.close()

    def read_into(self, buffer: memoryview) -> int:
        """Fill the buffer. Returns the number of bytes, which is smaller than the buffer only at the end of the
        output.
        """
        filled = 0
        while filled < len(buffer):
            self._wait_for_output()
            count = self._process.stdout.readinto(buffer[filled:])
            if not count:
                break
            filled += count
        return filled

    def read_all(self) -> bytes:
        pieces, buffer = [], memoryview(bytearray(_PIPE_BYTES))
        while count := self.read_into(buffer):
            pieces.append(bytes(buffer[:count]))
        return b"".join(pieces)

    def finish(self) -> Messages:
        """Wait for the run after the end of its output. Raises DecodeError if a signal ended it."""
        try:
            status = self._process.wait(max(self._deadline - time.monotonic(), 0))
        except subprocess.TimeoutExpired as error:
            raise self._too_late() from error
        messages = self._read_messages()
        if status < 0:
            name = signal.Signals(-status).name
            raise DecodeError(
                reasons.CRASHED, f"{self._path}: the ffmpeg command was ended by {name}; {messages.errors}"
            )
        return messages

    def _wait_for_output(self) -> None:
        seconds_left = self._deadline - time.monotonic()
        if seconds_left <= 0 or not select.select([self._process.stdout], [], [], seconds_left)[0]:
            raise self._too_late()

    def _too_late(self) -> DecodeError:
        return DecodeError(reasons.TIME_LIMIT, f"{self._path}: ffmpeg took longer than timeout_seconds allows")

    def _read_messages(self) -> Messages:
        self._messages.seek(0)
        first: list[str] = []
        last: deque[str] = deque(maxlen=_ERRORS_KEPT)
        damaged, decode_errors, packets = 0, 0, None
        for line in self._messages:
            text = line.decode("utf-8", "replace").strip()
            if _SEVERE.search(text) and not any(words in text for words in _OF_NO_USE):
                is_kept = len(first) < _ERRORS_KEPT or _NO_MEMORY in text
                (first if is_kept else last).append(_plain(text))
            elif _DAMAGED_FRAME in text:
                damaged += 1
            elif found := _PACKETS_READ.search(text):
                packets = int(found[1])
                decode_errors = int(match[1]) if (match := _DECODE_ERRORS.search(text)) else 0
        errors = "; ".join(dict.fromkeys([*first, *last]))
        return Messages(errors=errors, damaged_frames=damaged, decode_errors=decode_errors, packets=packets)


def _plain(text: str) -> str:
    """Remove memory addresses, which differ in each run."""
    return _SEVERE.sub("", _ADDRESS.sub("", text))[:_LINE_CHARACTERS]
