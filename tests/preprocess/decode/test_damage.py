"""What is wrong with a file has a reason, and what is not wrong with it costs no video."""

import subprocess
import time
from fractions import Fraction

import ffmpeg as ffmpeg_python
import numpy as np
import pytest
from media import FFMPEG, frame_number, h264, numbered_frames, remux, write_video

from preprocess.annotations.dataset import Video
from preprocess.config.schema import config_from
from preprocess.decode.ffmpeg_cli import _FrameList
from preprocess.decode.ffmpeg_process import FfmpegRun
from preprocess.decode.frame import square_size
from preprocess.decode.open import open_video
from preprocess.decode.source import DecodeError
from preprocess.reasons import TOO_FEW_FRAMES
from preprocess.worker.messages import Job, num_broken
from preprocess.worker.video import make_samples

DECODERS = ("pyav", "ffmpeg")
CONFIG = {
    "annotations": {"format": "folder"},
    "layouts": {"grid": {"frames": 4, "tile": 32}},
    "splits": {"train": {"mode": "test"}},
}


def convert(path, **changes):
    config = config_from({**CONFIG, **changes}, "test")
    job = Job(config=config, source=str(path.parent), output="unused", class_names=("a",), digest="d")
    return make_samples(job, "train", Video(key="v", path=path.name, labels=(0,)))


def ffmpeg(*arguments):
    subprocess.run(
        [FFMPEG, "-v", "error", "-y", *(a if isinstance(a, bytes) else str(a) for a in arguments)], check=True
    )


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "mov", "avi"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_title_that_is_not_utf8(decoder, suffix, tmp_path):
    path = tmp_path / f"named.{suffix}"
    ffmpeg("-i", h264(tmp_path / "plain.mp4", 8), "-c", "copy", "-metadata", b"title=caf\xe9", path)
    assert b"caf\xe9" in path.read_bytes()
    converted = convert(path, decoder=decoder)
    assert converted.failure is None
    assert converted.statistics.decoder == decoder


@pytest.mark.parametrize("decoder", [*DECODERS, "auto"])
@pytest.mark.parametrize("matrix", [8, 10, 14])
def test_a_matrix_that_is_not_known_has_a_reason(matrix, decoder, tmp_path):
    """YCgCo, BT.2020 with constant luminance, ICtCp."""
    path = h264(tmp_path / "a.mp4", 8, **{"bsf:v": f"h264_metadata=matrix_coefficients={matrix}"})
    failure = convert(path, decoder=decoder).failure
    assert failure.reason == "colour matrix that libswscale does not know"
    assert "a.mp4" in failure.detail


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_reserved_matrix_is_none_that_is_reported(decoder, tmp_path):
    path = h264(tmp_path / "a.mp4", 8, **{"bsf:v": "h264_metadata=matrix_coefficients=3"})
    assert convert(path, decoder=decoder).failure is None


def damaged_from(path, first_lost, num_frames):
    """Noise in the place of all packets from one on."""
    content = bytearray(path.read_bytes())
    done = subprocess.run(
        [FFMPEG, "-v", "error", "-i", str(path), "-c", "copy", "-f", "framecrc", "-"], capture_output=True, text=True
    )
    sizes = [int(line.split(",")[4]) for line in done.stdout.splitlines() if not line.startswith("#")]
    assert len(sizes) == num_frames
    start = content.index(b"mdat") + 4
    kept, end = start + sum(sizes[:first_lost]), start + sum(sizes)
    content[kept:end] = np.random.default_rng(0).integers(0, 256, end - kept, np.uint8).tobytes()
    path.write_bytes(content)


def test_one_good_frame_of_many_is_no_video(tmp_path):
    path = h264(tmp_path / "a.mp4", 100, movflags="faststart", bf=0)
    damaged_from(path, 1, 100)
    failure = convert(path).failure
    assert failure.reason == "too few frames decode"
    assert "min_decoded_share is 0.25" in failure.detail


def test_the_floor_can_be_moved(tmp_path):
    path = h264(tmp_path / "a.mp4", 100, movflags="faststart", bf=0)
    damaged_from(path, 60, 100)
    with open_video(str(path), decoder="ffmpeg", timeout_seconds=60) as video:
        share = video.info.decoded_share
    assert 0.5 < share < 0.7
    assert convert(path).statistics.decoded_share == pytest.approx(share, abs=1e-4)
    assert convert(path, min_decoded_share=0.8).failure.reason == "too few frames decode"


