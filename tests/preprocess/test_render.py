"""Super images show the frames, crops and order that the views say."""

import io
from functools import partial

import numpy as np
import pytest
from media import frame_number, numbered_frames
from PIL import Image
from PIL.JpegImagePlugin import get_sampling

from preprocess.annotations.dataset import Video
from preprocess.config.schema import Encoding, config_from
from preprocess.crops import Crop, crop_for_test
from preprocess.decode.frame import ArrayPicture, ycbcr_of
from preprocess.decode.open import open_video
from preprocess.render import Frames, encode, render, stores_ycbcr
from preprocess.views import crop_of_view, plan_views
from shards.layouts import untile


class FakeSource:
    """Frames at hand as an open video; what was asked for is noted."""

    def __init__(self, frames):
        self._frames = frames
        self.asked = []

    def pictures(self, indices):
        self.asked += indices
        return ((index, ArrayPicture(self._frames[index])) for index in indices)


def config(layouts, **split):
    return config_from(
        {
            "annotations": {"format": "folder"},
            "layouts": layouts,
            "splits": {"train": split or {"mode": "train", "views": 2, "crop": "center"}},
        },
        "test",
    )


VIDEO = Video(key="clip", path="clip.mp4", labels=(0,))


def render_all(path, conf, **options):
    split = conf.splits["train"]
    with open_video(str(path), decoder="pyav", timeout_seconds=60) as source:
        views = plan_views(VIDEO, source.info, conf, split)
        frames = Frames(source, views)
        crops = {view.number: crop_of_view(VIDEO, view.number, frames.size, conf, split) for view in views}
        return list(render(frames, views, crops, **options))


def render_with_crop(source, views, crop_of):
    """All views with the same crop, ``crop_of(width, height)``."""
    frames = Frames(source, views)
    return list(render(frames, views, {view.number: crop_of(*frames.size) for view in views}))


def whole(width: int, height: int) -> Crop:
    return Crop(left=0, top=0, width=width, height=height)


def test_each_tile_shows_the_frame_that_its_index_names(numbered_video):
    # 48 px wide center of 96x64 frames: the bars' numbers are read from a full-width tile instead.
    layouts = {
        "plain": {"frames": 8, "tile": 64},
        "strip": {"frames": 4, "tile": 64, "grid": "1x4", "order": "reverse", "pad": "none"},
        "mixed": {"frames": 16, "tile": 32, "order": "random"},
    }
    conf = config(layouts)
    with open_video(str(numbered_video), decoder="pyav", timeout_seconds=60) as source:
        views = plan_views(VIDEO, source.info, conf, conf.splits["train"])
        images = render_with_crop(source, views, whole)
    assert [(image.view.number, image.clip.layout.name) for image in images] == [
        (view, name) for view in range(2) for name in layouts
    ]
    for image in images:
        frames = untile(image.planes[0], image.clip.layout, image.clip.order)
        assert [frame_number(frame) for frame in frames] == image.clip.indices.tolist()


def test_layouts_of_the_same_frames_agree_and_one_decode_serves_all():
    frames = numbered_frames(30)
    conf = config({"a": {"frames": 8, "tile": 32}, "b": {"frames": 8, "tile": 64, "grid": "2x4", "pad": "none"}})
    source = FakeSource(frames)
    info = type("Info", (), {"num_frames": 30, "fps": 25.0, "times_seconds": np.arange(30) / 25})()
    views = plan_views(VIDEO, info, conf, conf.splits["train"])
    for view in views:
        np.testing.assert_array_equal(view.clips[0].indices, view.clips[1].indices)
    render_with_crop(source, views, partial(crop_for_test, number=0, num_crops=1))
    assert source.asked == sorted(set(source.asked))
    assert set(source.asked) == {index for view in views for index in view.clips[0].indices.tolist()}


def test_a_crop_is_one_resampling_of_the_box():
    """Against Pillow: cut with crop(), then resize()."""
    frame = np.random.default_rng(0).integers(0, 256, (48, 80, 3), np.uint8)
    conf = config({"one": {"frames": 1, "tile": 16}}, mode="train", views=1)
    info = type("Info", (), {"num_frames": 1, "fps": None, "times_seconds": np.zeros(1)})()
    views = plan_views(VIDEO, info, conf, conf.splits["train"])
    crop = Crop(left=10, top=4, width=40, height=40, flip=True)
    (image,) = render_with_crop(FakeSource(frame[None]), views, lambda width, height: crop)
    expected = Image.fromarray(frame).crop((10, 4, 50, 44)).resize((16, 16), Image.Resampling.BILINEAR)
    expected = np.asarray(expected)[:, ::-1]
    np.testing.assert_array_equal(image.planes[0], expected)


