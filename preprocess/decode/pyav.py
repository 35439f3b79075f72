"""Decode with PyAV: look at the packets first, then decode only what the wanted frames need."""

import dataclasses
from collections.abc import Iterator, Sequence
from fractions import Fraction

import av
import av.error
import numpy as np
from av.format import Flags

from preprocess import reasons
from preprocess.decode.frame import Picture, square_size, with_square_pixels
from preprocess.decode.order import STAMPING_CONTAINERS, StreamNotes, order_shown, times_seconds
from preprocess.decode.orientation import UPRIGHT
from preprocess.decode.packet_info import UNKNOWN, PacketParser, packet_parser
from preprocess.decode.packet_reader import PacketReader
from preprocess.decode.packets import PacketTable, Run, counted_table, frames_are_known, runs, table_from_headers
from preprocess.decode.pyav_frame import Scalers, orient, picture_of, upright_aspect
from preprocess.decode.source import MAX_PIXELS, DecodeError, VideoInfo, check_indices, check_size
from preprocess.decode.streams import lost_packets, refuse_encrypted
from preprocess.decode.timeline import LONGEST_PAUSE_SECONDS

# Side data that also applies to later packets, which cannot be decoded without it: new headers, or a palette.
_BINDING_SIDE_DATA = ("new_extradata", "palette")
# Codecs whose header marks a frame that no other frame refers to. In HEVC the mark is valid within one temporal layer.
_MARKING_CODECS = ("h264", "hevc", "mpeg4")


