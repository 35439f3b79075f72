"""Videos of many kinds: each tile shows the frame that ``KEY.json`` names, by a full decode with the ffmpeg command.

All kinds, with a table: pytest -m slow tests/preprocess/decode/test_kinds.py -s
"""

import io
from dataclasses import dataclass, field

import numpy as np
import pytest
from kind_makers import full_decode
from kinds import KINDS
from PIL import Image

from preprocess.annotations.dataset import Video
from preprocess.config.schema import config_from
from preprocess.worker.messages import Job
from preprocess.worker.video import make_samples
from shards.layouts import untile

TILE = 64
CONFIG = config_from(
    {
        "annotations": {"format": "folder"},
        "layouts": {"grid": {"frames": 8, "tile": TILE}},
        "splits": {"train": {"mode": "train", "views": 3, "crop": "center"}},
        "encoding": {"format": "png"},
    },
    "test",
)
# Kinds that no decoder can read, and the reason that the report counts them under.
REFUSED = {
    "encrypted": "encrypted video",
    "sound alone": "no video stream",
    "sound with a cover": "no video stream",
    "a playlist": "not a video",
    "text": "not a video",
    "an empty file": "empty file",
    "matrix ycgco": "colour matrix that libswscale does not know",
    "matrix bt2020c": "colour matrix that libswscale does not know",
}
# Kinds with a flaw that the fallback goes over: a transport stream whose packets are not numbered on at the join.
FALLBACK_REASONS = {"joined": "truncated or damaged file"}
# One or two of each trap, for every run of the suite.
QUICK = (
    "fields in ts",
    "fields in avi",
    "fields, reordered, in mp4",
    "fields, reordered, in mkv",
    "fields in a frame, mp4",
    "hevc fields in ts",
    "mpeg-2 fields in ts",
    "mpeg-2 fields in vob",
    "hevc cut at an open group, mkv",
    "hevc cut at an open group, mp4",
    "vp9 hidden frames in packets of their own, avi",
    "vp9 hidden frames in packets of their own, asf",
    "av1 hidden frames",
    "cut at 0.7 s in mp4",
    "cut at 0.7 s in mov",
    "joined",
    "joined, the clocks overlap",
    "joined, stamps collide",
    "joined, from 100 s back to 0",
    "joined, from 0 to 1000 s",
    "joined, a gap of 3 s",
    "joined, other size",
    "joined ts, copied to mkv",
    "mpeg-2 copied from mpg to mp4",
    "h264 copied from mp4 to avi",
    "dv in dv",
    "mpeg-2 in mxf",
    "wmv2 in asf",
    "theora in ogg",
    "raw gray",
    "variable rate in avi",
    "joined, three parts",
    *REFUSED,
)
# Of 0..255, on the average: what another way to halve the chroma may change, and no other frame or matrix does.
LARGEST_ERROR = 8.0
# Around a join, ffmpeg scales the larger frames in another way than a tile is cut, and gives the last two frames before
# another range the range of the next.
LARGER_ERRORS = {"joined, other size": 12.0, "joined, other range": 14.0}
LARGEST_SECONDS = 0.0021  # the steps of Matroska's and Flash's clocks are a millisecond; KEY.json rounds to 0.0001
# A frame of two packets has two stamps in Matroska, half a frame apart, and either is right.
FIELD_SECONDS = 0.0205
# ffmpeg leaves out two steps behind the second frame of the one, and the last step before the join of the other.
OTHER_SECONDS = {
    "fields, reordered, in mkv": FIELD_SECONDS,
    "h264 in mxf": 0.0805,
    "joined mpg": 0.0405,
}


@dataclass(kw_only=True)
class Outcome:
    """``wrong``: what is not as in the full decode. ``error``: the largest mean distance of a tile to its frame."""

    reason: str | None = None
    decoder: str = ""
    num_frames: int = 0
    error: float = 0.0
    fallback_reason: str = ""
    wrong: list[str] = field(default_factory=list)


def outcome_of(name, path) -> Outcome:
    job = Job(config=CONFIG, source=str(path.parent), output="none", class_names=("a",), digest="d")
    converted = make_samples(job, "train", Video(key="v", path=path.name, labels=(0,)))
    if converted.failure:
        return Outcome(reason=converted.failure.reason)
    frames, times = full_decode(path)
    statistics = converted.statistics
    outcome = Outcome(
        decoder=statistics.decoder, num_frames=statistics.num_frames, fallback_reason=statistics.fallback_reason or ""
    )
    if statistics.num_frames != len(frames):
        outcome.wrong.append(f"{statistics.num_frames} frames of {len(frames)}")
    for sample in converted.samples.values():
        _compare(sample, frames, times, OTHER_SECONDS.get(name, LARGEST_SECONDS), outcome)
    return outcome


def _compare(sample, frames, times, largest_seconds: float, outcome: Outcome) -> None:
    metadata = sample.metadata
    image = np.asarray(Image.open(io.BytesIO(sample.image)).convert("RGB"))
    tiles = untile(image, CONFIG.layouts["grid"], np.array(metadata["order"])).astype(np.int16)
    left, top, width, height = metadata["crop"]
    box = (left, top, left + width, top + height)
    expected = np.stack([np.asarray(_shown(frame, box, metadata["flip"])) for frame in frames]).astype(np.int16)
    for tile, index, seconds in zip(tiles, metadata["frames"], metadata["times_seconds"], strict=True):
        distances = np.abs(expected - tile).mean((1, 2, 3))
        nearest = int(distances.argmin())
        if index >= len(frames) or distances[index] > distances[nearest]:
            outcome.wrong.append(f"frame {index} shows {nearest}")
            continue
        outcome.error = max(outcome.error, float(distances[index]))
        if abs(seconds - times[index]) > largest_seconds:
            outcome.wrong.append(f"frame {index} at {seconds} s, not {times[index]:.4f}")


def _shown(frame, box, flip):
    tile = Image.fromarray(frame).resize((TILE, TILE), Image.Resampling.BILINEAR, box)
    return tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else tile


def assert_right(name, outcome: Outcome) -> None:
    assert outcome.reason == REFUSED.get(name)
    assert outcome.wrong == []
    assert outcome.fallback_reason == FALLBACK_REASONS.get(name, "")
    assert outcome.error < LARGER_ERRORS.get(name, LARGEST_ERROR)


@pytest.mark.parametrize("name", QUICK)
def test_tiles_are_frames_of_a_full_decode(name, tmp_path):
    assert_right(name, outcome_of(name, KINDS[name](tmp_path)))


@pytest.mark.slow
def test_all_kinds(tmp_path):
    wrong = {}
    print(f"\n{'kind':50} {'decoder':7} frames error  remarks")
    for number, (name, make) in enumerate(KINDS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = outcome_of(name, make(folder))
        remarks = outcome.reason or ", ".join([outcome.fallback_reason, *outcome.wrong]).strip(", ")
        print(f"{name:50} {outcome.decoder:7} {outcome.num_frames:6} {outcome.error:5.1f}  {remarks}")
        try:
            assert_right(name, outcome)
        except AssertionError:
            wrong[name] = remarks or f"error {outcome.error:.1f}"
    print(f"{len(KINDS)} kinds")
    assert wrong == {}
    assert len(KINDS) >= 150
