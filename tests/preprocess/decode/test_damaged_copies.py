"""Thousands of damaged copies of real clips: each is converted, or left out for a reason that has a name.

SUPERIMAGE_DAMAGED_COPIES=150 pytest -m slow tests/preprocess/decode/test_damaged_copies.py -s
"""

import os
import time
from collections import Counter

import pytest
from damage import damaged_copy

from preprocess.annotations.dataset import Video
from preprocess.config.schema import config_from
from preprocess.reasons import TIME_LIMIT, UNEXPECTED
from preprocess.worker.messages import Job
from preprocess.worker.sandbox import Sandbox

pytestmark = pytest.mark.slow
COPIES = int(os.environ.get("SUPERIMAGE_DAMAGED_COPIES", "3000"))
TIMEOUT_SECONDS = 120
CONFIG = {
    "annotations": {"format": "folder"},
    "layouts": {"grid": {"frames": 8, "tile": 112}},
    "splits": {"train": {"mode": "train", "views": 1}},
    "timeout_seconds": TIMEOUT_SECONDS,
}
# Every reason that damage may have. Any other one is a kind of failure that nobody has looked at.
REASONS = {
    "empty file",
    "not a video",
    "no video stream",
    "no frames",
    "truncated or damaged file",
    "truncated or damaged stream",
    "too few frames decode",
    "picture too large",
    "colour matrix that libswscale does not know",
    "encrypted video",
    "decoder crashed",
    "memory limit",
}


def test_each_is_converted_or_named(shared, tmp_path):
    clips = sorted(
        path
        for path in (shared / "clips" / "awkward").rglob("*")
        if path.suffix in (".mp4", ".mov", ".avi", ".mkv", ".webm", ".gif") and path.stat().st_size
    )
    job = Job(config=config_from(CONFIG, "test"), source=str(tmp_path), output="unused", class_names=("a",), digest="d")
    outcomes, wrong, slowest = Counter(), [], (0.0, "")
    with Sandbox(job) as sandbox:
        for number in range(COPIES):
            path = damaged_copy(clips, number, tmp_path)
            began = time.monotonic()
            converted = sandbox.result_of("train", Video(key=f"v{number}", path=path.name, labels=(0,)))
            slowest = max(slowest, (time.monotonic() - began, path.name))
            failure, statistics = converted.failure, converted.statistics
            reason = failure.reason if failure else f"by {statistics.decoder}: {statistics.fallback_reason or 'sound'}"
            outcomes[reason] += 1
            if failure and failure.reason not in REASONS:
                wrong.append(f"{path.name}: {failure.reason}: {failure.detail}")
            elif UNEXPECTED in (statistics.fallback_reason, reason):
                wrong.append(f"{path.name}: {UNEXPECTED} in PyAV")
            elif not failure:
                assert len(converted.samples) == 1
            path.unlink()
    print(f"\n{COPIES} copies of {len(clips)} clips; the slowest took {slowest[0]:.1f} s: {slowest[1]}")
    for reason, count in outcomes.most_common():
        print(f"{count:6} {reason}")
    assert wrong == []
    assert TIME_LIMIT not in outcomes
    assert outcomes.total() == COPIES
