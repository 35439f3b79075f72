"""The plain values at the top of a configuration."""

from dataclasses import dataclass
from typing import Annotated

from preprocess.decode.source import MAX_PIXELS

DECODERS = ("auto", "pyav", "ffmpeg")


@dataclass(frozen=True, kw_only=True)
class General:
    """The plain values at the top of a configuration, with their rules.

    SIFAR's code leaves out videos of fewer than 30 frames of Kinetics and 3 of Something-Something: ``min_frames``.
    """

    seed: Annotated[
        int, "seed of everything random: training views, random orders, the order of the videos in the shards"
    ] = 0
    only: Annotated[
        str | None, "name of a subset; only its videos are converted, and its classes are numbered from 0"
    ] = None
    samples_per_shard: Annotated[
        int, "videos in a shard; the real number is near it, so that the number of shards has many divisors"
    ] = 256
    decoder: Annotated[str, f"decoder: {', '.join(DECODERS)}; auto tries PyAV first and the ffmpeg command second"] = (
        "auto"
    )
    timeout_seconds: Annotated[float, "seconds for one video, download included; a video that needs more fails"] = 120.0
    memory_limit_mb: Annotated[
        int,
        "MiB of memory for decoding one video, beside the decoder's own libraries; a video that needs more fails",
    ] = 2048
    max_pixels: Annotated[int, "pixels of a frame; a video with larger frames fails"] = MAX_PIXELS
    min_frames: Annotated[int, "frames that a video must have; shorter ones are left out, which is no failure"] = 1
    min_decoded_share: Annotated[
        float, "share of a video's frames that must decode without damage, 0 to 1; else the video fails"
    ] = 0.25
    square_pixels: Annotated[bool, "stretch frames whose pixels are not square to the width that a player shows"] = (
        False
    )
    max_failures: Annotated[
        float,
        "share of the videos that may fail, 0 to 1, but at least one video unless it is 0; the conversion "
        "stops at more",
    ] = 0.01

    def __post_init__(self) -> None:
        if self.decoder not in DECODERS:
            raise ValueError(f"decoder={self.decoder!r}: must be one of {', '.join(DECODERS)}")
        for name in ("samples_per_shard", "timeout_seconds", "memory_limit_mb", "max_pixels", "min_frames"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be positive")
        for name in ("max_failures", "min_decoded_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: a share, must be in 0..1")


def general_names() -> list[str]:
    return list(General.__dataclass_fields__)
