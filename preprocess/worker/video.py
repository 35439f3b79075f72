"""Turn one video into samples: decode, cut the views, arrange the tiles, encode. Knows neither Ray nor tars."""

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
from preprocess.worker.messages import Job, Statistics, VideoResult, unexpected_detail
from shards.format import sample_key, subset_field
from shards.records import Failure
from shards.write import Sample

_Result = TypeVar("_Result")


def make_samples(job: Job, split: str, video: Video) -> VideoResult:
    """Make all samples of a video with the first decoder that succeeds, or report why none did.

    Raises MemoryError if memory runs out.
    """
    began_wall, began_cpu = time.monotonic(), _cpu_seconds()
    deadline = began_wall + job.config.timeout_seconds
    try:
        with local_file(job, video, deadline=deadline) as path:
            result = _by_first_decoder(job, split, video, path, deadline)
            num_bytes = os.path.getsize(path) if os.path.isfile(path) else None
    except DecodeError as error:
        result, num_bytes = _failed(video, [error], ""), None
    statistics = dataclasses.replace(
        result.statistics,
        bytes=num_bytes,
        cpu_seconds=round(_cpu_seconds() - began_cpu, 4),
        wall_seconds=round(time.monotonic() - began_wall, 4),
    )
    return dataclasses.replace(result, statistics=statistics)


def _by_first_decoder(job: Job, split: str, video: Video, path: str, deadline: float) -> VideoResult:
    def use(source: VideoSource) -> tuple[Mapping[tuple[str, int], Sample], Statistics]:
        return _samples_from(source, job, job.config.splits[split], video)

    result, errors = use_first_decoder(job.config, video, path, deadline=deadline, use=use)
    if result is None:
        return _failed(video, errors, path)
    samples, statistics = result
    fallback_reason = errors[0].reason if errors else None
    return VideoResult(samples=samples, statistics=dataclasses.replace(statistics, fallback_reason=fallback_reason))


def use_first_decoder(
    config: Config, video: Video, path: str, *, deadline: float, use: Callable[[VideoSource], _Result]
) -> tuple[_Result | None, list[DecodeError]]:
    """Call ``use`` with the video opened by the first decoder that succeeds.

    Returns (the result of ``use`` or None, the errors of the decoders before). ``path`` is the current location of
    the file. Raises MemoryError if memory runs out.
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
            # The next decoder may be able to read the file. If none is, the failure is reported as unexpected.
            errors.append(DecodeError(reasons.UNEXPECTED, f"{path}: {unexpected_detail(error)}"))
    return None, errors


def _failed(video: Video, errors: Sequence[DecodeError], path: str) -> VideoResult:
    # Records must not depend on the location of the videos, so the temporary path is replaced.
    details = dict.fromkeys(error.detail.replace(path, video.path) if path else error.detail for error in errors)
    # The last decoder tolerates the most, so the failure is counted by its reason.
    detail = "; then ".join(details)
    return VideoResult(failure=Failure(video=video.key, path=video.path, reason=errors[-1].reason, detail=detail))


def _samples_from(
    source: VideoSource, job: Job, split: SplitConfig, video: Video
) -> tuple[Mapping[tuple[str, int], Sample], Statistics]:
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
    statistics = Statistics(
        decoder=info.decoder,
        codec=info.codec,
        width=frames.size[0],
        height=frames.size[1],
        num_frames=info.num_frames,
        duration_seconds=round(info.num_frames / info.fps, 3) if info.fps else None,
        decoded_share=round(info.decoded_share, 4),
    )
    return samples, statistics


def _refuse_mostly_damaged(info: VideoInfo, path: str, min_decoded_share: float) -> None:
    if info.decoded_share < min_decoded_share:
        raise DecodeError(
            reasons.MOSTLY_DAMAGED,
            f"{path}: {info.decoded_share:.1%} of its frames decode without damage, and min_decoded_share is "
            f"{min_decoded_share:g}",
        )


def _raise_lack_of_memory(error: DecodeError) -> None:
    """Turn a decoder's error into MemoryError if memory ran out: the next decoder would fail too."""
    if isinstance(error.__cause__, MemoryError) or "Cannot allocate memory" in error.detail:
        raise MemoryError(error.detail) from error


def _cpu_seconds() -> float:
    """CPU time of this process and of its finished child processes."""
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
    """The content of ``KEY.json``. Times are in seconds from the first frame, the crop is in pixels.

    The labels are those of the view: a mirrored view may have other labels than its video. Each subset has its own
    field with the class index in that subset, or -1.
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
