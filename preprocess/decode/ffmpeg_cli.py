"""Decode with the ffmpeg command, through ffmpeg-python: one pass lists the frames, another one delivers them.

ffmpeg conceals errors at which PyAV stops. So it is the fallback for damaged files, and the reference in the tests.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction

import ffmpeg
import imageio_ffmpeg
import numpy as np

from preprocess import reasons
from preprocess.decode.ffmpeg_process import FfmpegRun, Messages
from preprocess.decode.frame import ArrayPicture, Picture, square_size, with_square_pixels
from preprocess.decode.source import CONTAINERS, MAX_PIXELS, DecodeError, VideoInfo, check_indices, check_size
from preprocess.decode.streams import Probed, probe

_TOO_LARGE = re.compile(r"Picture size \d+x\d+ (is invalid|exceeds)")  # ffmpeg's own limit, or max_pixels
_NO_CONVERSION = "Impossible to convert between the formats"
_LISTING_FIELDS = 6  # stream, dts, pts, duration, size, checksum


class FfmpegVideo:
    """A video that a child process decodes. Context manager; see ``preprocess.decode.source.VideoSource``."""

    def __init__(self, path: str, *, deadline: float, max_pixels: int = MAX_PIXELS, square_pixels: bool = False):
        self._path = path
        self._deadline = deadline
        self._max_pixels = max_pixels
        self._probed = _probe(path, max_pixels, deadline)
        listing, messages = self._list_frames()
        self._width, self._height = listing.width, listing.height
        self._aspect = listing.sample_aspect if square_pixels else Fraction(1)
        width, height = square_size((self._width, self._height), self._aspect)
        check_size(path, width, height, max_pixels)
        times = np.array(listing.times_seconds)
        self.info = VideoInfo(
            decoder="ffmpeg",
            codec=None,
            times_seconds=times - times[0],
            stream=self._probed.stream if self._probed else None,
            decoded_share=_decoded_share(len(times), messages, self._probed),
        )

    def __enter__(self) -> "FfmpegVideo":
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing stays open between the passes."""

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, uint8 (H, W, 3)) for each index. ffmpeg rotates the frames itself, and scales those of
        another size.
        """
        return ((index, picture.rgb()) for index, picture in self.pictures(indices))

    def pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """Yield the same frames as pictures, to cut tiles from."""
        return (
            (index, with_square_pixels(ArrayPicture(frame), self._aspect)) for index, frame in self._delivered(indices)
        )

    def _delivered(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the wanted frames from ffmpeg, one at a time.

        ffmpeg writes all frames up to the last wanted one, and they are counted here. ffmpeg's own ``select`` filter
        restarts its count if the stream changes its size, format or range, because ffmpeg then rebuilds its filters.
        """
        check_indices(indices, self.info.num_frames)
        if not len(indices):
            return
        wanted, last = set(indices), indices[-1]
        # passthrough: by default ffmpeg repeats and drops frames for a constant frame rate.
        output = self._input().output(
            "pipe:", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough", frames=last + 1, threads=1
        )
        shape = self._height, self._width, 3
        unwanted = memoryview(np.empty(shape, np.uint8)).cast("B")
        with FfmpegRun(output, path=self._path, deadline=self._deadline) as run:
            for number in range(last + 1):
                frame = np.empty(shape, np.uint8) if number in wanted else None
                buffer = unwanted if frame is None else memoryview(frame).cast("B")
                if run.read_into(buffer) < len(buffer):
                    raise self._lost_frame(number, last + 1, run.finish())
                if frame is not None:
                    yield number, frame

    def _lost_frame(self, number: int, count: int, messages: Messages) -> DecodeError:
        if _NO_CONVERSION in messages.errors:
            return DecodeError(reasons.UNKNOWN_MATRIX, f"{self._path}: {messages.errors}")
        return DecodeError(
            reasons.DAMAGED_STREAM,
            f"{self._path}: ffmpeg gave {number} of {count} frames; {messages.errors}",
        )

    def _input(self) -> ffmpeg.nodes.FilterableStream:
        # The prefix and the whitelists: a dash or colon in a name, or a playlist in a file, must have no effect.
        source = ffmpeg.input(
            f"file:{self._path}",
            protocol_whitelist="file",
            format_whitelist=",".join(CONTAINERS),
            max_pixels=self._max_pixels,
            threads=1,
        )
        # V: the first video stream that is not a cover picture.
        return source[str(self._probed.stream) if self._probed else "V:0"]

    def _list_frames(self) -> "tuple[_FrameList, Messages]":
        output = self._input().output(
            "pipe:", format="framecrc", fps_mode="passthrough", enc_time_base="demux", threads=1
        )
        with FfmpegRun(output, path=self._path, deadline=self._deadline) as run:
            text = run.read_all().decode("ascii", "replace")
            messages = run.finish()
        listing = _FrameList.parse(text)
        if not text:
            reason = _reason(messages.errors, opens=self._probed is not None)
            raise DecodeError(reason, f"{self._path}: {messages.errors}")
        if listing.is_cut:
            raise DecodeError(
                reasons.DAMAGED_STREAM,
                f"{self._path}: ffmpeg's list of frames ends early, after {len(listing.times_seconds)}; "
                f"{messages.errors}",
            )
        if not listing.times_seconds:
            raise DecodeError(reasons.NO_FRAMES, f"{self._path}: ffmpeg decodes none; {messages.errors}")
        return listing, messages


