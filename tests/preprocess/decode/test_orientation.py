"""The whole display matrix, wherever a file keeps it: both decoders show all eight orientations alike."""

import numpy as np
import pytest
from media import frame_number, is_upright, numbered_frames, remux, write_video

from preprocess.crops import crop_for_test
from preprocess.decode.open import open_video
from preprocess.decode.orientation import UPRIGHT, Orientation, orientation_of_matrix

COUNT = 6
EIGHT = [(degrees, mirrored) for degrees in (0, 90, 180, 270) for mirrored in (False, True)]
CODECS = {
    "h264.mp4": {"vcodec": "libx264", "crf": 10},
    "h264.mkv": {"vcodec": "libx264", "crf": 10},
    "mpeg4.mov": {"vcodec": "mpeg4", "qscale": 2},
    "vp9.webm": {"vcodec": "libvpx-vp9", "crf": 10, "deadline": "realtime"},
}


def shown(path, decoder):
    with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
        return np.stack([frame for _, frame in video.frames(range(video.info.num_frames))])


def stored_for(degrees, mirrored):
    """Frames that are upright once they are turned anticlockwise by ``degrees`` and then, maybe, mirrored."""
    upright = numbered_frames(COUNT, width=64, height=96)
    unmirrored = upright[:, :, ::-1] if mirrored else upright
    return np.ascontiguousarray(np.rot90(unmirrored, -degrees // 90, axes=(1, 2)))


def assert_upright(frames):
    assert frames.shape[1:] == (96, 64, 3)
    assert [frame_number(frame) for frame in frames] == list(range(COUNT))
    assert all(is_upright(frame) for frame in frames)


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize(("degrees", "mirrored"), EIGHT)
def test_what_the_container_says(degrees, mirrored, codec, decoder, tmp_path):
    plain = write_video(tmp_path / f"plain_{codec}", stored_for(degrees, mirrored), **CODECS[codec])
    options = {"display_rotation": degrees, **({"display_hflip": None} if mirrored else {})}
    assert_upright(shown(remux(plain, tmp_path / codec, input_options=options), decoder))


@pytest.mark.parametrize("decoder", ["pyav", "ffmpeg"])
@pytest.mark.parametrize("suffix", ["mp4", "ts"])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
@pytest.mark.parametrize("flip", ["", "horizontal", "vertical"])
def test_what_the_stream_says(flip, degrees, suffix, decoder, tmp_path):
    """H.264 has a message for it (D.2.27), which stands at key frames alone."""
    upright = numbered_frames(COUNT, width=64, height=96)
    stored = np.rot90(upright, -degrees // 90, axes=(1, 2))
    stored = {"": stored, "horizontal": stored[:, :, ::-1], "vertical": stored[:, ::-1]}[flip]
    message = f"h264_metadata=display_orientation=insert:rotate={degrees}" + (f":flip={flip}" if flip else "")
    path = tmp_path / f"a.{suffix}"
    write_video(path, np.ascontiguousarray(stored), vcodec="libx264", crf=10, **{"bsf:v": message})
    assert_upright(shown(path, decoder))


def test_the_container_comes_before_the_stream(tmp_path):
    message = {"bsf:v": "h264_metadata=display_orientation=insert:rotate=180"}
    plain = write_video(tmp_path / "plain.mp4", stored_for(90, True), vcodec="libx264", crf=10, **message)
    both = remux(plain, tmp_path / "both.mp4", input_options={"display_rotation": 90, "display_hflip": None})
    assert_upright(shown(both, "pyav"))


def test_tiles_are_cut_from_the_picture_as_shown(tmp_path):
    plain = write_video(tmp_path / "plain.mp4", stored_for(270, True), vcodec="libx264", crf=10)
    path = remux(plain, tmp_path / "a.mp4", input_options={"display_rotation": 270, "display_hflip": None})
    with open_video(str(path), decoder="pyav", timeout_seconds=60) as video:
        ((_, picture),) = video.pictures([3])
    assert picture.size == (64, 96)
    np.testing.assert_array_equal(picture.tile(crop_for_test(64, 96, number=0, num_crops=1), 64), picture.rgb()[16:80])


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 0, 1), UPRIGHT),
        ((0, 0, 0, 0, 0), UPRIGHT),
        ((-1, 0, 0, 0, 1), Orientation(mirrors=True)),
        ((0, 1, 0, -1, 0), Orientation(transposes=True, mirrors=True)),
        ((0, -1, 0, -1, 0), Orientation(transposes=True, mirrors=True, flips=True)),
    ],
)
def test_where_a_matrix_puts_the_corners(matrix, expected):
    """A stored point (p, q) is shown at (a p + c q, b p + d q), but for a shift."""
    assert orientation_of_matrix([65536 * number for number in (*matrix, 0, 0, 0, 1 << 14)]) == expected
    a, b, _, c, d = matrix
    if any(matrix):
        height, width = 2, 3
        stored = np.array([[(p, q) for p in range(width)] for q in range(height)])
        picture = expected.apply(stored)
        points = stored.reshape(-1, 2) @ np.array([[a, b], [c, d]])
        points -= points.min(0)
        for (x, y), point in zip(points, stored.reshape(-1, 2)):
            assert picture[y, x].tolist() == point.tolist()