class PyavVideo:
    """A video that is decoded in this process. Context manager; see ``preprocess.decode.source.VideoSource``."""

    def __init__(self, path: str, *, deadline: float, max_pixels: int = MAX_PIXELS, square_pixels: bool = False):
        self._path = path
        self._max_pixels = max_pixels
        self._square_pixels = square_pixels
        self._scalers = Scalers(path)
        self._orientation = UPRIGHT  # of the last decoded frame
        self._reader = PacketReader(path, deadline=deadline, max_pixels=max_pixels)
        try:
            self._table, times = self._look_at_packets()
            num_frames = len(times)
            self.info = VideoInfo(
                decoder="pyav",
                codec=self._notes.codec,
                times_seconds=times,
                stream=self._stream.index,
                decoded_share=num_frames / (num_frames + lost_packets(self._stream, len(self._table.restarts))),
            )
        except BaseException:
            self._reader.close()
            raise

    def __enter__(self) -> "PyavVideo":
        return self

    def __exit__(self, *exception: object) -> None:
        self._reader.close()

    def frames(self, indices: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (index, uint8 (H, W, 3)) for each index. Raises DecodeError if the stream breaks or a frame is
        missing.
        """
        return ((index, picture.rgb()) for index, picture in self.pictures(indices))

    def pictures(self, indices: Sequence[int]) -> Iterator[tuple[int, Picture]]:
        """Yield the same frames as pictures, to cut tiles from."""
        return ((index, self._picture(frame)) for index, frame in self.decoded(indices))

    def _picture(self, frame: av.VideoFrame) -> Picture:
        picture = picture_of(frame, self._scalers)
        if not self._square_pixels:
            return picture
        aspect = upright_aspect(frame, self._stream.sample_aspect_ratio)
        check_size(self._path, *square_size(picture.size, aspect), self._max_pixels)
        return with_square_pixels(picture, aspect)

    def decoded(self, indices: Sequence[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Yield the frames as the decoder returns them, neither converted nor rotated."""
        check_indices(indices, self.info.num_frames)
        missing = list(indices)
        for decode in (self._decode_least, self._decode_in_order):
            for index, frame in _in_turn(decode(list(missing)), list(missing)):
                missing.remove(index)
                yield index, frame
        if missing:
            raise DecodeError(
                reasons.DAMAGED_STREAM,
                f"{self._path}: {self.info.num_frames} frames by its packets, but frame {missing[0]} does not decode",
            )

    def _look_at_packets(self) -> tuple[PacketTable, np.ndarray]:
        """Return the table, and the time of each frame in seconds from the first."""
        notes = self._notes
        self._note_packets()
        if all(notes.discarded):
            raise DecodeError(reasons.NO_FRAMES, f"{self._path}: its video stream has no packets")
        part_of = notes.parts(self._longest_pause_ticks())
        order = self._order(part_of)
        for number, packet in enumerate(self._reader.kept):
            packet.pts = number  # the decoder hands it on to the frame
        table, numbers = self._table_of(order)
        if table.num_frames == 0:
            raise DecodeError(
                reasons.NO_FRAMES, f"{self._path}: {len(notes.stamps)} packets, none of which shows a frame"
            )
        tick_seconds = float(self._stream.time_base or Fraction(1, 25))
        rate = float(self._stream.average_rate or 25)
        return table, times_seconds(
            notes, numbers, part_of, tick_seconds=tick_seconds, rate=rate, reorders=self._reorders
        )

    def _note_packets(self) -> None:
        notes = self._notes
        parse = self._parser(read_order=notes.container not in STAMPING_CONTAINERS)
        for packet in self._reader.demux():
            if packet.is_corrupt:
                raise DecodeError(reasons.DAMAGED_FILE, f"{self._path}: packet {len(notes.stamps)} is incomplete")
            notes.packet_infos.append(parse(memoryview(packet)) if parse else UNKNOWN)
            notes.stamps.append(packet.pts)
            notes.decoding.append(packet.dts)
            notes.places.append((packet.pos, packet.size))
            notes.discarded.append(packet.is_discard)
            # Few packets have side data. Asking for one kind directly takes four times as long.
            for data in packet.iter_sidedata():
                refuse_encrypted(data, self._path)
                if data.data_type in _BINDING_SIDE_DATA:
                    parse = None
            self._reader.keep(packet)
        if parse is None:
            notes.packet_infos = [UNKNOWN] * len(notes.stamps)
        self._reader.drop_incomplete()

    def _parser(self, *, read_order: bool) -> PacketParser | None:
        return packet_parser(self._notes.codec, self._stream.codec_context.extradata, read_order=read_order)

    def _longest_pause_ticks(self) -> float | None:
        """The longest pause in a container whose clock may restart; None for other containers."""
        if not self._reader.container.format.flags & Flags.ts_discont.value or not self._stream.time_base:
            return None
        return LONGEST_PAUSE_SECONDS / float(self._stream.time_base)

    @property
    def _stream(self) -> av.VideoStream:
        return self._reader.stream  # a new object after the file was opened again

    @property
    def _notes(self) -> StreamNotes:
        return self._reader.notes

    @property
    def _reorders(self) -> bool:
        """Whether the codec's header allows for frames that are shown before one that is decoded before them."""
        return bool(self._stream.codec_context.has_b_frames)

    def _order(self, part_of: np.ndarray) -> np.ndarray | None:
        """The packets in the order shown; None if only decoding can determine it."""
        notes, reorders = self._notes, self._reorders
        order = order_shown(notes, part_of, reorders=reorders)
        if order is not None or notes.codec != "h264" or not frames_are_known(notes.packet_infos, notes.discarded):
            return order
        # The stamps are unreliable, or no frame is bidirectional although the header allows it: parse the bytes too.
        parse = self._parser(read_order=True)
        reread = [parse(memoryview(packet)) for packet in self._reader.kept] or notes.packet_infos
        return order_shown(dataclasses.replace(notes, packet_infos=reread), part_of, reorders=reorders)

    def _table_of(self, order: np.ndarray | None) -> tuple[PacketTable, list[int | None]]:
        """Return the table, and the packet of each frame in the order shown."""
        if order is not None:
            table = table_from_headers(order, self._notes.packet_infos, self._notes.discarded)
            return table, table.packets.tolist()
        self._reader.counts_by_decoding = True
        numbers = [frame.pts for packet in self._reader.all() for frame in self._decode(packet)]
        return counted_table(numbers, self._notes.packet_infos), numbers

    def _decode_least(self, indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode only the packets that the wanted frames need. Yields as many of the frames as this gives."""
        if self._table.packets is None or not self._reader.finds_packets:
            return
        may_skip = self._table.one_each and self._notes.codec in _MARKING_CODECS
        may_skip = may_skip and not (self._notes.codec == "hevc" and self._table.layered)
        for run in runs(self._table, indices):
            yield from self._decode_run(run, may_skip)

    def _decode_run(self, run: Run, may_skip: bool) -> Iterator[tuple[int, av.VideoFrame]]:
        context, wanted = self._stream.codec_context, dict(run.wanted)
        context.flush_buffers()
        for packet in self._reader.of_run(run):
            context.skip_frame = "NONREF" if may_skip and packet is not None and packet.pts not in wanted else "DEFAULT"
            for frame in self._decode(packet):
                if frame.pts in wanted:
                    yield wanted.pop(frame.pts), frame
            if not wanted:
                return

    def _decode_in_order(self, indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Everything from the start to the last wanted frame."""
        if not indices:
            return
        packets = self._table.packets
        wanted = dict(zip(indices if packets is None else packets[indices].tolist(), indices))
        frames = (frame for packet in self._reader.all() for frame in self._decode(packet))
        for number, frame in enumerate(frames):
            name = number if packets is None else frame.pts
            if name in wanted:
                yield wanted.pop(name), frame
            if not wanted:
                return

    def _decode(self, packet: av.Packet | None) -> list[av.VideoFrame]:
        self._reader.check_deadline()
        try:
            frames = self._stream.codec_context.decode(packet)
        except av.error.FFmpegError as error:
            raise DecodeError(reasons.DAMAGED_STREAM, f"{self._path}: {error}") from error
        for frame in frames:
            self._orientation = orient(frame, self._orientation)
        return frames


def decoder_version() -> str:
    codec = ".".join(map(str, av.library_versions["libavcodec"]))
    return f"PyAV {av.__version__}, libavcodec {codec}"


def _in_turn(frames: Iterator[tuple[int, av.VideoFrame]], indices: list[int]) -> Iterator[tuple[int, av.VideoFrame]]:
    """Decoders may give frames in another order than they are shown in; the early ones wait."""
    waiting = {}
    for index, frame in frames:
        waiting[index] = frame
        while indices and indices[0] in waiting:
            yield indices[0], waiting.pop(indices.pop(0))