class _FrameList:
    """The output of ffmpeg's ``framecrc`` muxer: a header of ``#`` lines, then one line for each frame.

    ``is_cut``: the last line is incomplete, so ffmpeg did not finish.
    """

    def __init__(self) -> None:
        self.times_seconds: list[float] = []
        self.width = self.height = 0
        self.sample_aspect = Fraction(1)
        self.is_cut = False

    @classmethod
    def parse(cls, text: str) -> "_FrameList":
        listing, time_base = cls(), Fraction(1, 25)
        *lines, rest = text.split("\n")
        listing.is_cut = bool(rest)
        for line in lines:
            name, _, value = line.partition(": ")
            if name == "#tb 0":
                time_base = Fraction(value)
            elif name == "#dimensions 0":
                listing.width, listing.height = map(int, value.split("x"))
            elif name == "#sar 0":
                listing.sample_aspect = _aspect(value)
            elif not line.startswith("#"):
                fields = line.split(",")
                if len(fields) < _LISTING_FIELDS:
                    listing.is_cut = True
                    break
                listing.times_seconds.append(float(int(fields[2]) * time_base))
        return listing


def _aspect(text: str) -> Fraction:
    """Parse ``16/15``. 0/1 means unknown."""
    numerator, denominator = map(int, text.split("/"))
    return Fraction(numerator, denominator) if numerator > 0 and denominator > 0 else Fraction(1)


def _probe(path: str, max_pixels: int, deadline: float) -> Probed | None:
    """Probe the file. None if PyAV cannot open it; the ffmpeg command then reports what is wrong."""
    try:
        return probe(path, max_pixels=max_pixels, deadline=deadline)
    except DecodeError as error:
        if error.reason != reasons.NOT_A_VIDEO:
            raise
        return None


def _decoded_share(num_frames: int, messages: Messages, probed: Probed | None) -> float:
    """The share of frames without damage: of the delivered frames, the packets that did not decode, and those that
    the file lost.
    """
    lost = 0
    if probed is not None and messages.packets is not None:
        lost = max(probed.expected_packets - messages.packets, 0)
    sound = max(num_frames - messages.damaged_frames, 0)
    return sound / (num_frames + messages.decode_errors + lost)


def _reason(errors: str, *, opens: bool) -> str:
    if _TOO_LARGE.search(errors):
        return reasons.PICTURE_TOO_LARGE
    if "matches no streams" in errors:
        return reasons.NO_VIDEO_STREAM
    return reasons.DAMAGED_STREAM if opens else reasons.NOT_A_VIDEO


@functools.cache
def decoder_version() -> str:
    """``ffmpeg 7.0.2-static``. Cached, because it starts a process."""
    return f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}"
