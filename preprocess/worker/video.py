"""One video into samples: decode, cut the views, lay them out, encode. Knows neither Ray nor tars."""

import dataclasses
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from preprocess import reasons
from preprocess.annotations.dataset import Video
from preprocess.config.schema import Config, SplitConfig
from preprocess.decode.open import decoders_to_try, open_video
from preprocess.decode.source import DecodeError, VideoInfo, VideoSource
from preprocess.render import Frames, SuperImage, encode, render, stores_ycbcr
from preprocess.views import crop_of_view, plan_views
from preprocess.worker.fetch import local_file
from preprocess.worker.messages import Converted, Facts, Job, unexpected_detail
from shards.format import sample_key, subset_field
from shards.records import Failure
from shards.write import Sample

_Result = TypeVar("_Result")


def convert_video(job: Job, split: str, video: Video) -> Converted:
    """All samples of a video by the first decoder that succeeds, or why none did. MemoryError where it runs out."""
    began_wall, began_cpu = time.monotonic(), _cpu_seconds()
    deadline = began_wall + job.config.timeout_seconds
    try:
        with local_file(job, video, deadline=deadline) as path:
            converted = _by_first_decoder(job, split, video, path, deadline)
            num_bytes = os.path.getsize(path) if os.path.isfile(path) else None
    except DecodeError as error:
        converted, num_bytes = _failed(video, [error], ""), None
    facts = dataclasses.replace(
        converted.facts,
        bytes=num_bytes,
        cpu_seconds=round(_cpu_seconds() - began_cpu, 4),
        wall_seconds=round(time.monotonic() - began_wall, 4),
    )
    return dataclasses.replace(converted, facts=facts)


def _by_first_decoder(job: Job, split: str, video: Video, path: str, deadline: float) -> Converted:
    def use(source: VideoSource) -> tuple[Mapping[tuple[str, int], Sample], Facts]:
        return _convert_source(source, job, job.config.splits[split], video)

    result, errors = use_first_decoder(job.config, video, path, deadline=deadline, use=use)
    if result is None:
        return _failed(video, errors, path)
    samples, facts = result
    concealed = errors[0].reason if errors else None
    return Converted(samples=samples, facts=dataclasses.replace(facts, concealed=concealed))


def use_first_decoder(
    config: Config, video: Video, path: str, *, deadline: float, use: Callable[[VideoSource], _Result]
) -> tuple[_Result | None, list[DecodeError]]:
    """(what ``use`` gives of the video by the first decoder that succeeds, or None; why those before it failed).

    ``path`` is where the file lies now. MemoryError where memory runs out.
    """
    errors: list[DecodeError] = []
    for decoder in decoders_to_try(config.decoder, path):
        try:
            with open_video(
                path,
                decoder=decoder,
                timeout_seconds=deadline - time.monotonic(),
                frame_rate=video.frame_rate,
                max_pixels=config.max_pixels,
                square_pixels=config.square_pixels,
            ) as source:
                _refuse_mostly_damaged(source.info, path, config.min_decoded_share)
                return use(source), errors
        except DecodeError as error:
            _raise_lack_of_memory(error)
            errors.append(error)
            if error.reason in reasons.FINAL:
                break
        except MemoryError:
            raise
        except Exception as error:
            # The next decoder may know how to read it; only where none does is it told as our mistake.
            errors.append(DecodeError(reasons.UNEXPECTED, f"{path}: {unexpected_detail(error)}"))
    return None, errors


def _failed(video: Video, errors: Sequence[DecodeError], path: str) -> Converted:
    # Records are the same wherever the videos lie, be it for a moment.
    details = dict.fromkeys(error.detail.replace(path, video.path) if path else error.detail for error in errors)
    # The last decoder is the most forgiving one, so its reason is the one to count by.
    detail = "; then ".join(details)
    return Converted(failure=Failure(video=video.key, path=video.path, reason=errors[-1].reason, detail=detail))


def _convert_source(
    source: VideoSource, job: Job, split: SplitConfig, video: Video
) -> tuple[Mapping[tuple[str, int], Sample], Facts]:
    if source.info.num_frames < job.config.min_frames:
        detail = f"{source.info.num_frames} frames, fewer than min_frames={job.config.min_frames}"
        raise DecodeError(reasons.TOO_FEW_FRAMES, detail)
    info = source.info
    views = plan_views(video, info, job.config, split)
    frames = Frames(source, views)
    crops = {view.number: crop_of_view(video, view.number, frames.size, job.config, split) for view in views}
    images = render(frames, views, crops, is_ycbcr=partial(stores_ycbcr, job.config.encoding))
    samples = {
        (image.clip.layout.name, image.view.number): _sample_of(image, job, video, info, split.num_views)
        for image in images
    }
    facts = Facts(
        decoder=info.decoder,
        codec=info.codec,
        width=frames.size[0],
        height=frames.size[1],
        num_frames=info.num_frames,
        duration_seconds=round(info.num_frames / info.fps, 3) if info.fps else None,
        decoded_share=round(info.decoded_share, 4),
    )
    return samples, facts


def _refuse_mostly_damaged(info: VideoInfo, path: str, min_decoded_share: float) -> None:
    if info.decoded_share < min_decoded_share:
        raise DecodeError(
            reasons.MOSTLY_DAMAGED,
            f"{path}: {info.decoded_share:.1%} of its frames decode without damage, and min_decoded_share is "
            f"{min_decoded_share:g}",
        )


def _raise_lack_of_memory(error: DecodeError) -> None:
    """To the decoders it is one of many errors, and the next decoder would meet it too."""
    if isinstance(error.__cause__, MemoryError) or "Cannot allocate memory" in error.detail:
        raise MemoryError(error.detail) from error


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _sample_of(image: SuperImage, job: Job, video: Video, info: VideoInfo, num_views: int) -> Sample:
    return Sample(
        key=sample_key(video.key, image.view.number),
        image=encode(image.planes, job.config.encoding),
        extension=job.config.encoding.extension,
        label=video.target(flipped=image.crop.flip).labels[0],
        metadata=_metadata(image, video, info, num_views, job.class_names),
    )


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
        "stream": info.stream,
    }
