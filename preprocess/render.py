"""Frames + views -> super images -> bytes. Frames are streamed, so only one full-size frame is in memory at a time.

An image is a tuple of planes: one RGB plane, or luma and two chroma planes. Most videos and JPEG files store luma and
chroma, so no color conversion is needed between them.
"""

import functools
import io
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image

from preprocess.config.schema import Encoding
from preprocess.crops import Crop
from preprocess.decode.frame import Picture, scaled_to, ycbcr_of
from preprocess.decode.source import VideoSource
from preprocess.views import Clip, View
from shards.layouts import Layout, Sheet, pad_color

# RGB, or Y, Cb and Cr.
Planes = tuple[np.ndarray, ...]

_PILLOW_SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@dataclass(frozen=True, kw_only=True)
class SuperImage:
    """One layout of one view. ``planes``: uint8 (rows*tile, columns*tile, 3), or three planes as in ``YCbCr``."""

    view: View
    clip: Clip
    crop: Crop
    planes: Planes


class Frames:
    """The frames that the views of a video need, each once, in ascending order.

    ``size`` is (width, height) in pixels of the first frame, which is decoded at once. Later frames of another size are
    scaled to it, as ffmpeg does.
    """

    def __init__(self, source: VideoSource, views: Sequence[View]):
        pictures = source.pictures(sorted(_places(views)))
        first = next(pictures)
        self.size = first[1].size
        self._pictures = itertools.chain([first], pictures)

    def __iter__(self) -> Iterator[tuple[int, Picture]]:
        return ((index, scaled_to(picture, self.size)) for index, picture in self._pictures)


def render(
    frames: Frames,
    views: Sequence[View],
    crops: Mapping[int, Crop],
    *,
    is_ycbcr: Callable[[Layout], bool] = lambda layout: False,
) -> Iterator[SuperImage]:
    """All layouts of all views, view by view. ``crops``: {view number: crop}."""
    places = _places(views)
    canvases = {
        (view.number, clip.layout.name): _Canvas(clip, is_ycbcr(clip.layout)) for view in views for clip in view.clips
    }
    for index, picture in frames:
        _cut_tiles(picture, places[index], crops, canvases)
    for view in views:
        for clip in view.clips:
            planes = canvases[view.number, clip.layout.name].finish()
            yield SuperImage(view=view, clip=clip, crop=crops[view.number], planes=planes)


class _Canvas:
    """A super image under construction: one RGB ``Sheet``, or one each for luma and the two chroma planes."""

    def __init__(self, clip: Clip, is_ycbcr: bool):
        side = clip.layout.tile
        self.is_ycbcr = is_ycbcr
        color = pad_color(clip.layout.pad)
        if is_ycbcr:
            sides = (side, side // 2, side // 2)
            self._sheets = tuple(Sheet(clip.layout, clip.order, side=of_plane) for of_plane in sides)
            self._colors: tuple[int | tuple[int, ...], ...] = _ycbcr_color(color)
        else:
            self._sheets = (Sheet(clip.layout, clip.order, side=side, channels=(3,)),)
            self._colors = (color,)

    def put(self, position: int, tile: Planes) -> None:
        for sheet, part in zip(self._sheets, tile):
            sheet.put(position, part)

    def finish(self) -> Planes:
        return tuple(sheet.finish(color) for sheet, color in zip(self._sheets, self._colors))


@functools.cache
def _ycbcr_color(rgb: tuple[int, int, int]) -> tuple[int, ...]:
    planes = ycbcr_of(np.full((2, 2, 3), rgb, np.uint8))
    return tuple(int(plane[0, 0]) for plane in planes)


def _places(views: Sequence[View]) -> dict[int, list[tuple[int, Clip, int]]]:
    """Where each frame is needed: index -> (view number, clip, position in the clip)."""
    places = defaultdict(list)
    for view in views:
        for clip in view.clips:
            for position, index in enumerate(clip.indices.tolist()):
                places[index].append((view.number, clip, position))
    return places


def _cut_tiles(
    picture: Picture,
    places: list[tuple[int, Clip, int]],
    crops: Mapping[int, Crop],
    canvases: dict[tuple[int, str], _Canvas],
) -> None:
    """Put the tiles of one frame into all clips that need it. Each (crop, size) is cut once."""
    cut: dict[tuple[Crop, int, bool], Planes] = {}
    for view_number, clip, position in places:
        canvas = canvases[view_number, clip.layout.name]
        wanted = crops[view_number], clip.layout.tile, canvas.is_ycbcr
        if wanted not in cut:
            cut[wanted] = _cut_tile(picture, *wanted)
        canvas.put(position, cut[wanted])


def _cut_tile(picture: Picture, crop: Crop, side: int, is_ycbcr: bool) -> Planes:
    """The tile of a crop, mirrored if ``crop.flip``."""
    planes = picture.ycbcr_tile(crop, side) if is_ycbcr else (picture.tile(crop, side),)
    return tuple(plane[:, ::-1] for plane in planes) if crop.flip else planes


def stores_ycbcr(encoding: Encoding, layout: Layout) -> bool:
    """Whether the files store chroma at half the width and height, so that tiles can be cut in YCbCr."""
    return encoding.format == "jpeg" and encoding.subsampling == "4:2:0" and layout.tile % 2 == 0


def encode(planes: Planes, encoding: Encoding) -> bytes:
    """Encode a super image as a file. Only JPEG with 4:2:0 accepts luma and chroma planes."""
    if len(planes) == 3:
        return simplejpeg.encode_jpeg_yuv_planes(*planes, quality=encoding.quality)
    content = io.BytesIO()
    (rgb,) = planes
    image = Image.fromarray(rgb)
    if encoding.format == "jpeg":
        subsampling = _PILLOW_SUBSAMPLING[encoding.subsampling]
        image.save(content, "JPEG", quality=encoding.quality, subsampling=subsampling)
    elif encoding.format == "webp":
        image.save(content, "WEBP", quality=encoding.quality)
    else:
        image.save(content, "PNG")
    return content.getvalue()
