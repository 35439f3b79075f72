"""Codec x container x trap: whatever frames are asked for, they are those of a plain full decode, index for index."""

import random

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from media import frame_number, numbered_frames, remux, write_video

from preprocess.decode import packet_reader
from preprocess.decode.open import open_video
from preprocess.decode.source import DecodeError

COUNT = 60
RATE = 25


def moving_frames(count=COUNT, *, width=96, height=64):
    """Numbered frames over a texture that drifts, so that a frame predicted from a wrong one is seen in its pixels."""
    frames = numbered_frames(count, width=width, height=height)
    texture = np.random.default_rng(0).integers(0, 256, (height // 2, width, 3), np.uint8)
    for number, frame in enumerate(frames):
        frame[height // 2 :] = np.roll(texture, (number, 3 * number), axis=(0, 1))
    return frames


FRAMES = moving_frames()


def encoded(name, vcodec, **options):
    return lambda folder: write_video(folder / name, FRAMES, vcodec=vcodec, **options)


def h264(name, **options):
    return encoded(name, "libx264", **{"preset": "veryfast", "bf": 3, "g": 12, "sc_threshold": 0, **options})


def hevc(name, parameters="keyint=12:min-keyint=12:scenecut=0:open-gop=0", **options):
    x265 = f"log-level=none:{parameters}"
    return encoded(name, "libx265", **{"preset": "ultrafast", "tag:v": "hvc1", "x265-params": x265, **options})


def remuxed(make, name, **options):
    return lambda folder: remux(make(folder), folder / name, **options)


def two_passes(name, vcodec, **options):
    """libvpx plans frames that are not shown, only to be referred to, when it has seen the video once."""

    def make(folder):
        for number in (1, 2):
            log = {"pass": number, "passlogfile": str(folder / "log")}
            path = write_video(folder / name, FRAMES, vcodec=vcodec, **options, **log)
        return path

    return make


def joined(folder):
    """Two encodings with other headers in one stream: the second part cannot be decoded with the first one's."""
    parts = [
        write_video(folder / f"{number}.ts", frames, vcodec="libx264", g=12, bf=0, **options)
        for number, (frames, options) in enumerate([(FRAMES[:30], {"refs": 4}), (FRAMES[30:], {"coder": "vlc"})])
    ]
    whole = folder / "joined.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return remux(whole, folder / "joined.mkv", **STAMPS_BY_COUNT)


def flagged(folder):
    """An mp4 without its list of key frames, which says that every packet is one."""
    path = h264("flagged.mp4")(folder)
    content = path.read_bytes()
    assert content.count(b"stss") == 1
    path.write_bytes(content.replace(b"stss", b"free"))
    return path


STAMPS_BY_COUNT = {"bsf:v": f"setts=pts=N/{RATE}/TB:dts=N/{RATE}/TB"}
VFR = {"filters": "setpts='round((N+3*floor(N/4))/25/TB)'", "fps_mode": "passthrough"}
HDR = {"color_trc": "smpte2084", "color_primaries": "bt2020", "colorspace": "bt2020nc", "pix_fmt": "yuv420p10le"}
VP9 = {"deadline": "realtime", "cpu-used": 8, "b:v": "300k"}
HIDDEN = {"auto-alt-ref": 1, "lag-in-frames": 16, "g": 30, "b:v": "200k", "deadline": "good", "cpu-used": 4}
AV1 = {"cpu-used": 8, "usage": "realtime", "g": 12, "keyint_min": 12}
MPEG4 = {"qscale": 2, "g": 12}

VIDEOS = {
    "h264 mp4": h264("a.mp4"),
    "h264 mov": h264("a.mov"),
    "h264 mkv": h264("a.mkv"),
    "h264 ts": h264("a.ts"),
    "h264 avi": h264("a.avi"),
    "h264 flv": h264("a.flv"),
    "h264 one group": h264("one.mp4", g=250),
    "h264 pyramid": h264("pyramid.mp4", **{"x264-params": "b-pyramid=normal:bframes=6:b-adapt=0"}),
    "h264 without B": h264("p.mp4", bf=0),
    "h264 open groups": h264("open.mp4", **{"x264-params": "open-gop=1"}),
    "h264 open groups mkv": h264("open.mkv", **{"x264-params": "open-gop=1"}),
    "h264 intra refresh": h264("refresh.mkv", **{"x264-params": "intra-refresh=1:bframes=0"}),
    "h264 interlaced": h264("fields.mp4", flags="+ilme+ildct", field_order="tt"),
    "h264 headers in packets": remuxed(h264("a.ts"), "repeated.mp4"),
    "h264 other headers midway": joined,
    "h264 every packet flagged as a key frame": flagged,
    "h264 times in the order of decoding": remuxed(h264("a.mp4"), "made_up.mkv", **STAMPS_BY_COUNT),
    "h264 variable rate": h264("vfr.mp4", **VFR),
    "h264 times doubled": h264("doubled.mkv", filters="setpts='floor(N/2)/25/TB'", fps_mode="passthrough", bf=0),
    "h264 start at 5 s": h264("late.mp4", output_ts_offset=5, movflags="+negative_cts_offsets", use_editlist=0),
    "h264 start at 5 s ts": h264("late.ts", output_ts_offset=5),
    "h264 negative start": h264("early.mp4", output_ts_offset=-1, avoid_negative_ts="disabled"),
    "h264 edit list": remuxed(h264("a.mp4", g=20), "cut.mp4", input_options={"ss": 27 / RATE}),
    "h264 fragmented, no duration": h264("live.mp4", movflags="frag_keyframe+empty_moov+default_base_moof"),
    "h264 full range": h264("full.mp4", pix_fmt="yuvj420p"),
    "h264 4:4:4, odd size": h264("odd.mp4", filters="crop=95:63:0:0", pix_fmt="yuv444p"),
    "h264 10 bits": h264("ten.mp4", pix_fmt="yuv420p10le"),
    "hevc mp4": hevc("a.mp4"),
    "hevc mkv": hevc("a.mkv"),
    "hevc open groups": hevc("open.mp4", "keyint=12:min-keyint=12:scenecut=0:open-gop=1:bframes=4"),
    "hevc temporal layers": hevc("layers.mp4", "keyint=12:min-keyint=12:temporal-layers=3:b-adapt=0:bframes=3"),
    "hevc hdr": hevc("hdr.mp4", **HDR),
    "vp8 with hidden frames": two_passes("a.webm", "libvpx", **HIDDEN),
    "vp9": encoded("a.webm", "libvpx-vp9", g=12, **VP9),
    "vp9 mp4": encoded("a.mp4", "libvpx-vp9", g=12, **VP9),
    "vp9 with hidden frames": two_passes("b.webm", "libvpx-vp9", **HIDDEN),
    "vp9 alpha, no duration": encoded("live.webm", "libvpx-vp9", **{**VP9, "pix_fmt": "yuva420p", "live": 1}),
    "av1 webm": encoded("a.webm", "libaom-av1", **AV1),
    "av1 mp4": encoded("a.mp4", "libsvtav1", preset=10, g=12, **{"svtav1-params": "irefresh-type=1"}),
    "mpeg-4 avi": encoded("a.avi", "mpeg4", **MPEG4),
    "mpeg-4 avi with B": encoded("b.avi", "mpeg4", bf=2, **MPEG4),
    "mpeg-4 mp4 with B": encoded("b.mp4", "mpeg4", bf=2, **MPEG4),
    "xvid packed": encoded("packed.avi", "libxvid", bf=2, flags="+mv4", **MPEG4),
    "mpeg-2 ts": encoded("a.ts", "mpeg2video", bf=2, **MPEG4),
    "motion jpeg": encoded("a.avi", "mjpeg", pix_fmt="yuvj420p", qscale=2),
    "wmv": encoded("a.wmv", "wmv2", qscale=2),
    "prores": encoded("a.mov", "prores_ks", pix_fmt="yuv422p10le"),
    "animation with alpha": encoded("alpha.mov", "qtrle", pix_fmt="argb"),
    "gif": encoded("a.gif", "gif", pix_fmt="rgb8"),
}


def full_decode(path):
    """Every frame by the library's shortest way: no packet looked at, no seek, nothing left out."""
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return [frame.to_ndarray(format="rgb24", interpolation="BICUBIC") for frame in container.decode(video=0)]


def choices(count):
    """Evenly spaced frames, the ends, and others that no rule chose."""
    rng = random.Random(count)
    yield [count * (2 * part + 1) // 16 for part in range(8)]
    yield [0]
    yield [count - 1]
    for size in (1, 1, 3, 7, 20):
        yield sorted(rng.sample(range(count), min(size, count)))


@pytest.mark.parametrize("name", VIDEOS)
def test_frames_are_those_of_a_full_decode(name, tmp_path, monkeypatch):
    path = VIDEOS[name](tmp_path)
    expected = full_decode(path)
    numbers = [frame_number(frame) for frame in expected]
    assert numbers == sorted(set(numbers)), "what was made is not what the test is about"
    assert len(numbers) > COUNT // 2
    for kept_bytes in (1 << 24, 0):  # a clip whose packets stay in memory, and a video that is read again
        monkeypatch.setattr(packet_reader, "_KEPT_BYTES", kept_bytes)
        with open_video(str(path), decoder="pyav", timeout_seconds=60) as video:
            assert video.info.num_frames == len(expected)
            for indices in choices(len(expected)):
                chosen = dict(video.frames(indices))
                assert list(chosen) == indices
                for index, frame in chosen.items():
                    np.testing.assert_array_equal(frame, expected[index], err_msg=f"frame {index} of {indices}")
    with open_video(str(path), decoder="ffmpeg", timeout_seconds=60) as video:
        assert video.info.num_frames == len(expected)
        assert {index: frame_number(frame) for index, frame in video.frames([0, 9])} == {0: numbers[0], 9: numbers[9]}


def spoil(path, packets):
    """Overwrite an eighth of each packet behind its middle: not the bytes that tell its kind without decoding.

    A VP9 packet may hold a hidden frame before the one shown, and the lengths of both at its end.
    """
    content = bytearray(path.read_bytes())
    for packet in packets:
        begin, end = packet.pos + packet.size // 2, packet.pos + packet.size * 5 // 8
        content[begin:end] = bytes(end - begin)
    path.write_bytes(content)


def packets_of(path):
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def packets_in_order_shown(path):
    packets = packets_of(path)
    if path.suffix != ".avi":
        return sorted(packets, key=lambda packet: packet.pts)
    # An avi keeps no times of showing; but a frame carries that of decoding of its packet, if it is not the very last.
    with av.open(str(path)) as container:
        by_time = {packet.dts: packet for packet in packets}
        in_order = [by_time.pop(frame.dts) for frame in container.decode(video=0) if frame.dts is not None]
    return [*in_order, *by_time.values()]


def chosen_frames(path, indices):
    with open_video(str(path), decoder="pyav", timeout_seconds=60) as video:
        return dict(video.frames(indices))


def assert_damage_is_seen(path, index, expected):
    """The damage was real: where it is decoded, there is an error or another picture."""
    try:
        frame = chosen_frames(path, [index])[index]
    except DecodeError:
        return
    assert (frame != expected).any()


@pytest.mark.parametrize("name", ["h264 mp4", "h264 mkv", "hevc mp4", "vp9", "av1 webm", "mpeg-4 avi"])
def test_groups_without_a_wanted_frame_are_not_decoded(name, tmp_path):
    path = VIDEOS[name](tmp_path)
    expected = full_decode(path)
    packets = packets_of(path)
    starts = [number for number, packet in enumerate(packets) if packet.is_keyframe]
    assert len(starts) == 5
    spoil(path, [*packets[: starts[1]], *packets[starts[2] : starts[3]], *packets[starts[4] :]])
    wanted = [starts[1], starts[2] - 1, starts[3], starts[3] + 5]
    for index, frame in chosen_frames(path, wanted).items():
        np.testing.assert_array_equal(frame, expected[index])
    assert_damage_is_seen(path, starts[1] - 1, expected[starts[1] - 1])


@pytest.mark.parametrize(
    "make",
    [
        h264("flat.mp4", g=250, **{"x264-params": "b-pyramid=none:b-adapt=0"}),
        hevc("flat.mp4", "keyint=250:b-pyramid=0:b-adapt=0:bframes=3"),
        encoded("flat.avi", "mpeg4", qscale=2, g=250, bf=3),
    ],
    ids=["h264", "hevc", "mpeg-4"],
)
def test_frames_that_no_other_refers_to_are_not_decoded(make, tmp_path):
    path = make(tmp_path)
    expected = full_decode(path)
    with av.open(str(path)) as container:
        unreferred = [
            index for index, frame in enumerate(container.decode(video=0)) if frame.pict_type == PictureType.B
        ]
    assert len(unreferred) > 30
    spoil(path, [packets_in_order_shown(path)[index] for index in unreferred[1:]])
    wanted = sorted({*range(COUNT)} - {*unreferred[1:]})
    for index, frame in chosen_frames(path, wanted).items():
        np.testing.assert_array_equal(frame, expected[index])
    assert_damage_is_seen(path, unreferred[5], expected[unreferred[5]])


def test_full_range_and_limited_range_look_the_same(tmp_path):
    """Grey is grey whichever range a file keeps it in: the tag is honoured."""
    grey = np.full((4, 64, 64, 3), 60, np.uint8)
    for pixel_format in ("yuv420p", "yuvj420p"):
        path = write_video(tmp_path / f"{pixel_format}.mp4", grey, vcodec="libx264", crf=1, pix_fmt=pixel_format)
        for decoder in ("pyav", "ffmpeg"):
            with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
                ((_, frame),) = video.frames([2])
            np.testing.assert_allclose(frame.astype(int), 60, atol=2)


def test_hdr_is_not_tone_mapped_and_alpha_is_dropped(tmp_path):
    """Both decoders give the coded values, whatever they stand for (``preprocess.decode.source``)."""
    for name in ("hevc hdr", "animation with alpha", "vp9 alpha, no duration"):
        path = VIDEOS[name](tmp_path)
        given = []
        for decoder in ("pyav", "ffmpeg"):
            with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
                # The numbers alone: over the texture, two versions of the library smooth its colours differently.
                given += [frame[: len(frame) // 2].astype(int) for _, frame in video.frames([7])]
        assert np.abs(given[0] - given[1]).mean() < 2, name
