"""The ffmpeg command behind ``decode.py``, through ffmpeg-python: one pass lists the frames, another delivers some.

It conceals errors where PyAV stops, so it is the fallback for damaged files, and the oracle of the tests.
"""

import functools
import subprocess
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import ffmpeg
import imageio_ffmpeg
import numpy as np

from preprocess.video import DecodeError, VideoInfo, check_indices

_DETAIL_CHARACTERS = 500


class FfmpegVideo:
    """A video read by a child process. Context manager; see ``preprocess.video.VideoSource``."""

    def __init__(self, path: str, *, deadline: float):
        self._path = path
        self._deadline = deadline
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
                f"{self._path}: ffmpeg gave {len(raw) // size} of {len(indices)} frames; {complaint}",
            )
        frames = np.frombuffer(raw, np.uint8).reshape(len(indices), self._height, self._width, 3)
        yield from zip(indices, frames)

    def _input(self) -> ffmpeg.nodes.FilterableStream:
        # The prefix and the whitelist: no dash or colon in a name, and no playlist in a file, means more than a file.
        return ffmpeg.input(f"file:{self._path}", protocol_whitelist="file", threads=1)["v:0"]

    def _list_frames(self) -> str:
        output = self._input().output(
            "pipe:", format="framecrc", fps_mode="passthrough", enc_time_base="demux", threads=1
        )
        listing, complaint = self._run(output)
        if not listing:
            raise DecodeError(_reason(complaint), f"{self._path}: {complaint}")
        return listing.decode("ascii")

    def _run(self, output: ffmpeg.nodes.OutputStream) -> tuple[bytes, str]:
        """(standard output, last words on standard error) of a run that ends in time, whatever its exit status."""
        command = ffmpeg.compile(output.global_args("-nostdin", "-v", "error"), cmd=imageio_ffmpeg.get_ffmpeg_exe())
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=max(self._deadline - time.monotonic(), 0),
            )
        except subprocess.TimeoutExpired as error:
            raise DecodeError("time limit", f"{self._path}: ffmpeg took longer than timeout_seconds allows") from error
        return done.stdout, done.stderr.decode("utf-8", "replace").strip()[-_DETAIL_CHARACTERS:]


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
    return "no video stream" if "matches no streams" in complaint else "not a video"


@functools.cache
def decoder_version() -> str:
    """``ffmpeg 7.0.2-static``: asked once, it starts a process."""
    return f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"