def test_frames_that_were_cut_off_count_as_lost(tmp_path):
    options = {"vcodec": "mpeg4", "g": 1, "qscale": 2, "movflags": "faststart"}
    path = write_video(tmp_path / "a.mp4", numbered_frames(100), **options)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 5])
    assert convert(path).failure.reason == "too few frames decode"


def test_a_cut_that_an_edit_list_asks_for_is_no_loss(tmp_path):
    whole = h264(tmp_path / "whole.mp4", 100, g=90)
    path = remux(whole, tmp_path / "cut.mp4", input_options={"ss": 84 / 25})
    for decoder in DECODERS:
        with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
            assert video.info.decoded_share == 1


def test_a_list_of_frames_that_breaks_off_is_seen():
    whole = "#tb 0: 1/25\n#dimensions 0: 96x64\n#sar 0: 16/15\n0, 0, 0, 1, 9216, 0x1\n0, 1, 1, 1, 9216, 0x2\n"
    listing = _FrameList.parse(whole)
    assert (listing.times_seconds, listing.is_cut) == ([0, 0.04], False)
    for length in range(whole.index("0, 0") + 1, len(whole)):
        cut = _FrameList.parse(whole[:length])
        assert cut.is_cut == (whole[length - 1] != "\n")
        assert cut.times_seconds == listing.times_seconds[: len(cut.times_seconds)]


def test_advice_to_a_person_who_typed_a_command_is_not_repeated(tmp_path):

    path = h264(tmp_path / "a.mp4", 4)
    output = ffmpeg_python.input(str(path))["a:0"].output("pipe:", format="framecrc")
    with FfmpegRun(output, path=str(path), deadline=time.monotonic() + 60) as run:
        assert run.read_all() == b""
        errors = run.finish().errors
    assert "matches no streams" in errors
    assert "trailing" not in errors


def test_a_command_that_a_signal_ended_is_named(tmp_path):

    path = h264(tmp_path / "a.mp4", 200)
    output = ffmpeg_python.input(str(path), re=None).output("pipe:", format="rawvideo")
    with FfmpegRun(output, path=str(path), deadline=time.monotonic() + 60) as run:
        run.read_into(memoryview(bytearray(100)))
        run._process.kill()
        run.read_all()
        with pytest.raises(DecodeError, match=r"a\.mp4: the ffmpeg command was ended by SIGKILL") as error:
            run.finish()
    assert error.value.reason == "decoder crashed"


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("aspect", "degrees", "size"), [("2", 0, (192, 64)), ("1/2", 0, (48, 64)), ("2", 90, (32, 96)), ("1", 0, (96, 64))]
)
def test_square_pixels(aspect, degrees, size, decoder, tmp_path):
    """Stored as 96x64; turned, its pixels are as high as they were wide."""
    plain = h264(tmp_path / "plain.mp4", 8, filters=f"setsar={aspect}")
    path = remux(plain, tmp_path / "a.mp4", input_options={"display_rotation": degrees})
    with open_video(str(path), decoder=decoder, timeout_seconds=60, square_pixels=True) as video:
        ((_, picture),) = video.pictures([5])
        ((_, frame),) = video.frames([5])
    assert picture.size == size
    assert frame.shape == (size[1], size[0], 3)
    if not degrees:
        assert frame_number(frame) == 5
    with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
        ((_, picture),) = video.pictures([5])
    assert picture.size == ((64, 96) if degrees else (96, 64))


@pytest.mark.parametrize("decoder", DECODERS)
def test_square_pixels_of_an_absurd_width(decoder, tmp_path):
    path = h264(tmp_path / "a.mp4", 4, filters="setsar=10")
    failure = convert(path, decoder=decoder, square_pixels=True, max_pixels=5 * 96 * 64).failure
    assert failure.reason == "picture too large"


def test_the_size_of_a_dvd():
    assert square_size((720, 576), Fraction(64, 45)) == (1024, 576)
    assert square_size((720, 480), Fraction(8, 9)) == (640, 480)


@pytest.mark.parametrize("decoder", [*DECODERS, "auto"])
def test_a_video_of_fewer_frames_than_asked_for_is_left_out_and_is_no_failure(decoder, tmp_path):
    """SIFAR's code leaves out videos of fewer than 30 frames of Kinetics, and 3 of Something-Something."""
    path = h264(tmp_path / "a.mp4", 29)
    assert convert(path, decoder=decoder).failure is None
    assert convert(path, decoder=decoder, min_frames=29).failure is None
    failure = convert(path, decoder=decoder, min_frames=30).failure
    assert failure.reason == TOO_FEW_FRAMES
    assert "29" in failure.detail
    assert num_broken([failure]) == 0
