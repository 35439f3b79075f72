"""Frames + views -> super images -> bytes. Frames arrive in a stream, so no more than one is held at its full size.

An image is a tuple of planes all the way: one of RGB, or luma and two of chroma as most videos and JPEGs have them, so
that no colour is converted between the one and the other.
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
    """One layout of one view. ``planes``: uint8 (rows*tile, columns*tile, 3), or three as a ``YCbCr`` has them."""

    view: View
    clip: Clip
    crop: Crop
    planes: Planes


class Frames:
    """The frames that the views of a video need, each once, in ascending order, from one decode.

    ``size``: (width, height) in pixels of the first one, which is known once it is decoded. A later frame of another
    size is scaled to it, as ffmpeg does.
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
    """All layouts of all views out of one decode, view by view. ``crops``: that of each view, by its number."""
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
    """A super image in the making: one ``Sheet`` of RGB, or one each of luma and of the two chroma planes."""

    def __init__(self, clip: Clip, is_ycbcr: bool):
        side = clip.layout.tile
        self.is_ycbcr = is_ycbcr
        colour = pad_color(clip.layout.pad)
        if is_ycbcr:
            sides = (side, side // 2, side // 2)
            self._sheets = tuple(Sheet(clip.layout, clip.order, side=of_plane) for of_plane in sides)
            self._colours: tuple[int | tuple[int, ...], ...] = _ycbcr_colour(colour)
        else:
            self._sheets = (Sheet(clip.layout, clip.order, side=side, channels=(3,)),)
            self._colours = (colour,)

    def put(self, position: int, tile: Planes) -> None:
        for sheet, part in zip(self._sheets, tile):
            sheet.put(position, part)

    def finish(self) -> Planes:
        return tuple(sheet.finish(colour) for sheet, colour in zip(self._sheets, self._colours))


@functools.cache
def _ycbcr_colour(rgb: tuple[int, int, int]) -> tuple[int, ...]:
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
    """Cut one frame's tiles into all clips that want it; a crop in a size is cut once."""
    cut: dict[tuple[Crop, int, bool], Planes] = {}
    for view_number, clip, position in places:
        canvas = canvases[view_number, clip.layout.name]
        wanted = crops[view_number], clip.layout.tile, canvas.is_ycbcr
        if wanted not in cut:
            cut[wanted] = _cut_tile(picture, *wanted)
        canvas.put(position, cut[wanted])


def _cut_tile(picture: Picture, crop: Crop, side: int, is_ycbcr: bool) -> Planes:
    """The crop, mirrored where it says so."""
    planes = picture.ycbcr_tile(crop, side) if is_ycbcr else (picture.tile(crop, side),)
    return tuple(plane[:, ::-1] for plane in planes) if crop.flip else planes


def stores_ycbcr(encoding: Encoding, layout: Layout) -> bool:
    """Whether its files hold chroma of half the width and height: then tiles are best cut so."""
    return encoding.format == "jpeg" and encoding.subsampling == "4:2:0" and layout.tile % 2 == 0


def encode(planes: Planes, encoding: Encoding) -> bytes:
    """The file of a super image. Planes of chroma are for JPEG of 4:2:0 alone."""
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
