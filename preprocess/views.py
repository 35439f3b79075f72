"""Plans the views of a video: frames, crop and order. Pure; the generators depend only on (seed, key, view)."""

import hashlib
from dataclasses import dataclass

import numpy as np

from preprocess import reasons
from preprocess.annotations.dataset import Video
from preprocess.config.schema import Config
from preprocess.config.splits import SplitConfig
from preprocess.crops import Crop, crop_for_test, crop_for_training
from preprocess.decode.source import DecodeError, VideoInfo
from preprocess.sampling import Sampling, indices_for_test, indices_for_training
from shards.layouts import Layout, clip_order


@dataclass(frozen=True, kw_only=True)
class Clip:
    """The frames of a view in one layout: ``indices`` int64 (T,) into the video, ``order`` as in ``shards.layouts``."""

    layout: Layout
    indices: np.ndarray
    order: np.ndarray


@dataclass(frozen=True, kw_only=True)
class View:
    """One view of a video, in every layout. ``clip_number`` counts test clips; it is 0 in training."""

    number: int
    clip_number: int
    clips: tuple[Clip, ...]


def generator(seed: int, key: str, view: int, purpose: str) -> np.random.Generator:
    """The random generator for one purpose. It does not depend on workers, the order of work or retries."""
    digest = hashlib.sha256("\0".join((str(seed), key, str(view), purpose)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def plan_views(video: Video, info: VideoInfo, config: Config, split: SplitConfig) -> list[View]:
    """All views of a video. Layouts with the same T and sampling show the same frames.

    Raises DecodeError for an empty segment.
    """
    first, num_frames = segment_frames(video, info)
    times_seconds = info.times_seconds[first : first + num_frames]
    views = []
    for number in range(split.num_views):
        clips = tuple(
            Clip(
                layout=layout,
                indices=first + _indices(video, times_seconds, number, layout, config, split),
                order=clip_order(layout, generator(config.seed, video.key, number, "order")),
            )
            for layout in config.layouts.values()
        )
        views.append(View(number=number, clip_number=_clip_number(number, split), clips=clips))
    return views


def segment_frames(video: Video, info: VideoInfo) -> tuple[int, int]:
    """(first frame, number of frames) of the video's half-open segment, cut at the last frame of the video."""
    first = min(video.start_frame or 0, info.num_frames)
    last = info.num_frames if video.end_frame is None else min(video.end_frame, info.num_frames)
    if video.start is not None:
        first = max(first, int(np.searchsorted(info.times_seconds, video.start, side="left")))
    if video.end is not None:
        last = min(last, int(np.searchsorted(info.times_seconds, video.end, side="left")))
    if first >= last:
        raise DecodeError(
            reasons.EMPTY_SEGMENT, f"no frame in {_segment_text(video)} of a video of {_length_text(info)}"
        )
    return first, last - first


def _segment_text(video: Video) -> str:
    if video.start_frame is not None or video.end_frame is not None:
        return f"the frames [{video.start_frame}, {video.end_frame})"
    return f"the seconds [{video.start}, {video.end})"


def _length_text(info: VideoInfo) -> str:
    return f"{info.num_frames} frames, the last at {float(info.times_seconds[-1]):.2f} s"


def crop_of_view(video: Video, number: int, size: tuple[int, int], config: Config, split: SplitConfig) -> Crop:
    """The crop of a view in frames of ``size`` (width, height), for all its frames and layouts."""
    width, height = size
    if split.mode == "train":
        rng = generator(config.seed, video.key, number, "crop")
        return crop_for_training(width, height, split.crop, flip=split.flip and video.may_flip, rng=rng)
    return crop_for_test(
        width, height, number=number % split.crops, num_crops=split.crops, fraction=split.crop_fraction
    )


def _clip_number(number: int, split: SplitConfig) -> int:
    """The clip of a view. Test views are ordered by clip, then by crop: view 0 is the center of the first clip."""
    return number // split.crops if split.mode == "test" else 0


def _indices(
    video: Video, times_seconds: np.ndarray, number: int, layout: Layout, config: Config, split: SplitConfig
) -> np.ndarray:
    """The frame indices of a clip, from the first frame of a segment. ``times_seconds``: their display times."""
    sampling: Sampling = config.layout_sampling[layout.name]
    if split.mode == "train":
        rng = generator(config.seed, video.key, number, "frames")
        return indices_for_training(len(times_seconds), layout.frames, sampling, rng, times_seconds=times_seconds)
    return indices_for_test(
        len(times_seconds),
        layout.frames,
        sampling,
        clip=_clip_number(number, split),
        num_clips=split.clips,
        times_seconds=times_seconds,
    )
