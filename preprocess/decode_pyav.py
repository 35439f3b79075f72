"""PyAV behind ``decode.py``: the packets are looked at first, then only what the wanted frames need is decoded."""

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import av.error
import numpy as np
from av.format import Flags
from av.stream import Discard

from preprocess.decode_glance import NOTHING, Glance, Reader, glance_for
from preprocess.decode_packets import (
    PacketTable,
    Run,
    counted_table,
    frames_are_told,
    order_by_bytes,
    order_by_stamps,
    runs,
    told_table,
)
from preprocess.decode_picture import Scalers, orient, picture_of, upright_aspect
from preprocess.decode_streams import chosen_stream, lost_packets, open_container, refuse_encrypted
from preprocess.decode_timeline import LONGEST_PAUSE_SECONDS, as_ticks, parts, ticks_of_avi, times_of_frames
from preprocess.orientation import UPRIGHT
from preprocess.picture import Picture, square_size, with_square_pixels
from preprocess.video import MAX_PIXELS, DecodeError, VideoInfo, check_indices, check_size

# Containers that keep the time of each frame (avi, for one, has the order of decoding only), and those whose seeks lead
# where they should, or it is seen that they did not.
_STAMPING_CONTAINERS = ("mov", "matroska", "mpegts", "flv")
_SEEKING_CONTAINERS = ("mov", "matroska", "mpegts", "avi")
# Codecs that decode frames in another order than they are shown in, as far as their packets are read.
_REORDERING_CODECS = ("h264", "hevc", "mpeg4")
# What comes with one packet and holds for those behind it, so that they cannot be decoded without it: other headers, or
# the colours of a palette.
_BINDING_SIDE_DATA = ("new_extradata", "palette")
# Packets of a clip are kept from the first look; those of longer videos are read again.
_KEPT_BYTES = 1 << 24
_COUNTING_HINT = (
    "the frames of this codec or container can only be counted by decoding them all: raise timeout_seconds, cut the "
    "video, or encode it as progressive H.264 in mp4"
)
# Codecs that mark, in its own header, a frame that no other refers to; HEVC only says so within one temporal layer.
_MARKING_CODECS = ("h264", "hevc", "mpeg4")


