"""PyAV behind ``decode.py``: packets are counted, then frames are decoded in order and only wanted ones converted."""

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import av.error
import numpy as np
from av.stream import Disposition

from preprocess.video import DecodeError, VideoInfo, check_indices


class PyavVideo:
    """A video read in process. Context manager; see ``preprocess.video.VideoSource``."""

    def __init__(self, path: str, *, deadline: float):
        self._path = path
        self._deadline = deadline
        self._container = _open(path)
        try:
            self._stream = _video_stream(self._container, path)
            self.info = VideoInfo(
                decoder="pyav",
                codec=self._stream.codec_context.name,
                times_seconds=self._frame_times(),
            )
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "PyavVideo":
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(index, uint8 (H, W, 3)) of each index. DecodeError where the stream breaks or ends before the last."""
        check_indices(indices, self.info.num_frames)
        self._rewind()
        wanted = iter(indices)
        next_wanted = next(wanted, None)
        number = -1
        for number, frame in enumerate(self._decode()):
            if number == next_wanted:
                yield number, _upright_rgb(frame)
                next_wanted = next(wanted, None)
            if next_wanted is None:
                return
        if next_wanted is not None:
            raise DecodeError(
                "truncated or damaged stream",
                f"{self._path}: {self.info.num_frames} packets, but only {number + 1} frames decode",
            )

    def _frame_times(self) -> np.ndarray:
        """The packets' times in the order shown: one packet a frame, the empty and the discarded ones not counted."""
        stamps, time_base = [], self._stream.time_base or Fraction(1, 25)
        try:
            for packet in self._container.demux(self._stream):
                if packet.size > 0 and not packet.is_discard:
                    stamps.append(packet.pts)
                self._check_deadline()
        except av.error.FFmpegError as error:
            raise DecodeError("truncated or damaged file", f"{self._path}: {error}") from error
        if not stamps:
            raise DecodeError("no frames", f"{self._path}: its video stream holds no packets")
        if None in stamps:
            return _even_times(len(stamps), self._stream.average_rate)
        seconds = np.sort(np.array([float(stamp * time_base) for stamp in stamps]))
        return seconds - seconds[0]

    def _rewind(self) -> None:
        """A fresh container rather than a seek: not every format finds its own beginning again."""
        self._container.close()
        self._container = _open(self._path)
        self._stream = _video_stream(self._container, self._path)

    def _decode(self) -> Iterator[av.VideoFrame]:
        try:
            for frame in self._container.decode(self._stream):
                self._check_deadline()
                yield frame
        except av.error.FFmpegError as error:
            raise DecodeError("truncated or damaged stream", f"{self._path}: {error}") from error

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise DecodeError("time limit", f"{self._path}: decoding took longer than timeout_seconds allows")


def decoder_version() -> str:
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {codec}"


def _open(path: str) -> av.container.InputContainer:
    try:
        # The protocol is named so that no playlist inside a file can make us fetch another file or a URL.
        return av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError) as error:
        raise DecodeError("not a video", f"{path}: {error}") from error


def _video_stream(container: av.container.InputContainer, path: str) -> av.VideoStream:
    """The first stream of moving pictures: a cover image inside a sound file is none."""
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            # One thread a video: the workers are the parallelism, and a second thread only adds memory and overhead.
            stream.codec_context.thread_count = 1
            return stream
    kinds = sorted({stream.type for stream in container.streams})
    raise DecodeError("no video stream", f"{path}: it holds {', '.join(kinds) or 'no streams'}")


def _even_times(num_frames: int, rate: Fraction | None) -> np.ndarray:
    """Times for a container that keeps none (MPEG-4 in avi with B-frames)."""
    return np.arange(num_frames) / float(rate or 25)


def _upright_rgb(frame: av.VideoFrame) -> np.ndarray:
    """uint8 (H, W, 3), turned as the file asks; PyAV does not turn by itself, the ffmpeg command does."""
    rgb = frame.to_ndarray(format="rgb24", interpolation="BICUBIC")
    quarters = round(frame.rotation / 90) % 4  # positive is anticlockwise, as in np.rot90
    return np.ascontiguousarray(np.rot90(rgb, quarters)) if quarters else rgb
