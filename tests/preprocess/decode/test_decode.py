"""Both decoders give the frames that were encoded, index for index, and a reason where there are none."""

import numpy as np
import pytest
from media import frame_number, h264, is_upright, numbered_frames, remux, sound_only, write_video

from preprocess.decode.open import open_video
from preprocess.decode.source import DecodeError

DECODERS = ("pyav", "ffmpeg")
COUNT = 40


def read(path, decoder, indices=None):
    """(info, {index: frame}) of a video; negative indices count from its end, and without any all frames come."""
    with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
        numbers = range(video.info.num_frames)
        wanted = numbers if indices is None else sorted({numbers[index] for index in indices})
        return video.info, dict(video.frames(list(wanted)))


def b_frames_avi(folder):
    return write_video(folder / "b.avi", numbered_frames(COUNT), vcodec="mpeg4", bf=2, qscale=2)


def variable_rate(folder):
    late = "setpts='round((N+3*floor(N/4))/25/TB)'"
    return h264(folder / "vfr.mp4", COUNT, filters=late, fps_mode="passthrough")


def open_gop(folder):
    return h264(folder / "gop.mkv", COUNT, **{"x264-params": "open-gop=1:keyint=12:bframes=3"})


def edit_list(folder):
    """A stream-copied cut: the packets before the cut are there for decoding, and are not shown."""
    whole = h264(folder / "whole.mp4", COUNT, g=20)
    return remux(whole, folder / "cut.mp4", input_options={"ss": 24 / 25})


VIDEOS = {
    "h264 with B-frames": (lambda folder: h264(folder / "a.mp4", COUNT), range(COUNT)),
    "h264 in matroska, open GOP": (open_gop, range(COUNT)),
    "variable frame rate": (variable_rate, range(COUNT)),
    "edit list": (edit_list, range(24, COUNT)),
    "vp9": (
        lambda folder: write_video(folder / "a.webm", numbered_frames(COUNT), vcodec="libvpx-vp9", crf=20),
        range(COUNT),
    ),
    "mpeg-4 with B-frames in avi": (b_frames_avi, range(COUNT)),
    "h264 in avi": (lambda folder: h264(folder / "h.avi", COUNT), range(COUNT)),
    "mpeg-ts, a non-zero start": (lambda folder: h264(folder / "a.ts", COUNT), range(COUNT)),
    "odd size": (lambda folder: h264(folder / "odd.mp4", COUNT, width=97, height=65, pix_fmt="yuv444p"), range(COUNT)),
    "10 bits": (lambda folder: h264(folder / "ten.mp4", COUNT, pix_fmt="yuv420p10le"), range(COUNT)),
    "one frame": (lambda folder: h264(folder / "one.mp4", 1), range(1)),
}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("name", VIDEOS)
def test_every_frame_is_the_one_that_was_encoded(name, decoder, tmp_path):
    make, numbers = VIDEOS[name]
    info, frames = read(make(tmp_path), decoder)
    assert [frame_number(frame) for frame in frames.values()] == list(numbers)
    assert info.num_frames == len(numbers)
    assert all(is_upright(frame) for frame in frames.values())
    assert info.times_seconds[0] == 0
    assert (np.diff(info.times_seconds) > 0).all()


@pytest.mark.parametrize("decoder", DECODERS)
def test_chosen_frames_are_those_of_a_full_decode(decoder, numbered_video):
    indices = [0, 1, 7, 8, 21, 39]
    _, all_frames = read(numbered_video, decoder)
    _, chosen = read(numbered_video, decoder, indices)
    assert list(chosen) == indices
    for index in indices:
        np.testing.assert_array_equal(chosen[index], all_frames[index])


def test_both_decoders_give_the_same_pixels(numbered_video):
    _, pyav = read(numbered_video, "pyav")
    _, ffmpeg = read(numbered_video, "ffmpeg")
    for index, frame in pyav.items():
        # PyAV and the ffmpeg command carry libraries of different versions: a rounding step is allowed.
        np.testing.assert_allclose(frame.astype(int), ffmpeg[index].astype(int), atol=2)


