"""Small directories of super images for the tests of training and evaluation, made by ``shards`` itself."""

import io
import json
from collections.abc import Callable
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


def sample(video: str, view: int, num_views: int, index: int, grid: Layout, rng: np.random.Generator) -> Sample:
    """A brighter video for an even ``index``, a darker one for an odd."""
    order, label = clip_order(grid, rng), index % 2
    metadata = {"video": video, "label": label, "view": view, "num_views": num_views, "order": order.tolist()}
    return encoded(lay_out(clip(label, grid, rng), grid, order), metadata)


def encoded(image: np.ndarray, metadata: dict) -> Sample:
    """An image uint8 (H, W, 3) and its KEY.json as a sample."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="png")
    key = sample_key(metadata["video"], metadata["view"])
    return Sample(key=key, image=buffer.getvalue(), extension="png", label=metadata["label"], metadata=metadata)


def write_split(
    root: Path, split: str, grid: Layout, *, videos: int, views: int, videos_per_shard: int, make_sample: Callable
) -> dict:
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
                    shard.add(make_sample(f"{split}_{index:03d}", view, views, index, grid, rng))
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
    root: Path,
    *,
    train: int = 24,
    validation: int = 10,
    views: dict | None = None,
    grid: Layout | None = None,
    make_sample: Callable = sample,
    **superimage,
) -> Path:
    """A whole directory; ``train`` and ``validation`` count videos, ``views`` gives the views of each.

    ``make_sample`` is called as ``sample`` is; what else is named goes into the manifest.
    """
    root.mkdir(parents=True, exist_ok=True)
    grid, views = grid or layout(), views or {"train": 1, "validation": 3}
    splits = {}
    for split, videos, videos_per_shard in (("train", train, 8), ("validation", validation, 4)):
        counts = {"videos": videos, "views": views[split], "videos_per_shard": videos_per_shard}
        splits |= write_split(root, split, grid, **counts, make_sample=make_sample)
    manifest = {
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
        **superimage,
    }
    (root / "_info.json").write_text(json.dumps({"splits": splits, "superimage": manifest}), encoding="utf-8")
    return root
