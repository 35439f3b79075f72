"""Choose the video stream of a file by the rule of the ffmpeg command, so that both decoders use the same one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import av
import av.error
from av.packet import PacketSideData
from av.stream import Disposition

from preprocess import reasons
from preprocess.decode.source import CONTAINERS, DecodeError, check_size

# As in ffmpeg's map_auto_video(): streams with packets first; then the default stream counts as 5 million pixels.
_DEFAULT_PIXELS = 5_000_000
_PROBED_BYTES = 5_000_000  # libavformat's probesize
# Names and titles may have any encoding, and are not used. PyAV accepts any encoding from version 19 on.
_ANY_TITLE = {"metadata_errors": "replace"} if int(av.__version__.split(".")[0]) < 19 else {}
# Containers that mark encrypted packets, and list all packets quickly.
_ENCRYPTING_CONTAINERS = ("mov", "matroska")


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What the container says about the chosen video stream: its index, and the number of packets it should have."""

    stream: int
    expected_packets: int


def open_container(path: str, max_pixels: int) -> av.container.InputContainer:
    """Open a file, but never another file or URL named inside it. Raises DecodeError if it is not a video."""
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(CONTAINERS), "max_pixels": str(max_pixels)}
    try:
        return av.open(f"file:{path}", options=options, **_ANY_TITLE)
    except (av.error.FFmpegError, OSError) as error:
        raise DecodeError(reasons.NOT_A_VIDEO, f"{path}: {error}") from error


def chosen_stream(container: av.container.InputContainer, path: str, max_pixels: int) -> av.VideoStream:
    """Return the stream that the ffmpeg command chooses by default, which is the one that players show.

    A cover picture does not count. Among several streams: one that has packets, then the default one, then the
    largest, then the first. Raises DecodeError if there is none.
    """
    candidates = [stream for stream in container.streams.video if _is_candidate(stream)]
    if not candidates:
        kinds = sorted({"cover picture" if _is_cover(stream) else stream.type for stream in container.streams})
        raise DecodeError(reasons.NO_VIDEO_STREAM, f"{path}: it has {', '.join(kinds) or 'no streams'}")
    stream = candidates[0] if len(candidates) == 1 else _best(candidates, path, max_pixels)
    check_size(path, stream.codec_context.width, stream.codec_context.height, max_pixels)
    return stream


def probe(path: str, *, max_pixels: int, deadline: float) -> Probed:
    """Probe the stream that ``chosen_stream`` returns. Raises DecodeError if there is none, or if it is encrypted."""
    with open_container(path, max_pixels) as container:
        stream = chosen_stream(container, path, max_pixels)
        if container.format.name.split(",")[0] in _ENCRYPTING_CONTAINERS:
            _refuse_encrypted(container, stream, path, deadline)
        return Probed(stream=stream.index, expected_packets=expected_packets(stream))


def expected_packets(stream: av.VideoStream) -> int:
    """The number of packets that an mp4 or mov lists, even if they are cut off; 0 for other containers.

    Other containers have no list that survives a cut at the end of the file, and the count in an avi header is in
    ticks of any length. Empty packets, which repeat a frame, are not counted. Call it after reading the packets,
    because a fragmented mp4 lists only the fragments read so far.
    """
    if stream.container.format.name.split(",")[0] != "mov":
        return 0
    return sum(entry.size > 0 for entry in stream.index_entries)


def lost_packets(stream: av.VideoStream, num_packets: int) -> int:
    """How many more packets the container lists than the ``num_packets`` non-empty packets that were read."""
    # Usually no packet is missing. Counting the non-empty ones takes longer, so it comes second.
    if len(stream.index_entries) <= num_packets:
        return 0
    return max(expected_packets(stream) - num_packets, 0)


def refuse_encrypted(side_data: PacketSideData, path: str) -> None:
    """Raise DecodeError for a packet with encrypted content, which would decode to noise."""
    if side_data.data_type == "encryption_info":
        raise DecodeError(
            reasons.ENCRYPTED,
            f"{path}: its packets are encrypted; decrypt it first, such as with ffmpeg -decryption_key KEY",
        )


def describe_streams(path: str, *, taken: int, max_pixels: int) -> list[str]:
    """Return a line for each stream of a file: ``stream 0: video, h264, 320x240, default: taken``."""
    with open_container(path, max_pixels) as container:
        return [_description(stream, stream.index == taken) for stream in container.streams]


def _description(stream: av.stream.Stream, is_taken: bool) -> str:
    context = stream.codec_context
    words = ["cover picture" if _is_cover(stream) else stream.type]
    words += [context.name] if context is not None else []
    words += [f"{context.width}x{context.height}"] if stream.type == "video" and context is not None else []
    words += ["default"] if stream.disposition & Disposition.default else []
    return f"stream {stream.index}: {', '.join(words)}{': taken' if is_taken else ''}"


def _is_cover(stream: av.stream.Stream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _is_candidate(stream: av.VideoStream) -> bool:
    return stream.codec_context is not None and not _is_cover(stream)


def _best(candidates: Sequence[av.VideoStream], path: str, max_pixels: int) -> av.VideoStream:
    seen = _streams_with_packets(path, {stream.index for stream in candidates}, max_pixels)
    return max(candidates, key=lambda stream: (stream.index in seen, _score(stream)))


def _score(stream: av.VideoStream) -> int:
    context = stream.codec_context
    return context.width * context.height + _DEFAULT_PIXELS * bool(stream.disposition & Disposition.default)


def _streams_with_packets(path: str, indices: set[int], max_pixels: int) -> set[int]:
    """The streams with packets near the start. It opens the file again, so that the caller's container stays at its
    start.
    """
    seen, num_bytes = set(), 0
    with open_container(path, max_pixels) as container:
        try:
            for packet in container.demux():
                seen |= {packet.stream_index} & indices if packet.size else set()
                num_bytes += packet.size
                if seen == indices or num_bytes > _PROBED_BYTES:
                    break
        except av.error.FFmpegError:
            return seen  # the decoder reports the damage
    return seen


def _refuse_encrypted(
    container: av.container.InputContainer, stream: av.VideoStream, path: str, deadline: float
) -> None:
    """Look at all packets: the first seconds are often not encrypted."""
    try:
        for packet in container.demux(stream):
            for side_data in packet.iter_sidedata():
                refuse_encrypted(side_data, path)
            if time.monotonic() > deadline:
                raise DecodeError(reasons.TIME_LIMIT, f"{path}: reading took longer than timeout_seconds allows")
    except av.error.FFmpegError:
        return  # the decoder reports the damage
