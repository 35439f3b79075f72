"""Frames + views -> super images -> bytes. Frames arrive in a stream, so no more than one is held at its full size."""

import io
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from preprocess.config import Encoding
from preprocess.crops import Crop
from preprocess.picture import Picture, scaled_to
from preprocess.video import VideoSource
from preprocess.views import Clip, View
from shards.layouts import tile

_PILLOW_SUBSAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}


@dataclass(frozen=True, kw_only=True)
class SuperImage:
    """One layout of one view: ``pixels`` uint8 (rows*tile, columns*tile, 3)."""

    view: View
    clip: Clip
    crop: Crop
    pixels: np.ndarray


def render(
    source: VideoSource, views: list[View], crop_of: Callable[[int, tuple[int, int]], Crop]
) -> Iterator[SuperImage]:
    """All layouts of all views out of one decode, view by view. ``crop_of(view number, (width, height))`` -> Crop.

    Sizes are those of the first frame that comes: a later frame of another size is scaled to it, as ffmpeg does.
    """
    places = _places(views)
    tiles = {
        (view.number, clip.layout.name): np.empty((clip.layout.frames, clip.layout.tile, clip.layout.tile, 3), np.uint8)
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
            pixels = tile(tiles[view.number, clip.layout.name], clip.layout, clip.order)
            yield SuperImage(view=view, clip=clip, crop=crops[view.number], pixels=pixels)


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
    tiles: dict[tuple[int, str], np.ndarray],
) -> None:
    """Cut one frame's tiles into all clips that want it; a crop in a size is cut once."""
    cut: dict[tuple[Crop, int], np.ndarray] = {}
    for view_number, clip, position in places:
        wanted = crops[view_number], clip.layout.tile
        if wanted not in cut:
            cut[wanted] = cut_tile(picture, *wanted)
        tiles[view_number, clip.layout.name][position] = cut[wanted]


def cut_tile(picture: Picture, crop: Crop, side: int) -> np.ndarray:
    """uint8 (side, side, 3): the crop, mirrored where it says so."""
    tile = picture.tile(crop, side)
    return tile[:, ::-1] if crop.flip else tile


def encode(pixels: np.ndarray, encoding: Encoding) -> bytes:
    """The file of a super image, uint8 (H, W, 3)."""
    content = io.BytesIO()
    image = Image.fromarray(pixels)
    if encoding.format == "jpeg":
        subsampling = _PILLOW_SUBSAMPLING[encoding.subsampling]
        image.save(content, "JPEG", quality=encoding.quality, subsampling=subsampling)
    elif encoding.format == "webp":
        image.save(content, "WEBP", quality=encoding.quality)
    else:
        image.save(content, "PNG")
    return content.getvalue()
