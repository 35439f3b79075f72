"""Small directories of super images for the tests of training and evaluation, made by ``shards`` itself."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from shards.format import sample_key, shard_name, view_split
from shards.layouts import Layout, clip_order
from shards.layouts import tile as lay_out
from shards.write import Sample, open_shard

CLASS_NAMES = ["brighter", "darker"]


def layout(**changes) -> Layout:
    """3x3 tiles of 16 px, 8 frames."""
    return Layout(**{"name": "small-3x3", "frames": 8, "rows": 3, "columns": 3, "tile": 16, **changes})


def clip(label: int, grid: Layout, rng: np.random.Generator) -> np.ndarray:
    """uint8 (T, tile, tile, 3): a noise image that brightens (class 0) or darkens (class 1) from frame to frame."""
    noise = rng.integers(0, 60, (1, grid.tile, grid.tile, 3))
    light = np.linspace(10, 190, grid.frames) if label == 0 else np.linspace(190, 10, grid.frames)
    return (noise + light[:, None, None, None]).astype(np.uint8)


def sample(video: str, view: int, num_views: int, label: int, grid: Layout, rng: np.random.Generator) -> Sample:
    order = clip_order(grid, rng)
    buffer = io.BytesIO()
    Image.fromarray(lay_out(clip(label, grid, rng), grid, order)).save(buffer, format="png")
    metadata = {"video": video, "label": label, "view": view, "num_views": num_views, "order": order.tolist()}
    return Sample(key=sample_key(video, view), image=buffer.getvalue(), extension="png", label=label, metadata=metadata)


def write_split(root: Path, split: str, grid: Layout, *, videos: int, views: int, videos_per_shard: int) -> dict:
    """The tars of one split, and its entries of the manifest: all views, and each view alone."""
    splits = {}
    for view in range(views):
        files = []
        for number, first in enumerate(range(0, videos, videos_per_shard)):
            name = shard_name(split, view, number)
            numbers = range(first, min(first + videos_per_shard, videos))
            with open_shard(root / name) as shard:
                for index in numbers:
                    rng = np.random.default_rng([index, view, len(split)])
                    shard.add(sample(f"{split}_{index:03d}", view, views, index % 2, grid, rng))
            files.append((name, len(numbers)))
        splits[view_split(split, view)] = _entry(view_split(split, view), files)
    files = [pair for entry in splits.values() for pair in zip(entry["filenames"], entry["shard_lengths"])]
    return {split: _entry(split, files), **splits}


def _entry(name: str, files: list[tuple[str, int]]) -> dict:
    return {
        "name": name,
        "num_samples": sum(count for _, count in files),
        "filenames": [file for file, _ in files],
        "shard_lengths": [count for _, count in files],
    }


def write_super_images(
    root: Path, *, train: int = 24, validation: int = 10, views: dict | None = None, grid: Layout | None = None
) -> Path:
    """A whole directory; ``train`` and ``validation`` count videos, ``views`` gives the views of each."""
    root.mkdir(parents=True, exist_ok=True)
    grid, views = grid or layout(), views or {"train": 1, "validation": 3}
    splits = write_split(root, "train", grid, videos=train, views=views["train"], videos_per_shard=8)
    splits |= write_split(root, "validation", grid, videos=validation, views=views["validation"], videos_per_shard=4)
    superimage = {
        "format_version": 1,
        "layout": grid.to_dict(),
        "image_size": list(grid.image_size),
        "sampling": {},
        "views": views,
        "class_names": CLASS_NAMES,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "digest": f"test-{grid.name}-{train}",
        "versions": {},
    }
    (root / "_info.json").write_text(json.dumps({"splits": splits, "superimage": superimage}))
    return root
