"""One shard's worth of videos into tars and records. Composes all the rest; knows no Ray."""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess.annotations.dataset import Video
from preprocess.config import Config
from preprocess.decode import decoders_to_try, open_video
from preprocess.plan import PlannedShard
from preprocess.render import SuperImage, encode, render
from preprocess.video import DecodeError, VideoInfo
from preprocess.views import crop_of_view, plan_views
from shards.format import sample_key, shard_name
from shards.records import Failure, Record, Tar
from shards.write import Sample, ShardWriter, open_shard


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every shard of a conversion shares. ``digest`` names configuration and videos together."""

    config: Config
    source: str
    output: str
    class_names: tuple[str, ...]
    digest: str


@dataclass(frozen=True, kw_only=True)
class RenderedSample:
    """A sample, and the layout and view whose tar it belongs to."""

    layout: str
    view: int
    sample: Sample


def convert_shard(job: Job, shard: PlannedShard) -> tuple[Failure, ...]:
    """Write the tars of all layouts and views, then a record in each layout's directory; returns the failures.

    A video that fails is in none of the tars, so that every view has the same videos in the same order. OSError (a full
    disk) leaves no tar and no record behind.
    """
    num_views = job.config.splits[shard.split].num_views
    failures = []
    with contextlib.ExitStack() as stack:
        writers = {
            (layout, view): stack.enter_context(open_shard(_tar_path(job, layout, shard, view)))
            for layout in job.config.layouts
            for view in range(num_views)
        }
        for video in shard.videos:
            rendered = convert_video(job, shard.split, video)
            if isinstance(rendered, Failure):
                failures.append(rendered)
                continue
            for item in rendered:
                writers[item.layout, item.view].add(item.sample)
    for layout in job.config.layouts:
        tars = tuple(_tar(shard, view, writers[layout, view]) for view in range(num_views))
        record = Record(split=shard.split, number=shard.number, digest=job.digest, tars=tars, failures=tuple(failures))
        record.write(Path(job.output) / layout)
    return tuple(failures)


def convert_video(job: Job, split: str, video: Video) -> list[RenderedSample] | Failure:
    """All samples of a video by the first decoder that succeeds, or why none did."""
    errors: list[DecodeError] = []
    for decoder in decoders_to_try(job.config.decoder):
        try:
            return _convert_with(decoder, job, split, video)
        except DecodeError as error:
            errors.append(error)
    # The last decoder is the most forgiving one, so its reason is the one to count by.
    detail = "; then ".join(dict.fromkeys(error.detail for error in errors))
    return Failure(video=video.key, path=video.path, reason=errors[-1].reason, detail=detail)


def _convert_with(decoder: str, job: Job, split_name: str, video: Video) -> list[RenderedSample]:
    config, split = job.config, job.config.splits[split_name]
    path = os.path.join(job.source, video.path)
    with open_video(path, decoder=decoder, timeout_seconds=config.timeout_seconds) as source:
        views = plan_views(video, source.info, config, split)
        images = render(source, views, lambda number, size: crop_of_view(video, number, size, config, split))
        return [_rendered_sample(image, job, video, source.info, split.num_views) for image in images]


def _rendered_sample(image: SuperImage, job: Job, video: Video, info: VideoInfo, num_views: int) -> RenderedSample:
    sample = Sample(
        key=sample_key(video.key, image.view.number),
        image=encode(image.pixels, job.config.encoding),
        extension=job.config.encoding.extension,
        label=video.labels[0],
        metadata=_metadata(image, video, info, num_views, job.class_names),
    )
    return RenderedSample(layout=image.clip.layout.name, view=image.view.number, sample=sample)


def _metadata(image: SuperImage, video: Video, info: VideoInfo, num_views: int, class_names: Sequence[str]) -> dict:
    """``KEY.json``: where each tile comes from. Times in seconds from the first frame, the crop in pixels."""
    crop, indices = image.crop, image.clip.indices
    return {
        "video": video.key,
        "path": video.path,
        "label": video.labels[0],
        "label_name": class_names[video.labels[0]],
        "labels": list(video.labels),
        "view": image.view.number,
        "num_views": num_views,
        "clip": image.view.clip_number,
        "frames": indices.tolist(),
        "times_seconds": [round(float(info.times_seconds[index]), 4) for index in indices],
        "crop": [round(float(value), 3) for value in (crop.left, crop.top, crop.width, crop.height)],
        "flip": crop.flip,
        "order": image.clip.order.tolist(),
        "num_frames": info.num_frames,
        "codec": info.codec,
        "decoder": info.decoder,
    }


def _tar_path(job: Job, layout: str, shard: PlannedShard, view: int) -> Path:
    return Path(job.output) / layout / shard_name(shard.split, view, shard.number)


def _tar(shard: PlannedShard, view: int, writer: ShardWriter) -> Tar:
    return Tar(
        name=shard_name(shard.split, view, shard.number),
        sha256=writer.sha256,
        bytes=writer.num_bytes,
        samples=writer.num_samples,
    )
