"""PyAV behind ``decode.py``: the packets are looked at first, then only what the wanted frames need is decoded."""

import time
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import av.error
import numpy as np
from av.stream import Discard

from preprocess.decode_packets import NOTHING, Glance, PacketTable, Run, glance_for, packet_table, runs, shown_places
from preprocess.decode_picture import Scalers, orient, picture_of, upright_aspect
from preprocess.decode_streams import chosen_stream, lost_packets, open_container, refuse_encrypted
from preprocess.orientation import UPRIGHT
from preprocess.picture import Picture, square_size, with_square_pixels
from preprocess.video import MAX_PIXELS, DecodeError, VideoInfo, check_indices, check_size

# Containers that keep the time of each frame (avi, for one, has the order of decoding only), and those of them whose
# seeks lead where they should.
_STAMPING_CONTAINERS = ("mov", "matroska", "mpegts")
_SEEKING_CONTAINERS = ("mov", "matroska")
# Codecs whose frames carry the time of the packet they came in; those of others are counted.
_STAMPING_CODECS = ("h264", "hevc", "vp8", "vp9", "av1")
# Packets of a clip are kept from the first look; those of longer videos are read again.
_KEPT_BYTES = 1 << 24
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
                decoded_share=num_frames / (num_frames + lost_packets(self._stream, len(self._table.shown))),
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
        glance = glance_for(self._codec, self._stream.codec_context.extradata)
        stamps, shown, glances, num_bytes = [], [], [], 0
        for packet in self._demux():
            if packet.is_corrupt:
                raise DecodeError("truncated or damaged file", f"{self._path}: packet {len(stamps)} is not whole")
            glances.append(glance(memoryview(packet)) if glance else NOTHING)
            stamps.append(packet.pts)
            shown.append(not packet.is_discard and not glances[-1].hidden)
            # Nearly no packet has any; to ask for one kind costs four times as much.
            for data in packet.iter_sidedata():
                refuse_encrypted(data, self._path)
                if data.data_type == "new_extradata":
                    glance = None  # other headers from here on: what is seen now tells nothing of later packets
            num_bytes += packet.size
            if num_bytes <= _KEPT_BYTES:
                self._kept.append(packet)
        if not any(shown):
            raise DecodeError("no frames", f"{self._path}: its video stream holds no packets")
        if len(self._kept) < len(stamps):
            self._kept.clear()
        table = packet_table(self._names(stamps, glances), shown, glances if glance else [])
        return table, self._times_seconds([stamp for stamp, is_shown in zip(stamps, shown) if is_shown])

    def _names(self, stamps: list[int | None], glances: list[Glance]) -> list[int] | None:
        """What packets and their frames are known by: mostly their times. None where frames can but be counted."""
        if self._codec == "mpeg4" and self._kept:
            places = shown_places(glances)
            for packet, place in zip(self._kept, places or ()):
                packet.pts = place
            return places
        if self._format not in _STAMPING_CONTAINERS or self._codec not in _STAMPING_CODECS:
            return None
        # Frames that are decoded in another order than shown have times in another order: else those times are made up.
        reorders = self._stream.codec_context.has_b_frames and len(stamps) > 1
        return None if None in stamps or (reorders and stamps == sorted(stamps)) else stamps

    def _times_seconds(self, stamps: list[int | None]) -> np.ndarray:
        if None in stamps:
            # A container that keeps no times (MPEG-4 in avi with B-frames) has a rate.
            return np.arange(len(stamps)) / float(self._stream.average_rate or 25)
        unit = self._stream.time_base or Fraction(1, 25)
        seconds = np.sort(np.array(stamps, np.int64)) * unit.numerator / unit.denominator
        return seconds - seconds[0]

    def _decode_least(self, indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """What is exact and cheap, and as many of the frames as it gives."""
        if self._table.stamps is None or not (self._kept or self._format in _SEEKING_CONTAINERS):
            return
        may_skip = self._codec in _MARKING_CODECS and not (self._codec == "hevc" and self._table.layered)
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
        stamps = self._table.stamps
        self._container.seek(int(stamps[run.first]), stream=self._stream)
        number = None
        for packet in self._demux():
            number = self._table.number_of(packet.pts) if number is None else number + 1
            if number is None or number > run.last or packet.pts != stamps[number]:
                return
            if number >= run.first:
                yield packet
            if number == run.last:
                yield None
                return

    def _decode_in_order(self, indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Everything from the start to the last wanted frame."""
        if not indices:
            return
        stamps = self._table.frame_stamps
        wanted = dict(zip(indices if stamps is None else stamps[indices].tolist(), indices))
        frames = (frame for packet in self._all_packets() for frame in self._decode(packet))
        for number, frame in enumerate(frames):
            name = number if stamps is None else frame.pts
            if name in wanted:
                yield wanted.pop(name), frame
            if not wanted:
                return

    def _all_packets(self) -> Iterator[av.Packet | None]:
        if self._kept:
            self._stream.codec_context.flush_buffers()
            yield from self._kept
        else:
            self._reopen()
            yield from self._demux()
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
            raise DecodeError("time limit", f"{self._path}: decoding took longer than timeout_seconds allows")

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
