"""The ffmpeg command behind ``decode.py``, through ffmpeg-python: one pass lists the frames, another delivers some.

It conceals errors where PyAV stops, so it is the fallback for damaged files, and the oracle of the tests.
"""

import functools
import math
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import ffmpeg
import imageio_ffmpeg
import numpy as np

from preprocess.picture import ArrayPicture, Picture
from preprocess.video import CONTAINERS, MAX_PIXELS, DecodeError, VideoInfo, check_indices

_DETAIL_CHARACTERS = 500
_ADDRESS = re.compile(r" @ 0x[0-9a-f]+")
_TOO_LARGE = re.compile(r"Picture size \d+x\d+ (is invalid|exceeds)")  # by its own rule, or by max_pixels


class FfmpegVideo:
    """A video read by a child process. Context manager; see ``preprocess.video.VideoSource``."""

    def __init__(self, path: str, *, deadline: float, max_pixels: int = MAX_PIXELS):
        self._path = path
        self._deadline = deadline
        self._max_pixels = max_pixels
        listing = _FrameList.parse(self._list_frames())
        if not listing.times_seconds:
            raise DecodeError("no frames", f"{path}: ffmpeg decodes none")
        self._width, self._height = listing.width, listing.height
        times = np.array(listing.times_seconds)
        self.info = VideoInfo(decoder="ffmpeg", codec=None, times_seconds=times - times[0])

    def __enter__(self) -> "FfmpegVideo":
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing stays open between the passes."""

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(index, uint8 (H, W, 3)) of each index. ffmpeg turns the frames itself, and scales those of another size."""
        check_indices(indices, self.info.num_frames)
        if not len(indices):
            return
        picked = _sum([f"eq(n,{index})" for index in indices])
        # passthrough: otherwise ffmpeg repeats and drops frames to fill a constant rate.
        output = (
            self._input()
            .filter("select", picked)
            .output("pipe:", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough", frames=len(indices), threads=1)
        )
        raw, complaint = self._run(output)
        size = self._width * self._height * 3
        if len(raw) != size * len(indices):
            raise DecodeError(
                "truncated or damaged stream",
                f"{self._path}: ffmpeg gave {len(raw) // size} of {len(indices)} frames; "
                f"{complaint[-_DETAIL_CHARACTERS:]}",
            )
        frames = np.frombuffer(raw, np.uint8).reshape(len(indices), self._height, self._width, 3)
        yield from zip(indices, frames)

    def pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """The same frames, to cut tiles from."""
        return ((index, ArrayPicture(frame)) for index, frame in self.frames(indices))

    def _input(self) -> ffmpeg.nodes.FilterableStream:
        # The prefix and the whitelists: no dash or colon in a name, and no playlist in a file, means more than a file.
        return ffmpeg.input(
            f"file:{self._path}",
            protocol_whitelist="file",
            format_whitelist=",".join(CONTAINERS),
            max_pixels=self._max_pixels,
            threads=1,
        )["v:0"]

    def _list_frames(self) -> str:
        output = self._input().output(
            "pipe:", format="framecrc", fps_mode="passthrough", enc_time_base="demux", threads=1
        )
        listing, complaint = self._run(output)
        if not listing:
            raise DecodeError(_reason(complaint), f"{self._path}: {complaint[-_DETAIL_CHARACTERS:]}")
        return listing.decode("ascii")

    def _run(self, output: ffmpeg.nodes.OutputStream) -> tuple[bytes, str]:
        """(standard output, last words on standard error) of a run that ends in time, whatever its exit status."""
        seconds_left = max(self._deadline - time.monotonic(), 0)
        # Its own limit is for the case that this process is killed and cannot end it.
        output = output.global_args("-nostdin", "-v", "error", "-timelimit", str(math.ceil(seconds_left) + 1))
        command = ffmpeg.compile(output, cmd=imageio_ffmpeg.get_ffmpeg_exe())
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=seconds_left,
            )
        except subprocess.TimeoutExpired as error:
            raise DecodeError("time limit", f"{self._path}: ffmpeg took longer than timeout_seconds allows") from error
        # Addresses in memory are others in each run, and nothing to anybody.
        return done.stdout, _ADDRESS.sub("", done.stderr.decode("utf-8", "replace")).strip()


class _FrameList:
    """The text that ffmpeg's ``framecrc`` muxer writes: a header of ``#`` lines, then a line for each frame."""

    def __init__(self):
        self.times_seconds: list[float] = []
        self.width = self.height = 0

    @classmethod
    def parse(cls, text: str) -> "_FrameList":
        listing, time_base = cls(), Fraction(1, 25)
        for line in text.splitlines():
            name, _, value = line.partition(": ")
            if name == "#tb 0":
                time_base = Fraction(value)
            elif name == "#dimensions 0":
                listing.width, listing.height = map(int, value.split("x"))
            elif not line.startswith("#"):
                # stream, dts, pts, duration, size, checksum
                listing.times_seconds.append(float(int(line.split(",")[2]) * time_base))
        return listing


def _sum(terms: list[str]) -> str:
    """The terms added up as a balanced tree: ffmpeg parses a plain chain of a hundred as too deep."""
    if len(terms) == 1:
        return terms[0]
    middle = len(terms) // 2
    return f"({_sum(terms[:middle])}+{_sum(terms[middle:])})"


def _reason(complaint: str) -> str:
    if _TOO_LARGE.search(complaint):
        return "picture too large"
    return "no video stream" if "matches no streams" in complaint else "not a video"


@functools.cache
def decoder_version() -> str:
    """``ffmpeg 7.0.2-static``: asked once, it starts a process."""
    return f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"
