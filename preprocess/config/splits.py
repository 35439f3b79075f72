"""The configuration of one split."""

import dataclasses
from dataclasses import dataclass
from typing import Annotated

from preprocess.crops import TEST_CROP_COUNTS, TRAIN_CROPS
from shards.format import MAX_VIEWS

_FORMER_CENTER = "centre"  # configurations that were written for an earlier version use this spelling


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """How the views of one split are made.

    ``mode: train``: ``views`` random views per video, each with its own clip and crop; ``flip`` mirrors half of them.
    ``mode: test``: ``clips`` x ``crops`` fixed views; the side of a crop is ``crop_fraction`` of the short side.
    """

    mode: Annotated[str, "train (random views) or test (fixed views)"]
    views: Annotated[int, "mode train: number of views per video"] = 1
    crop: Annotated[str, f"mode train: crop recipe: {', '.join(TRAIN_CROPS)}"] = "multiscale"
    flip: Annotated[bool, "mode train: mirror each view with probability 1/2"] = False
    clips: Annotated[int, "mode test: number of clips per video"] = 1
    crops: Annotated[int, f"mode test: number of crops per clip: {', '.join(map(str, TEST_CROP_COUNTS))}"] = 1
    crop_fraction: Annotated[
        float, "mode test: side of a crop as a share of the frame's short side, above 0 and up to 1"
    ] = 1.0

    def __post_init__(self) -> None:
        if self.crop == _FORMER_CENTER:
            object.__setattr__(self, "crop", "center")
        if self.mode not in ("train", "test"):
            raise ValueError(f"mode={self.mode!r}: must be train or test")
        if self.crop not in TRAIN_CROPS:
            raise ValueError(f"crop={self.crop!r}: must be one of {', '.join(TRAIN_CROPS)}")
        if self.crops not in TEST_CROP_COUNTS:
            raise ValueError(f"crops={self.crops}: must be one of {', '.join(map(str, TEST_CROP_COUNTS))}")
        if min(self.views, self.clips) < 1 or not 0 < self.crop_fraction <= 1:
            raise ValueError(
                f"views={self.views}, clips={self.clips}, crop_fraction={self.crop_fraction}: "
                "must be at least 1, at least 1, and in (0, 1]"
            )
        if self.num_views > MAX_VIEWS:
            raise ValueError(f"{self.num_views} views per video: at most {MAX_VIEWS} are possible")
        self._refuse_fields_of_other_mode()

    def _refuse_fields_of_other_mode(self) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        foreign = ("clips", "crops", "crop_fraction") if self.mode == "train" else ("views", "crop", "flip")
        given = [name for name in foreign if getattr(self, name) != defaults[name]]
        if given:
            raise ValueError(f"{', '.join(given)} cannot be used with mode={self.mode}; remove it")

    def shaping(self) -> dict:
        """The values as plain data. The former spelling of ``center`` stays, so that earlier digests stay valid."""
        values = dataclasses.asdict(self)
        return {**values, "crop": _FORMER_CENTER} if self.crop == "center" else values

    @property
    def num_views(self) -> int:
        """Views per video in this split. Each is one sample."""
        return self.views if self.mode == "train" else self.clips * self.crops
