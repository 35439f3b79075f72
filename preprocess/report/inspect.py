"""``--inspect``: writes each layout of each view of one video as a PNG with frame numbers and the crop box."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from preprocess.annotations.dataset import Video
from preprocess.config.schema import Config, SplitConfig
from preprocess.crops import Crop
from preprocess.decode.source import VideoInfo, VideoSource
from preprocess.decode.streams import describe_streams
from preprocess.render import Frames, SuperImage, render
from preprocess.run.pipeline import read_dataset
from preprocess.views import crop_of_view, plan_views
from preprocess.worker.video import use_first_decoder
from shards.format import video_keys
from shards.layouts import Layout

_GAP = 8
_BOX_COLOUR = (255, 220, 0)
_SEE_THROUGH = 110  # of 255: opacity of the dark box behind a number


def inspect_video(config: Config, path: Path, output: Path, *, source: Path | None = None) -> Iterator[str]:
    """Write ``<layout>-<split>-v<view>.png`` for every layout, split and view; yield a description of each.

    The views are the same as in a conversion. If the lists below ``source`` name the file, its split and segments come
    from the lists; the file name has the key of the segment if there are several. Otherwise the whole video is shown as
    a video of every split. Raises ValueError if the file does not decode, OSError if ``output`` cannot be written.
    """
    output.mkdir(parents=True, exist_ok=True)
    listed = [] if source is None else _listed(config, path, source)
    if source is not None and not listed:
        yield f"note: {path} is not in the lists of {source}; it is shown as a whole video of every split"
    shown = listed or [(split, _unlisted(config, path)) for split in config.splits]
    is_first = True
    for split, video in shown:
        info, images = super_images(config, config.splits[split], video, path)
        if is_first:
            yield from _file_lines(config, path, info)
            is_first = False
        name = f"{split}-{video.key}" if len({video.key for _, video in shown}) > 1 else split
        for image, frame in images:
            target = output / f"{image.clip.layout.name}-{name}-v{image.view.number:02d}.png"
            picture(image, info, frame).save(target)
            yield f"{target}: {_description(image, info)}"


def _listed(config: Config, path: Path, source: Path) -> list[tuple[str, Video]]:
    """(split, video) of each entry that names the file."""
    videos = read_dataset(config, source).splits
    place = path.resolve()
    return [
        (split, video)
        for split in config.splits
        for video in videos[split]
        # Compare names first, since resolving a million paths takes minutes on a network disk.
        if Path(video.path).name == path.name and (source / video.path).resolve() == place
    ]


def _unlisted(config: Config, path: Path) -> Video:
    frame_rate = getattr(config.annotations, "frame_rate", None)  # of formats whose videos are folders of frames
    return Video(key=video_keys([path.name])[0], path=str(path), labels=(0,), frame_rate=frame_rate)


def _file_lines(config: Config, path: Path, info: VideoInfo) -> Iterator[str]:
    yield (
        f"{path}: {info.num_frames} frames in {info.times_seconds[-1]:.2f} s"
        f"{f', {info.fps:.2f} a second' if info.fps else ''}, read by {info.decoder}"
    )
    if info.stream is not None:
        yield from describe_streams(str(path), taken=info.stream, max_pixels=config.max_pixels)


def super_images(
    config: Config, split: SplitConfig, video: Video, path: Path
) -> tuple[VideoInfo, list[tuple[SuperImage, np.ndarray]]]:
    """Every super image of a split as in a conversion, with the middle frame of its clip, uint8 (H, W, 3).

    ``path`` is the path of the file. Raises ValueError if no decoder can read it.
    """

    def use(source: VideoSource) -> tuple[VideoInfo, list[tuple[SuperImage, np.ndarray]]]:
        views = plan_views(video, source.info, config, split)
        wanted = Frames(source, views)
        crops = {view.number: crop_of_view(video, view.number, wanted.size, config, split) for view in views}
        images = list(render(wanted, views, crops))
        frames = dict(source.frames(sorted({_middle(image) for image in images})))
        return source.info, [(image, frames[_middle(image)]) for image in images]

    deadline = time.monotonic() + config.timeout_seconds
    result, errors = use_first_decoder(config, video, str(path), deadline=deadline, use=use)
    if result is None:
        raise ValueError("; then ".join(dict.fromkeys(map(str, errors))))
    return result


def _middle(image: SuperImage) -> int:
    return int(image.clip.indices[len(image.clip.indices) // 2])


def _description(image: SuperImage, info: VideoInfo) -> str:
    indices, crop = image.clip.indices, image.crop
    times = " ".join(f"{info.times_seconds[index]:.2f}" for index in indices)
    return (
        f"frames {' '.join(map(str, indices))}; seconds {times}; crop {crop.width:.0f}x{crop.height:.0f} "
        f"at {crop.left:.0f},{crop.top:.0f}{', mirrored' if crop.flip else ''}"
    )


def picture(image: SuperImage, info: VideoInfo, frame: np.ndarray) -> Image.Image:
    """The numbered super image, and below it the middle frame of the clip with the crop box."""
    sheet = numbered(image, info)
    below = _with_box(frame, image.crop, sheet.width)
    canvas = Image.new("RGB", (sheet.width, sheet.height + _GAP + below.height), "white")
    canvas.paste(sheet, (0, 0))
    canvas.paste(below, ((sheet.width - below.width) // 2, sheet.height + _GAP))
    return canvas


def numbered(image: SuperImage, info: VideoInfo) -> Image.Image:
    """The super image with the position in time (from 1), frame index (from 0) and time of each tile."""
    layout = image.clip.layout
    sheet = Image.fromarray(*image.planes)
    draw = ImageDraw.Draw(sheet, "RGBA")
    for cell, position in enumerate(image.clip.order.tolist()):
        index = int(image.clip.indices[position])
        _write_number(draw, layout, cell, position, f"frame {index}, {info.times_seconds[index]:.2f} s")
    for row in range(1, layout.rows):
        draw.line([(0, row * layout.tile), (sheet.width, row * layout.tile)], fill="white")
    for column in range(1, layout.columns):
        draw.line([(column * layout.tile, 0), (column * layout.tile, sheet.height)], fill="white")
    return sheet


def _write_number(draw: ImageDraw.ImageDraw, layout: Layout, cell: int, position: int, caption: str) -> None:
    left, top = cell % layout.columns * layout.tile, cell // layout.columns * layout.tile
    large, small = (ImageFont.load_default(max(layout.tile * share // 100, 8)) for share in (28, 8))
    plate = draw.textbbox((left + 4, top), str(position + 1), font=large)
    draw.rectangle((left, top, plate[2] + 4, plate[3] + 4), fill=(0, 0, 0, _SEE_THROUGH))
    draw.text((left + 4, top), str(position + 1), font=large, fill="white")
    bottom = top + layout.tile - 4
    draw.text((left + 4, bottom), caption, font=small, fill="white", anchor="ls", stroke_width=2, stroke_fill="black")


def _with_box(frame: np.ndarray, crop: Crop, width: int) -> Image.Image:
    """The frame, scaled down to at most ``width``, with the box of the crop."""
    whole = Image.fromarray(frame)
    scale = min(width / whole.width, 1.0)
    small = whole.resize((max(round(whole.width * scale), 1), max(round(whole.height * scale), 1)))
    draw = ImageDraw.Draw(small)
    left, top, right, bottom = (round(edge * scale) for edge in crop.box)
    draw.rectangle((left, top, right - 1, bottom - 1), outline=_BOX_COLOUR, width=3)
    return small