def test_variable_rate_is_in_the_times(tmp_path):
    expected = [(n + 3 * (n // 4)) / 25 for n in range(COUNT)]
    path = variable_rate(tmp_path)
    for decoder in DECODERS:
        np.testing.assert_allclose(read(path, decoder, [0])[0].times_seconds, expected, atol=1e-3)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_honoured(decoder, degrees, numbered_video, tmp_path):
    # display_rotation is anticlockwise: what is stored turned clockwise by as much is shown upright.
    stored = np.rot90(numbered_frames(10, width=64, height=64), -degrees // 90, axes=(1, 2))
    upright = write_video(tmp_path / "stored.mp4", np.ascontiguousarray(stored), vcodec="libx264", crf=10)
    turned = remux(upright, tmp_path / "turned.mp4", input_options={"display_rotation": degrees})
    _, frames = read(turned, decoder)
    assert [frame_number(frame) for frame in frames.values()] == list(range(10))
    assert all(is_upright(frame) for frame in frames.values())


BROKEN = {
    "empty file": lambda folder: (folder / "empty.mp4").write_bytes(b""),
    "not a video": lambda folder: (folder / "text.mp4").write_text("this is a text\n" * 50, encoding="utf-8"),
    "no video stream": lambda folder: sound_only(folder / "sound.mp4"),
    "missing file": lambda folder: None,
}


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("reason", BROKEN)
def test_what_is_no_video_has_a_reason(reason, decoder, tmp_path):
    BROKEN[reason](tmp_path)
    path = next(tmp_path.iterdir(), tmp_path / "missing.mp4")
    with pytest.raises(DecodeError, match=path.name) as error:
        read(path, decoder)
    assert error.value.reason == reason


def test_truncated_pyav_stops_and_ffmpeg_counts_what_decodes(tmp_path):
    whole = h264(tmp_path / "whole.mp4", 120, movflags="faststart", width=160, height=128)
    content = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) * 6 // 10])
    with pytest.raises(DecodeError, match=r"cut\.mp4"):
        read(cut, "pyav")
    info, frames = read(cut, "ffmpeg")
    assert 1 < info.num_frames < 120
    assert len(frames) == info.num_frames


@pytest.mark.parametrize("decoder", DECODERS)
def test_time_limit(decoder, numbered_video):
    with pytest.raises(DecodeError) as error, open_video(str(numbered_video), decoder=decoder, timeout_seconds=1e-9):
        pass
    assert error.value.reason == "time limit"


def test_a_name_with_a_dash_a_colon_and_a_percent_is_a_file(numbered_video, tmp_path):
    strange = tmp_path / "-a:b %d#!;&.mp4"
    strange.write_bytes(numbered_video.read_bytes())
    for decoder in DECODERS:
        assert frame_number(read(strange, decoder, [5])[1][5]) == 5


def test_a_playlist_in_a_file_opens_no_other_file(numbered_video, tmp_path):
    playlist = tmp_path / "playlist.mp4"
    playlist.write_text(
        f"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/{numbered_video.name}\n#EXT-X-ENDLIST\n", encoding="utf-8"
    )
    for decoder in DECODERS:
        with pytest.raises(DecodeError):
            read(playlist, decoder)


@pytest.fixture(scope="module")
def awkward(shared):
    return sorted(
        path
        for path in (shared / "clips" / "awkward").rglob("*")
        if path.suffix in (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif")
    )


def test_awkward_real_files_agree_or_fall_back(awkward):
    """Files in the wild: where PyAV reads one, ffmpeg sees the same frames; else ffmpeg alone, or nobody."""
    unread = {}
    for path in awkward:
        try:
            info, frames = read(path, "pyav", [0, -1])
        except DecodeError as error:
            unread[path.name] = error.reason
            continue
        other, others = read(path, "ffmpeg", [0, -1])
        assert info.num_frames == other.num_frames, path
        for index, frame in frames.items():
            np.testing.assert_allclose(frame.astype(int), others[index].astype(int), atol=3, err_msg=str(path))
    assert unread == {"corrupted.mp4": "truncated or damaged stream", "result.webm": "empty file"}


def test_real_ucf101_clips_agree(shared):
    clips = sorted((shared / "clips" / "ucf3" / "videos").rglob("*.avi"))[::12]
    for path in clips:
        info, frames = read(path, "pyav")
        other, others = read(path, "ffmpeg")
        assert info.num_frames == other.num_frames
        for index, frame in frames.items():
            np.testing.assert_allclose(frame.astype(int), others[index].astype(int), atol=2)
