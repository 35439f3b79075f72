"""Tiles are the crop's own pixels: against Pillow, and against the formulas of colour."""

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from PIL import Image

from preprocess.crops import Crop, crop_for_test
from preprocess.decode.frame import ArrayPicture, ycbcr_of
from preprocess.decode.open import open_video
from preprocess.decode.pyav_frame import FramePicture, Scalers, picture_of

BT709, BT601 = 1, 5  # AVColorSpace
ACCURATE_ROUNDING, FULL_CHROMA = 0x40000, 0x2000  # libswscale's numbers: PyAV has names for them from 18 on
# Even and odd beginnings and sizes: chroma samples are two pixels wide and high.
BOXES = [(0, 0, 128, 128), (64, 0, 128, 128), (34, 4, 100, 76), (33, 5, 100, 76), (33, 5, 101, 77), (10, 20, 7, 90)]
WHOLE = Crop(left=0, top=0, width=64, height=48)


def frame_of(y, cb, cr, *, color_range=ColorRange.MPEG, colorspace=BT601, pixel_format="yuv420p"):
    """64x48, every sample of a plane the same."""
    frame = av.VideoFrame(64, 48, pixel_format)
    frame.color_range, frame.colorspace = color_range, colorspace
    for plane, value in zip(frame.planes, (y, cb, cr)):
        plane.update(bytes([value]) * plane.buffer_size)
    return frame


def waves():
    """A frame of slow waves of all colours."""
    y, x = np.mgrid[:128, :192]
    rgb = [127 + 120 * np.sin(x / 9 + y / 23), 127 + 120 * np.sin(y / 11), 127 + 120 * np.cos(x / 17 - y / 13)]
    frame = av.VideoFrame.from_ndarray(np.stack(rgb, axis=-1).astype(np.uint8), format="rgb24")
    return VideoReformatter().reformat(frame, format="yuv420p", dst_color_range=ColorRange.MPEG)


def exact(frame):
    """All of the frame in RGB, its chroma interpolated with full precision."""
    precise = int(Interpolation.BILINEAR) | ACCURATE_ROUNDING | FULL_CHROMA
    return ArrayPicture(VideoReformatter().reformat(frame, format="rgb24", interpolation=precise).to_ndarray())


@pytest.mark.parametrize("side", [16, 40, 64, 112])
@pytest.mark.parametrize("box", BOXES, ids=str)
def test_tiles_scaled_by_the_decoder_are_those_of_pillow(side, box):
    """Two implementations of the same average, one of the colours and one of luma and chroma apart."""
    frame = waves()
    crop = Crop(**dict(zip(("left", "top", "width", "height"), box)))
    picture, reference = picture_of(frame, Scalers()), exact(frame)
    assert isinstance(picture, FramePicture)
    expected = reference.tile(crop, side)
    error = picture.tile(crop, side).astype(int) - expected
    assert np.abs(error @ (0.299, 0.587, 0.114)).mean() < 0.8
    # Chroma that is a pixel of the frame off would differ by 7; an odd size stretches it by up to half a pixel.
    assert np.abs(error).mean() < (4.5 if crop.width % 2 else 3)
    for plane, of_exact, limit in zip(picture.ycbcr_tile(crop, side), ycbcr_of(expected), (0.8, 3.5, 4.5)):
        assert np.abs(plane.astype(int) - of_exact).mean() < limit


def test_a_box_of_one_pixel():
    frame = waves()
    crop = Crop(left=191, top=127, width=1, height=1)
    tile = picture_of(frame, Scalers()).tile(crop, 16)
    assert (tile == tile[0, 0]).all()
    assert np.abs(tile[0, 0].astype(int) - exact(frame).tile(crop, 16)[0, 0]).max() < 12


@pytest.mark.parametrize("y", range(16, 236, 9))
def test_the_range_of_video_becomes_that_of_a_jpeg(y):
    """BT.601-7, table 3: 219 steps of luma and 224 of chroma from 16, to 255 from 0."""
    cb, cr = y + 4, 256 - y
    tiles = picture_of(frame_of(y, cb, cr), Scalers()).ycbcr_tile(WHOLE, 32)
    expected = ((y - 16) * 255 / 219, (cb - 128) * 255 / 224 + 128, (cr - 128) * 255 / 224 + 128)
    for plane, value in zip(tiles, expected):
        assert np.abs(plane - value).max() <= 0.5


@pytest.mark.parametrize("given", ["in the range", "in the format"])
def test_a_video_of_full_range_stays_as_it_is(given):
    options = {"color_range": ColorRange.JPEG} if given == "in the range" else {"pixel_format": "yuvj420p"}
    tiles = picture_of(frame_of(250, 7, 99, **options), Scalers()).ycbcr_tile(WHOLE, 32)
    assert [set(plane.flat) for plane in tiles] == [{250}, {7}, {99}]


@pytest.mark.parametrize("ycbcr", [(90, 110, 150), (150, 140, 110), (200, 120, 130)])
def test_a_jpeg_has_the_colours_of_bt601_whatever_the_video_has(ycbcr):
    """BT.709-6, items 3.2 to 3.5, then JFIF 1.02, section 7."""
    y, cb, cr = (ycbcr[0] - 16) / 219, (ycbcr[1] - 128) / 224, (ycbcr[2] - 128) / 224
    red, blue = y + 1.5748 * cr, y + 1.8556 * cb
    green = (y - 0.2126 * red - 0.0722 * blue) / 0.7152
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    expected = np.array([luma, (blue - luma) / 1.772, (red - luma) / 1.402]) * 255 + (0, 128, 128)
    tiles = picture_of(frame_of(*ycbcr, colorspace=BT709), Scalers()).ycbcr_tile(WHOLE, 32)
    assert np.abs([plane.mean() for plane in tiles] - expected).max() < 1.2


def test_rgb_becomes_luma_and_the_mean_chroma_of_four_pixels():
    """JFIF 1.02, section 7."""
    rgb = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    red, green, blue = np.moveaxis(rgb.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    cb, cr = (
        (chroma + 128).reshape(16, 2, 24, 2).mean((1, 3)) for chroma in ((blue - luma) / 1.772, (red - luma) / 1.402)
    )
    for plane, expected in zip(ycbcr_of(rgb), (luma, cb, cr)):
        assert plane.shape == expected.shape
        assert np.abs(plane - expected).max() <= 1
        assert abs((plane - expected).mean()) < 0.2


@pytest.mark.parametrize("pixel_format", ["yuv444p", "yuv420p10le", "rgb24", "gray"])
def test_uncommon_pixels_are_converted_as_a_whole(pixel_format):
    frame = VideoReformatter().reformat(waves(), format=pixel_format)
    picture = picture_of(frame, Scalers())
    assert isinstance(picture, ArrayPicture)
    rgb = Image.fromarray(frame.to_ndarray(format="rgb24", interpolation="BICUBIC"))
    expected = rgb.crop((32, 0, 160, 128)).resize((64, 64), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(picture.tile(Crop(left=32, top=0, width=128, height=128), 64), np.asarray(expected))


def test_both_decoders_cut_the_same_tiles(numbered_video):
    crop = crop_for_test(96, 64, number=0, num_crops=1)
    tiles = []
    for decoder in ("pyav", "ffmpeg"):
        with open_video(str(numbered_video), decoder=decoder, timeout_seconds=60) as source:
            tiles.append([picture.tile(crop, 48).astype(int) for _, picture in source.pictures([0, 9, 30])])
    assert np.abs(np.subtract(*tiles)).mean() < 1
