"""Datasets and configurations for whole conversions. A dataset is many hard links to one video."""

import os
from pathlib import Path

from benchmarks.videos import Kind, make

LAYOUTS = {
    "3x3": {"frames": 8, "tile": 224},
    "2x4": {"frames": 8, "tile": 224, "grid": "2x4", "pad": "none"},
    "1x8": {"frames": 8, "tile": 112, "grid": "1x8", "pad": "none"},
}
CENTER = {"mode": "test", "clips": 1, "crops": 1}


def configuration(*, num_layouts: int = 1, split: dict | None = None, samples_per_shard: int = 100_000) -> dict:
    """A configuration: 8 frames, tiles of 224 px, center crop, JPEG."""
    names = list(LAYOUTS)[:num_layouts]
    return {
        "annotations": {"format": "folder"},
        "sampling": {"strategy": "uniform"},
        "layouts": {name: LAYOUTS[name] for name in names},
        "splits": {"train": split or CENTER},
        "samples_per_shard": samples_per_shard,
    }


def link_videos(kind: Kind, count: int, folder: Path) -> Path:
    """Make a dataset of ``count`` hard links to a video: ``train/0/<number>``; returns its directory."""
    video = make(kind, folder)
    root = folder / f"dataset-{kind.name}-{count}"
    directory = root / "train" / "0"
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        link = directory / f"{number:05d}{kind.suffix}"
        if not link.exists():
            os.link(video, link)
    return root