class PyavVideo:
    """A video read in process. Context manager; see ``preprocess.video.VideoSource``."""

    def __init__(self, path: str, *, deadline: float, max_pixels: int = MAX_PIXELS, square_pixels: bool = False):
        self._path = path
        self._deadline = deadline
        self._max_pixels = max_pixels
        self._square_pixels = square_pixels
        self._scalers = Scalers(path)
        self._kept: list[av.Packet] = []
        self._identities: list[tuple[int | None, int]] = []  # position in the file, bytes
        self._seek_stamps: list[int | None] = []
        self._counts_by_decoding = False
        self._orientation = UPRIGHT  # of the frame that was decoded last
        self._container = open_container(path, max_pixels)
        try:
            self._stream = _video_stream(self._container, path, max_pixels)
            self._format = self._container.format.name.split(",")[0]
            self._codec = self._stream.codec_context.codec.canonical_name
            self._table, times_seconds = self._look_at_packets()
            num_frames = len(times_seconds)
            self.info = VideoInfo(
                decoder="pyav",
                codec=self._codec,
                times_seconds=times_seconds,
                stream=self._stream.index,
                decoded_share=num_frames / (num_frames + lost_packets(self._stream, len(self._table.restarts))),
            )
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> "PyavVideo":
        return self

    def __exit__(self, *exception: object) -> None:
        self._container.close()

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(index, uint8 (H, W, 3)) of each index. DecodeError where the stream breaks or a frame does not come."""
        return ((index, picture.rgb()) for index, picture in self.pictures(indices))

    def pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """The same frames, to cut tiles from."""
        return ((index, self._picture(frame)) for index, frame in self.decoded(indices))

    def _picture(self, frame: av.VideoFrame) -> Picture:
        picture = picture_of(frame, self._scalers)
        if not self._square_pixels:
            return picture
        aspect = upright_aspect(frame, self._stream.sample_aspect_ratio)
        check_size(self._path, *square_size(picture.size, aspect), self._max_pixels)
        return with_square_pixels(picture, aspect)

    def decoded(self, indices: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """What ``frames`` gives, as it comes from the decoder: neither converted nor turned."""
        check_indices(indices, self.info.num_frames)
        missing = list(indices)
        for decode in (self._decode_least, self._decode_in_order):
            for index, frame in _in_turn(decode(list(missing)), list(missing)):
                missing.remove(index)
                yield index, frame
        if missing:
            raise DecodeError(
                "truncated or damaged stream",
                f"{self._path}: {self.info.num_frames} frames by its packets, but frame {missing[0]} does not decode",
            )

    def _look_at_packets(self) -> tuple[PacketTable, np.ndarray]:
        """The table, and when each frame is shown in seconds from the first."""
        glance = self._glance(read_order=self._format not in _STAMPING_CONTAINERS)
        stamps, decoding, discarded, glances, num_bytes = [], [], [], [], 0
        for packet in self._demux():
            if packet.is_corrupt:
                raise DecodeError("truncated or damaged file", f"{self._path}: packet {len(stamps)} is not whole")
            glances.append(glance(memoryview(packet)) if glance else NOTHING)
            stamps.append(packet.pts)
            decoding.append(packet.dts)
            self._identities.append((packet.pos, packet.size))
            discarded.append(packet.is_discard)
            # Nearly no packet has any; to ask for one kind costs four times as much.
            for data in packet.iter_sidedata():
                refuse_encrypted(data, self._path)
                if data.data_type in _BINDING_SIDE_DATA:
                    glance = None
            num_bytes += packet.size
            if num_bytes <= _KEPT_BYTES:
                self._kept.append(packet)
        if all(discarded):
            raise DecodeError("no frames", f"{self._path}: its video stream holds no packets")
        if len(self._kept) < len(stamps):
            self._kept.clear()
        self._seek_stamps = decoding if self._format == "avi" else stamps
        ticks, decoding_ticks = as_ticks(stamps), as_ticks(decoding)
        part_of = parts(decoding_ticks, self._longest_pause_ticks())
        glances = glances if glance else [NOTHING] * len(stamps)
        order = self._order(ticks, decoding_ticks, part_of, glances, discarded)
        for number, packet in enumerate(self._kept):
            packet.pts = number  # the decoder hands it on to the frame
        table, numbers = self._table_of(order, glances, discarded)
        if table.num_frames == 0:
            raise DecodeError("no frames", f"{self._path}: {len(stamps)} packets, none of which shows a frame")
        return table, self._times_seconds(numbers, ticks, decoding_ticks, part_of)

    def _glance(self, *, read_order: bool) -> Reader | None:
        return glance_for(self._codec, self._stream.codec_context.extradata, read_order=read_order)

    def _longest_pause_ticks(self) -> float | None:
        """Of containers whose clock may begin anew; in others a pause is a pause, however long."""
        if not self._container.format.flags & Flags.ts_discont.value or not self._stream.time_base:
            return None
        return LONGEST_PAUSE_SECONDS / float(self._stream.time_base)

    def _order(
        self,
        ticks: np.ndarray,
        decoding_ticks: np.ndarray,
        part_of: np.ndarray,
        glances: list[Glance],
        discarded: list[bool],
    ) -> np.ndarray | None:
        """The packets in the order shown; None where only decoding tells it, or tells what is shown at all."""
        if not frames_are_told(glances, discarded):
            return None
        if self._codec not in _REORDERING_CODECS:
            return np.arange(len(glances))
        if not glances[0].restart:
            return None  # what its first packets refer to was cut off
        if self._codec == "mpeg4":
            return order_by_bytes(glances)
        reorders = self._stream.codec_context.has_b_frames > 0
        if self._format in _STAMPING_CONTAINERS:
            order = order_by_stamps(ticks, decoding_ticks, part_of, glances, reorders=reorders)
            if order is not None:
                return order
            # The stamps are made up, or no frame is bidirectional though the header allows for it.
            glance = self._glance(read_order=True)
            glances = [glance(memoryview(packet)) for packet in self._kept] or glances
        return order_by_bytes(glances)

    def _table_of(
        self, order: np.ndarray | None, glances: list[Glance], discarded: list[bool]
    ) -> tuple[PacketTable, list[int | None]]:
        """The table, and the packet of each frame in the order shown."""
        if order is not None:
            table = told_table(order, glances, discarded)
            return table, table.packets.tolist()
        self._counts_by_decoding = True
        numbers = [frame.pts for packet in self._all_packets() for frame in self._decode(packet)]
        return counted_table(numbers, glances), numbers

    def _times_seconds(
        self, numbers: list[int | None], ticks: np.ndarray, decoding_ticks: np.ndarray, part_of: np.ndarray
    ) -> np.ndarray:
        """When the frames are shown that come from these packets."""
        packets = np.array([-1 if number is None else number for number in numbers], np.int64)
        if np.isnan(ticks[packets]).any() and not np.isnan(decoding_ticks[packets]).any():
            # A container that keeps the times of decoding alone: they are those of showing, in another order.
            ticks = decoding_ticks
        frame_ticks = np.where(packets < 0, np.nan, ticks[packets])
        if self._format == "avi" and len(frame_ticks) == len(ticks):
            frame_ticks = ticks_of_avi(ticks, decoding_ticks)
        frame_parts = np.maximum.accumulate(np.where(packets < 0, 0, part_of[packets]))
        unit = self._stream.time_base or Fraction(1, 25)
        return times_of_frames(frame_ticks, frame_parts, float(unit), float(self._stream.average_rate or 25))

    def _decode_least(self, indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """What is exact and cheap, and as many of the frames as it gives."""
        if self._table.packets is None or not (self._kept or self._format in _SEEKING_CONTAINERS):
            return
        may_skip = self._table.one_each and self._codec in _MARKING_CODECS
        may_skip = may_skip and not (self._codec == "hevc" and self._table.layered)
        for run in runs(self._table, indices):
            yield from self._decode_run(run, may_skip)

    def _decode_run(self, run: Run, may_skip: bool) -> Iterator[tuple[int, av.VideoFrame]]:
        context, wanted = self._stream.codec_context, dict(run.wanted)
        context.flush_buffers()
        for packet in self._packets_of_run(run):
            context.skip_frame = "NONREF" if may_skip and packet is not None and packet.pts not in wanted else "DEFAULT"
            for frame in self._decode(packet):
                if frame.pts in wanted:
                    yield wanted.pop(frame.pts), frame
            if not wanted:
                return

    def _packets_of_run(self, run: Run) -> Iterator[av.Packet | None]:
        """The packets, then None, which has the decoder give out what it still holds. Ends early if a seek misled."""
        if self._kept:
            yield from self._kept[run.first : run.last + 1]
            yield None
            return
        self._seek(run.first)
        number = None
        for packet in self._demux():
            identity = packet.pos, packet.size
            number = self._number_of(identity, run.first) if number is None else number + 1
            if number is None or number > run.last or identity != self._identities[number]:
                return
            if number >= run.first:
                packet.pts = number
                yield packet
            if number == run.last:
                yield None
                return

    def _seek(self, number: int) -> None:
        """To a packet, or before it."""
        if self._format == "mpegts":
            # By place and not by time: joined streams have times twice.
            self._container.seek(self._identities[number][0] or 0, stream=self._stream, unsupported_byte_offset=True)
        else:
            self._container.seek(int(self._seek_stamps[number] or 0), stream=self._stream)

    def _number_of(self, identity: tuple[int | None, int], last: int) -> int | None:
        """The place of the packet with this position and size, up to packet ``last``; or None."""
        return next((number for number in range(last, -1, -1) if self._identities[number] == identity), None)

    def _decode_in_order(self, indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Everything from the start to the last wanted frame."""
        if not indices:
            return
        packets = self._table.packets
        wanted = dict(zip(indices if packets is None else packets[indices].tolist(), indices))
        frames = (frame for packet in self._all_packets() for frame in self._decode(packet))
        for number, frame in enumerate(frames):
            name = number if packets is None else frame.pts
            if name in wanted:
                yield wanted.pop(name), frame
            if not wanted:
                return

    def _all_packets(self) -> Iterator[av.Packet | None]:
        self._stream.codec_context.skip_frame = "DEFAULT"
        if self._kept:
            self._stream.codec_context.flush_buffers()
            yield from self._kept
        else:
            self._reopen()
            for number, packet in enumerate(self._demux()):
                packet.pts = number
                yield packet
        yield None

    def _demux(self) -> Iterator[av.Packet]:
        """The packets that are not empty."""
        try:
            for packet in self._container.demux(self._stream):
                self._check_deadline()
                if packet.size > 0:
                    yield packet
        except av.error.FFmpegError as error:
            raise DecodeError("truncated or damaged file", f"{self._path}: {error}") from error

    def _decode(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        self._check_deadline()
        try:
            frames = self._stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            raise DecodeError("truncated or damaged stream", f"{self._path}: {error}") from error
        for frame in frames:
            self._orientation = orient(frame, self._orientation)
        return frames

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            hint = f"; {_COUNTING_HINT}" if self._counts_by_decoding else ""
            raise DecodeError("time limit", f"{self._path}: decoding took longer than timeout_seconds allows{hint}")

    def _reopen(self) -> None:
        """A fresh container rather than a seek: not every format finds its own beginning again."""
        self._container.close()
        self._container = open_container(self._path, self._max_pixels)
        self._stream = _video_stream(self._container, self._path, self._max_pixels)


def decoder_version() -> str:
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {codec}"


def _video_stream(container: av.container.InputContainer, path: str, max_pixels: int) -> av.VideoStream:
    stream = chosen_stream(container, path, max_pixels)
    _prepare(container, stream, max_pixels)
    return stream


def _prepare(container: av.container.InputContainer, stream: av.VideoStream, max_pixels: int) -> None:
    # One thread a video: the workers are the parallelism, and a second thread only adds memory and overhead.
    stream.codec_context.thread_count = 1
    # Damage is an error here and not concealed: ffmpeg, which is tried next, conceals it and says so.
    stream.codec_context.options = {"err_detect": "explode", "max_pixels": str(max_pixels)}
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all


def _in_turn(frames: Iterator[tuple[int, av.VideoFrame]], indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decoders may give frames in another order than they are shown in; the early ones wait."""
    waiting = {}
    for index, frame in frames:
        waiting[index] = frame
        while indices and indices[0] in waiting:
            yield indices[0], waiting.pop(indices.pop(0))
