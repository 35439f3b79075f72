"""The scalar keys at the top of a configuration."""

from dataclasses import dataclass
from typing import Annotated

from preprocess.decode.source import MAX_PIXELS

DECODERS = ("auto", "pyav", "ffmpeg")


@dataclass(frozen=True, kw_only=True)
class General:
    """The scalar keys at the top of a configuration, with their rules.

    SIFAR's code skips videos of Kinetics with fewer than 30 frames, and of Something-Something with fewer than 3:
    ``min_frames`` can do the same.
    """

    seed: Annotated[
        int, "seed for everything random: training views, random orders, the order of the videos in the shards"
    ] = 0
    only: Annotated[
        str | None, "name of a subset; only its videos are converted, and its classes are numbered from 0"
    ] = None
    samples_per_shard: Annotated[
        int, "videos in a shard; the actual number is close to it, so that the number of shards has many divisors"
    ] = 256
    decoder: Annotated[str, f"decoder: {', '.join(DECODERS)}; auto tries PyAV first and the ffmpeg command second"] = (
        "auto"
    )
    timeout_seconds: Annotated[
        float, "limit in seconds for one video, with its download; a video that needs more fails"
    ] = 120.0
    memory_limit_mb: Annotated[
        int,
        "limit in MiB for decoding one video, without the decoder's libraries; a video that needs more fails",
    ] = 2048
    max_pixels: Annotated[int, "limit of pixels of a frame; a video with larger frames fails"] = MAX_PIXELS
    min_frames: Annotated[int, "minimum number of frames; shorter videos are skipped and do not count as failed"] = 1
    min_decoded_share: Annotated[
        float, "minimum share of a video's frames that decode without damage, 0 to 1; else the video fails"
    ] = 0.25
    square_pixels: Annotated[bool, "stretch frames with non-square pixels to the width that a player shows"] = False
    max_failures: Annotated[
        float,
        "share of the videos that may fail, 0 to 1; values above 0 allow at least one video; the conversion stops if "
        "more fail",
    ] = 0.01

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise ValueError(f"decoder={self.decoder!r}: must be one of {', '.join(DECODERS)}")
        for name in ("samples_per_shard", "timeout_seconds", "memory_limit_mb", "max_pixels", "min_frames"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")
        for name in ("max_failures", "min_decoded_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be in 0..1")


def general_names() -> list[str]:
    return list(General.__dataclass_fields__)