def test_a_frame_of_another_size_is_scaled_to_the_first():
    small, large = numbered_frames(1)[0], numbered_frames(2, width=192, height=128)[1]
    conf = config({"two": {"frames": 2, "tile": 32, "grid": "1x2"}})
    info = type("Info", (), {"num_frames": 2, "fps": 25.0, "times_seconds": np.arange(2) / 25})()
    views = plan_views(VIDEO, info, conf, conf.splits["train"])
    for image in render_with_crop(FakeSource([small, large]), views, whole):
        assert [frame_number(frame) for frame in untile(image.planes[0], image.clip.layout)] == [0, 1]


@pytest.mark.parametrize("pad", ["mean", "black", "last"])
def test_planes_of_a_jpeg_show_what_rgb_shows(pad, numbered_video):
    """Tiles, order, mirrored crops and pads, against the RGB of the same views."""
    layouts = {
        "grid": {"frames": 8, "tile": 64, "pad": pad},
        "shuffled": {"frames": 5, "tile": 32, "order": "random", "pad": pad},
        "odd": {"frames": 3, "tile": 33, "pad": pad},
    }
    conf = config(layouts, mode="train", views=6, crop="multiscale", flip=True)
    rgb_images = render_all(numbered_video, conf)
    images = render_all(numbered_video, conf, is_ycbcr=partial(stores_ycbcr, conf.encoding))
    assert {image.crop.flip for image in images} == {False, True}
    for image, rgb_image in zip(images, rgb_images, strict=True):
        if image.clip.layout.name == "odd":
            np.testing.assert_array_equal(image.planes[0], rgb_image.planes[0])
            continue
        y, cb, cr = (Image.fromarray(plane) for plane in image.planes)
        whole = Image.merge("YCbCr", (y, cb.resize(y.size), cr.resize(y.size)))
        error = np.abs(np.asarray(whole.convert("RGB")).astype(int) - rgb_image.planes[0])
        assert error.mean() < 5
        tiles = untile(error.astype(np.uint8), image.clip.layout, image.clip.order)
        assert tiles.mean(axis=(1, 2, 3)).max() < 6


@pytest.mark.parametrize(
    ("encoding", "kind"),
    [
        (Encoding(), "JPEG"),
        (Encoding(quality=95, subsampling="4:4:4"), "JPEG"),
        (Encoding(format="png"), "PNG"),
        (Encoding(format="webp"), "WEBP"),
    ],
)
def test_encoding(encoding, kind):
    ramp = np.linspace(0, 255, 96).astype(np.uint8)
    pixels = np.stack(np.broadcast_arrays(ramp[:, None], ramp[None], np.uint8(90)), axis=-1)
    with Image.open(io.BytesIO(encode((pixels,), encoding))) as image:
        assert image.format == kind
        error = np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels).mean()
    assert error == 0 if kind == "PNG" else error < 3


@pytest.mark.parametrize("quality", [50, 90, 95])
def test_a_jpeg_of_planes_is_one_of_pillows(quality):
    """The same tables and chroma for the same quality; a little further from the picture, for its quicker transform."""
    x, y = np.meshgrid(np.arange(96), np.arange(64))
    pixels = np.stack([x * 2, y * 3, 128 + 100 * np.sin(x / 9)], axis=-1).astype(np.uint8)
    encoding = Encoding(quality=quality)
    with Image.open(io.BytesIO(encode((pixels,), encoding))) as expected:
        of_pillow = np.asarray(expected.convert("RGB")).astype(int)
        with Image.open(io.BytesIO(encode(ycbcr_of(pixels), encoding))) as image:
            assert image.quantization == expected.quantization
            assert get_sampling(image) == get_sampling(expected)
            assert image.mode == "RGB"
            error = np.abs(np.asarray(image.convert("RGB")).astype(int) - pixels).mean()
    assert error < np.abs(of_pillow - pixels).mean() + 0.25


def test_tiles_of_16_pixels_do_not_touch_in_a_jpeg(tmp_path):
    """No JPEG block, 4:2:0 chroma included, spans two frames when the tile is a multiple of 16 px."""
    white = np.full((64, 64, 3), 255, np.uint8)
    alone = white.copy()
    alone[:32, :32] = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    with Image.open(io.BytesIO(encode((alone,), Encoding(quality=50)))) as image:
        decoded = np.asarray(image.convert("RGB"))
    # Two pixels of margin: decoders smooth the chroma when they enlarge it.
    assert (decoded[34:, 34:] == 255).all()
