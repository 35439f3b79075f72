"""What packets tell before anything is decoded, worked out by hand and against libavcodec's own parsers."""

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from media import h264, numbered_frames, write_video

from preprocess.decode.packet_info import PacketInfo, packet_parser
from preprocess.decode.packets import counted_table, order_by_bytes, order_by_stamps, runs, table_from_headers

KEY, PLAIN = PacketInfo(restart=True), PacketInfo()


def table(stamps, keys, **changes):
    packet_infos = [KEY if number in keys else PLAIN for number in range(len(stamps))]
    for number, info in changes.get("packet_infos", {}).items():
        packet_infos[number] = info
    stamps = np.array(stamps, float)
    decoding, part_of = np.full(len(stamps), np.nan), np.zeros(len(stamps), int)
    reorders = bool((np.diff(stamps) < 0).any())
    order = order_by_stamps(stamps, decoding, part_of, packet_infos, reorders=reorders)
    return table_from_headers(order, packet_infos, changes.get("discarded", [False] * len(stamps)))


def test_bidirectional_frames_are_shown_before_the_one_they_follow():
    packet_infos = [PacketInfo(bidirectional=letter == "B") for letter in "IPBBPBP"]
    assert order_by_bytes(packet_infos).tolist() == [0, 2, 3, 1, 5, 4, 6]
    assert order_by_bytes([*packet_infos, PacketInfo()]) is None


def test_only_what_parts_before_from_after_is_a_restart():
    # The second key frame is shown after a frame that is decoded after it: an open group.
    assert table([0, 1, 4, 3, 5, 6, 7], {0, 2, 5}).restarts.tolist() == [True, False, False, False, False, True, False]


def test_headers_in_packets_bind_restarts_to_them():
    carrying = PacketInfo(restart=True, headers=b"a")
    assert np.flatnonzero(table(range(9), {3, 6}, packet_infos={3: carrying}).restarts).tolist() == [0, 3]
    other = PacketInfo(restart=True, headers=b"b")
    assert np.flatnonzero(table(range(9), {3, 6}, packet_infos={3: carrying, 6: other}).restarts).tolist() == [0]


def test_runs_reach_from_the_restart_before_to_the_last_wanted_packet():
    #  decoded: I0 P3 B1 B2 | I4 P6 B5 | I7
    runs_found = runs(table([0, 3, 1, 2, 4, 6, 5, 7], {0, 4, 7}), [1, 3, 6])
    assert [(run.first, run.last) for run in runs_found] == [(0, 2), (4, 5)]
    assert [run.wanted for run in runs_found] == [{2: 1, 1: 3}, {5: 6}]


def test_what_is_not_shown_has_no_index():
    hidden = table([-2, -1, 0, 1, 2], {0}, discarded=[True, True, False, False, False])
    assert hidden.num_frames == 3
    assert hidden.packets.tolist() == [2, 3, 4]
    assert table(range(4), {0}, packet_infos={1: PacketInfo(frames=0)}).packets.tolist() == [0, 2, 3]


def test_a_packet_that_no_frame_came_from_may_complete_the_frame_before():
    #  fields: I p | P p | B b | I p
    packet_infos = [KEY, PLAIN, PLAIN, PLAIN, PLAIN, PLAIN, KEY, PLAIN]
    fields = counted_table([0, 4, 2, 6], packet_infos)
    assert fields.restarts.tolist() == [True, False, False, False, False, False, True, False]
    assert [(run.first, run.last) for run in runs(fields, [0])] == [(0, 1)]
    assert [(run.first, run.last) for run in runs(fields, [2, 3])] == [(0, 3), (6, 7)]


def test_frames_that_share_a_packet_can_only_be_counted():
    assert counted_table([0, 1, 1], [KEY, PLAIN]).packets is None
    assert counted_table([0, None], [KEY, PLAIN]).num_frames == 2


@pytest.mark.parametrize(
    ("stamps", "decoding", "parts", "keys", "reorders"),
    [
        ([0, 2, 2, 3], [0, 1, 2, 3], [0, 0, 0, 0], {0}, True),  # a time that stands twice
        ([0, 2, np.nan, 3], [0, 1, 2, 3], [0, 0, 0, 0], {0}, True),
        ([0, 4, 1, 2], [0, 1, 2, 3], [0, 0, 0, 0], {0}, True),  # shown before it is decoded
        ([0, 1, 2, 3], [0, 1, 2, 3], [0, 0, 0, 0], {0}, True),  # the decoder reorders, its times do not
        ([0, 3, 2, 4], [0, 1, 2, 3], [0, 0, 0, 0], {0}, False),
        ([0, 2, 1, 0, 2, 1], [-1, 0, 1, -1, 0, 1], [0, 0, 0, 1, 1, 1], {0}, True),  # joined in the middle of a group
    ],
)
def test_times_that_cannot_be_right_give_no_order(stamps, decoding, parts, keys, reorders):
    packet_infos = [KEY if number in keys else PLAIN for number in range(len(stamps))]
    arrays = np.array(stamps, float), np.array(decoding, float), np.array(parts)
    assert order_by_stamps(*arrays, packet_infos, reorders=reorders) is None


def test_the_parts_of_a_joined_stream_are_shown_one_after_the_other():
    packet_infos = [KEY if number in (0, 3) else PLAIN for number in range(6)]
    stamps, decoding = np.array([0, 2, 1, 0, 2, 1], float), np.array([-1, 0, 1, -1, 0, 1], float)
    order = order_by_stamps(stamps, decoding, np.array([0, 0, 0, 1, 1, 1]), packet_infos, reorders=True)
    assert order.tolist() == [0, 2, 1, 3, 5, 4]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.mp4", {"vcodec": "libx264", "bf": 2, "g": 10, "sc_threshold": 0}),
        ("a.mkv", {"vcodec": "libx265", "x265-params": "keyint=10:min-keyint=10:open-gop=0:log-level=none"}),
        ("a.webm", {"vcodec": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8, "g": 10}),
        ("b.webm", {"vcodec": "libaom-av1", "cpu-used": 8, "usage": "realtime", "g": 10, "keyint_min": 10}),
        ("a.avi", {"vcodec": "mpeg4", "g": 10}),
    ],
)
def test_restarts_are_where_the_encoder_put_key_frames(name, options, tmp_path):
    path = write_video(tmp_path / name, numbered_frames(40), **options)
    assert restarts_of(path) == [0, 10, 20, 30]


def restarts_of(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        parse = packet_parser(stream.codec_context.codec.canonical_name, stream.codec_context.extradata)
        return [
            number
            for number, packet in enumerate(packet for packet in container.demux(stream) if packet.size)
            if parse(memoryview(packet)).restart
        ]


def test_a_recovery_point_is_no_restart(tmp_path):
    """Matroska flags the intra frames of open groups as key frames; only the first is one that nothing passes by."""
    path = h264(tmp_path / "open.mkv", 40, **{"x264-params": "open-gop=1:keyint=10:min-keyint=10:scenecut=0"})
    with av.open(str(path)) as container:
        intra = sum(frame.pict_type == PictureType.I for frame in container.decode(video=0))
    with av.open(str(path)) as container:
        flagged = sum(packet.is_keyframe for packet in container.demux(video=0) if packet.size)
    assert intra == flagged == 4
    assert restarts_of(path) == [0]
