"""Folders of numbered frames through the decoders' door: order, times, and what is wrong with a bad one."""

import numpy as np
import pytest
from media import frame_number, is_upright, numbered_frames
from PIL import Image

from preprocess.decode.open import decoders_to_try, open_video
from preprocess.decode.source import DecodeError


def write_frames(folder, count, *, name="{:05d}.jpg", first=1):
    folder.mkdir()
    for number, frame in enumerate(numbered_frames(count), start=first):
        Image.fromarray(frame).save(folder / name.format(number))
    return folder


def open_folder(folder, **options):
    (decoder,) = decoders_to_try("auto", str(folder))
    return open_video(str(folder), decoder=decoder, timeout_seconds=30, **options)


@pytest.mark.parametrize("name", ["{:05d}.jpg", "{}.png", "img_{:05d}.jpg", "{:06d}.JPEG"])
def test_frames_come_by_their_number(tmp_path, name):
    """``9.png`` stands before ``10.png``."""
    with open_folder(write_frames(tmp_path / "v", 12, name=name)) as source:
        assert source.info.num_frames == 12
        shown = [(index, frame_number(frame)) for index, frame in source.frames([0, 8, 9, 11])]
    assert shown == [(0, 0), (8, 8), (9, 9), (11, 11)]


@pytest.mark.parametrize(("frame_rate", "expected"), [(12.0, 12), (None, 25)])
def test_times_follow_the_rate_that_is_given(tmp_path, frame_rate, expected):
    with open_folder(write_frames(tmp_path / "v", 5), frame_rate=frame_rate) as source:
        assert np.allclose(source.info.times_seconds, np.arange(5) / expected)
        assert source.info.fps == pytest.approx(expected)


def test_what_is_no_frame_is_not_counted(tmp_path):
    folder = write_frames(tmp_path / "v", 3)
    for name in ("thumbs.db", "cover.jpg", ".00001.jpg", "00004.txt"):
        (folder / name).write_text("x", encoding="utf-8")
    with open_folder(folder) as source:
        assert source.info.num_frames == 3


def test_a_frame_is_upright_rgb(tmp_path):
    folder = tmp_path / "v"
    folder.mkdir()
    image = Image.fromarray(numbered_frames(1)[0])
    turned = image.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[274] = 6  # to be turned clockwise when shown
    turned.save(folder / "1.jpg", exif=exif, quality=95)
    image.convert("L").save(folder / "2.png")
    with open_folder(folder) as source:
        (_, first), (_, grey) = source.frames([0, 1])
    assert first.shape == grey.shape == (64, 96, 3)
    assert is_upright(first)


def test_a_damaged_frame_is_named(tmp_path):
    folder = write_frames(tmp_path / "v", 3)
    (folder / "00002.jpg").write_bytes((folder / "00002.jpg").read_bytes()[:200])
    with open_folder(folder) as source, pytest.raises(DecodeError, match=r"damaged frame: .*00002\.jpg"):
        list(source.frames([0, 1]))


def test_a_folder_without_frames(tmp_path):
    with pytest.raises(DecodeError, match="no frames"):
        open_folder(tmp_path)
