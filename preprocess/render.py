"""Frames + views -> super images -> bytes. Frames arrive in a stream, so no more than one is held at its full size.

An image is a tuple of planes all the way: one of RGB, or luma and two of chroma as most videos and JPEGs have them, so
that no colour is converted between the one and the other.
"""

import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import simplejpeg
from PIL import Image

from preprocess.config import Encoding
from preprocess.crops import Crop
from preprocess.picture import Picture, scaled_to, ycbcr_of
from preprocess.video import VideoSource
from preprocess.views import Clip, View
from shards.layouts import Layout, pad_colour, tile_plane

# RGB, or Y, Cb and Cr.
Planes = tuple[np.ndarray, ...]

_PILLOW_SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@dataclass(frozen=True, kw_only=True)
class SuperImage:
    """One layout of one view. ``planes``: uint8 (rows*tile, columns*tile, 3), or as ``preprocess.picture.YCbCr`` has it."""

    view: View
    clip: Clip
    crop: Crop
    planes: Planes


def render(
    source: VideoSource,
    views: list[View],
    crop_of: Callable[[int, tuple[int, int]], Crop],
    *,
    is_ycbcr: Callable[[Layout], bool] = lambda layout: False,
) -> Iterator[SuperImage]:
    """All layouts of all views out of one decode, view by view. ``crop_of(view number, (width, height))`` -> Crop.

    Sizes are those of the first frame that comes: a later frame of another size is scaled to it, as ffmpeg does.
    """
    places = _places(views)
    tiles = {
        (view.number, clip.layout.name): _empty_tiles(clip.layout, is_ycbcr(clip.layout))
        for view in views
        for clip in view.clips
    }
    crops: dict[int, Crop] = {}
    size = None
    for index, picture in source.pictures(sorted(places)):
        if size is None:
            size = picture.size
            crops = {view.number: crop_of(view.number, size) for view in views}
        _cut_tiles(scaled_to(picture, size), places[index], crops, tiles)
    for view in views:
        for clip in view.clips:
            planes = _lay_out(tiles[view.number, clip.layout.name], clip)
            yield SuperImage(view=view, clip=clip, crop=crops[view.number], planes=planes)


def _empty_tiles(layout: Layout, is_ycbcr: bool) -> Planes:
    """Room for the tiles of a clip: each plane (T, side, side[, 3])."""
    side = layout.tile
    shapes = ((side, side), (side // 2, side // 2), (side // 2, side // 2)) if is_ycbcr else ((side, side, 3),)
    return tuple(np.empty((layout.frames, *shape), np.uint8) for shape in shapes)


def _lay_out(tiles: Planes, clip: Clip) -> Planes:
    colour = pad_colour(clip.layout.pad)
    pads = _ycbcr_colour(colour) if len(tiles) == 3 else (colour,)
    return tuple(tile_plane(plane, clip.layout, clip.order, pad=pad) for plane, pad in zip(tiles, pads))


def _ycbcr_colour(rgb: tuple[int, int, int]) -> tuple[int, int, int]:
    planes = ycbcr_of(np.full((2, 2, 3), rgb, np.uint8))
    return tuple(int(plane[0, 0]) for plane in planes)


def _places(views: list[View]) -> dict[int, list[tuple[int, Clip, int]]]:
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
    crops: dict[int, Crop],
    tiles: dict[tuple[int, str], Planes],
) -> None:
    """Cut one frame's tiles into all clips that want it; a crop in a size is cut once."""
    cut: dict[tuple[Crop, int, int], Planes] = {}
    for view_number, clip, position in places:
        targets = tiles[view_number, clip.layout.name]
        wanted = crops[view_number], clip.layout.tile, len(targets)
        if wanted not in cut:
            cut[wanted] = _cut_tile(picture, *wanted)
        for target, plane in zip(targets, cut[wanted]):
            target[position] = plane


def _cut_tile(picture: Picture, crop: Crop, side: int, num_planes: int) -> Planes:
    """The crop, mirrored where it says so."""
    planes = picture.ycbcr_tile(crop, side) if num_planes == 3 else (picture.tile(crop, side),)
    return tuple(plane[:, ::-1] for plane in planes) if crop.flip else planes


def stores_ycbcr(encoding: Encoding, layout: Layout) -> bool:
    """Whether its files hold chroma of half the width and height: then tiles are best cut so."""
    return encoding.format == "jpeg" and encoding.subsampling == "4:2:0" and layout.tile % 2 == 0


def encode(planes: Planes, encoding: Encoding) -> bytes:
    """The file of a super image. Planes of chroma are for JPEG of 4:2:0 alone."""
    if len(planes) == 3:
        return simplejpeg.encode_jpeg_yuv_planes(*planes, quality=encoding.quality)
    content = io.BytesIO()
    image = Image.fromarray(*planes)
    if encoding.format == "jpeg":
        subsampling = _PILLOW_SUBSAMPLING[encoding.subsampling]
        image.save(content, "JPEG", quality=encoding.quality, subsampling=subsampling)
    elif encoding.format == "webp":
        image.save(content, "WEBP", quality=encoding.quality)
    else:
        image.save(content, "PNG")
    return content.getvalue()
