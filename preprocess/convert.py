"""One shard's worth of videos into tars and records. Composes all the rest; knows no Ray."""

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from preprocess.annotations.dataset import Video
from preprocess.annotations.subsets import OUTSIDE
from preprocess.config import Config
from preprocess.decode import decoders_to_try, open_video
from preprocess.plan import PlannedShard
from preprocess.render import SuperImage, encode, render
from preprocess.video import DecodeError, VideoInfo
from preprocess.views import crop_of_view, plan_views
from shards.format import sample_key, shard_name, subset_field
from shards.records import Failure, Record, Tar
from shards.write import Sample, ShardWriter, open_shard


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every shard of a conversion shares. ``digest`` names configuration and videos together.

    ``subsets``: the class names of each sub-set. ``multi_label``: some video has several labels.
    """

    config: Config
    source: str
    output: str
    class_names: tuple[str, ...]
    digest: str
    subsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    multi_label: bool = False


@dataclass(frozen=True, kw_only=True)
class RenderedSample:
    """A sample, the layout and view whose tar it belongs to, and the sub-sets that it is in."""

    layout: str
    view: int
    sample: Sample
    subsets: tuple[str, ...]


def convert_shard(job: Job, shard: PlannedShard) -> tuple[Failure, ...]:
    """Write the tars of all layouts and views, then a record in each layout's directory; returns the failures.

    A video that fails is in none of the tars, so that every view has the same videos in the same order. OSError (a full
    disk) leaves no tar and no record behind.
    """
    num_views = job.config.splits[shard.split].num_views
    failures = []
    subsets: defaultdict[tuple[str, int], Counter] = defaultdict(Counter)
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
                subsets[item.layout, item.view].update(item.subsets)
    for layout in job.config.layouts:
        tars = tuple(_tar(shard, view, writers[layout, view], subsets[layout, view]) for view in range(num_views))
        record = Record(split=shard.split, number=shard.number, digest=job.digest, tars=tars, failures=tuple(failures))
        record.write(Path(job.output) / layout)
    return tuple(failures)


def convert_video(job: Job, split: str, video: Video) -> list[RenderedSample] | Failure:
    """All samples of a video by the first decoder that succeeds, or why none did."""
    errors: list[DecodeError] = []
    for decoder in decoders_to_try(job.config.decoder, os.path.join(job.source, video.path)):
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
    with open_video(
        path, decoder=decoder, timeout_seconds=config.timeout_seconds, frame_rate=video.frame_rate
    ) as source:
        views = plan_views(video, source.info, config, split)
        images = render(source, views, lambda number, size: crop_of_view(video, number, size, config, split))
        return [_rendered_sample(image, job, video, source.info, split.num_views) for image in images]


def _rendered_sample(image: SuperImage, job: Job, video: Video, info: VideoInfo, num_views: int) -> RenderedSample:
    target = video.target(flipped=image.crop.flip)
    sample = Sample(
        key=sample_key(video.key, image.view.number),
        image=encode(image.pixels, job.config.encoding),
        extension=job.config.encoding.extension,
        label=target.labels[0],
        metadata=_metadata(image, video, info, num_views, job.class_names),
    )
    inside = tuple(name for name, index in target.subsets if index != OUTSIDE)
    return RenderedSample(layout=image.clip.layout.name, view=image.view.number, sample=sample, subsets=inside)


def _metadata(image: SuperImage, video: Video, info: VideoInfo, num_views: int, class_names: Sequence[str]) -> dict:
    """``KEY.json``: where each tile comes from. Times in seconds from the first frame, the crop in pixels.

    The labels are those of what the view shows: a mirrored one may have others than its video. Each sub-set has a field
    of its own, with the class index in it, or -1.
    """
    crop, indices = image.crop, image.clip.indices
    target = video.target(flipped=crop.flip)
    return {
        "video": video.key,
        "path": video.path,
        "label": target.labels[0],
        "label_name": class_names[target.labels[0]],
        "labels": list(target.labels),
        "label_names": [class_names[label] for label in target.labels],
        **{subset_field(name): index for name, index in target.subsets},
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


def _tar(shard: PlannedShard, view: int, writer: ShardWriter, subsets: Counter) -> Tar:
    return Tar(
        name=shard_name(shard.split, view, shard.number),
        sha256=writer.sha256,
        bytes=writer.num_bytes,
        samples=writer.num_samples,
        subsets=dict(subsets),
    )
