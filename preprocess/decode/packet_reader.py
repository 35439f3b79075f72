"""Read the packets of one video stream: a first pass, then kept packets, a seek, or another pass from the start."""

import time
from collections.abc import Iterator

import av
import av.error
from av.stream import Discard

from preprocess import reasons
from preprocess.decode.order import StreamNotes
from preprocess.decode.packets import Run
from preprocess.decode.source import DecodeError
from preprocess.decode.streams import chosen_stream, open_container

# Containers whose seeks are reliable, or whose wrong seeks are detected.
_SEEKING_CONTAINERS = ("mov", "matroska", "mpegts", "avi")
# The packets of a short clip are kept from the first pass; those of longer videos are read again.
_KEPT_BYTES = 1 << 24
_COUNTING_HINT = (
    "the frames of this codec or container can only be counted by decoding them all: raise timeout_seconds, cut the "
    "video, or encode it as progressive H.264 in mp4"
)


class PacketReader:
    """An open file and its chosen video stream.

    ``notes`` holds what the first pass over the packets found. ``counts_by_decoding``: all frames must be decoded to
    count them; a time-limit error mentions it.
    """

    def __init__(self, path: str, *, deadline: float, max_pixels: int):
        self._path = path
        self._deadline = deadline
        self._max_pixels = max_pixels
        self._kept: list[av.Packet] = []
        self._kept_bytes = 0
        self.counts_by_decoding = False
        self.container = open_container(path, max_pixels)
        try:
            self.stream = _video_stream(self.container, path, max_pixels)
        except BaseException:
            self.container.close()
            raise
        self.notes = StreamNotes(
            codec=self.stream.codec_context.codec.canonical_name,
            container=self.container.format.name.split(",")[0],
        )

    def close(self) -> None:
        self.container.close()

    @property
    def kept(self) -> list[av.Packet]:
        """All packets of a short clip; empty for a longer video, whose packets are read again."""
        return self._kept if len(self._kept) == len(self.notes.stamps) else []

    @property
    def finds_packets(self) -> bool:
        """Whether a packet can be reached without reading all packets before it."""
        return bool(self.kept) or self.notes.container in _SEEKING_CONTAINERS

    def keep(self, packet: av.Packet) -> None:
        """Keep a packet of the first pass if all packets are small enough together."""
        self._kept_bytes += packet.size
        if self._kept_bytes <= _KEPT_BYTES:
            self._kept.append(packet)

    def drop_incomplete(self) -> None:
        """Free the kept packets of a video that is too long to keep."""
        if not self.kept:
            self._kept.clear()

    def of_run(self, run: Run) -> Iterator[av.Packet | None]:
        """Yield the packets of a run, then None, which flushes the decoder. Ends early if a seek went wrong."""
        if self.kept:
            yield from self.kept[run.first : run.last + 1]
            yield None
            return
        self._seek(run.first)
        number = None
        for packet in self.demux():
            identity = packet.pos, packet.size
            number = self.notes.number_of(identity, run.first) if number is None else number + 1
            if number is None or number > run.last or identity != self.notes.places[number]:
                return
            if number >= run.first:
                packet.pts = number
                yield packet
            if number == run.last:
                yield None
                return

    def _seek(self, number: int) -> None:
        """Seek to a packet, or before it."""
        if self.notes.container == "mpegts":
            # By place, not by time: times repeat in joined streams.
            self.container.seek(self.notes.places[number][0] or 0, stream=self.stream, unsupported_byte_offset=True)
        else:
            stamps = self.notes.decoding if self.notes.container == "avi" else self.notes.stamps
            self.container.seek(int(stamps[number] or 0), stream=self.stream)

    def all(self) -> Iterator[av.Packet | None]:
        self.stream.codec_context.skip_frame = "DEFAULT"
        if self.kept:
            self.stream.codec_context.flush_buffers()
            yield from self.kept
        else:
            self._reopen()
            for number, packet in enumerate(self.demux()):
                packet.pts = number
                yield packet
        yield None

    def demux(self) -> Iterator[av.Packet]:
        """Yield the packets that are not empty."""
        try:
            for packet in self.container.demux(self.stream):
                self.check_deadline()
                if packet.size > 0:
                    yield packet
        except av.error.FFmpegError as error:
            raise DecodeError(reasons.DAMAGED_FILE, f"{self._path}: {error}") from error

    def check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            hint = f"; {_COUNTING_HINT}" if self.counts_by_decoding else ""
            raise DecodeError(
                reasons.TIME_LIMIT, f"{self._path}: decoding took longer than timeout_seconds allows{hint}"
            )

    def _reopen(self) -> None:
        """Open the container again instead of seeking: not every format can seek to its own start."""
        self.container.close()
        self.container = open_container(self._path, self._max_pixels)
        self.stream = _video_stream(self.container, self._path, self._max_pixels)


def _video_stream(container: av.container.InputContainer, path: str, max_pixels: int) -> av.VideoStream:
    stream = chosen_stream(container, path, max_pixels)
    _prepare(container, stream, max_pixels)
    return stream


def _prepare(container: av.container.InputContainer, stream: av.VideoStream, max_pixels: int) -> None:
    # One thread per video: workers run in parallel, and a second thread would only add memory and overhead.
    stream.codec_context.thread_count = 1
    # Damage is an error here. ffmpeg, which is tried next, conceals and reports it.
    stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(max_pixels)}
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
