"""Small shard directories made with the project's own writer, for the tests of what reads them."""

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from shards.format import MANIFEST_NAME, RECORDS_DIR, Split, sample_key, shard_name
from shards.layouts import Layout, clip_order, tile
from shards.records import Record, Tar
from shards.write import Sample, open_shard

LAYOUT = Layout(name="tiny", frames=8, rows=3, columns=3, tile=16)
CLASSES = ("left", "middle", "right")


def sample(number: int, view: int = 0, num_views: int = 1) -> Sample:
    """Video ``number``: each of its frames one grey that tells number and position."""
    frames = np.empty((LAYOUT.frames, LAYOUT.tile, LAYOUT.tile, 3), np.uint8)
    frames[:] = (20 * np.arange(LAYOUT.frames) + number % 50 + 10 * view)[:, None, None, None]
    order = clip_order(LAYOUT)
    content = io.BytesIO()
    Image.fromarray(tile(frames, LAYOUT, order)).save(content, "JPEG", quality=95)
    label = number % len(CLASSES)
    metadata = {
        "video": f"video{number:04d}",
        "path": f"video{number:04d}.mp4",
        "label": label,
        "label_name": CLASSES[label],
        "labels": [label],
        "view": view,
        "num_views": num_views,
        "clip": 0,
        "frames": list(range(LAYOUT.frames)),
        "times_seconds": [position / 25 for position in range(LAYOUT.frames)],
        "crop": [0, 0, 16, 16],
        "flip": False,
        "order": order.tolist(),
        "num_frames": LAYOUT.frames,
        "codec": "h264",
        "decoder": "pyav",
    }
    key = sample_key(metadata["video"], view)
    return Sample(key=key, image=content.getvalue(), extension="jpg", label=label, metadata=metadata)


def write_directory(directory: Path, lengths: dict[str, list[int]], views: int = 1) -> Path:
    """A shard directory with, for each split, tars of the given lengths."""
    (directory / RECORDS_DIR).mkdir(parents=True, exist_ok=True)
    splits = {}
    first = 0
    for split, counts in lengths.items():
        files = {view: [] for view in range(views)}
        for number, count in enumerate(counts):
            tars = []
            for view in range(views):
                name = shard_name(split, view, number)
                with open_shard(directory / name) as shard:
                    for video in range(first, first + count):
                        shard.add(sample(video, view, views))
                tars.append(Tar(name=name, sha256=shard.sha256, bytes=shard.num_bytes, samples=count))
                files[view].append((name, count))
            first += count
            Record(split=split, number=number, digest="d", tars=tuple(tars), failures=()).write(directory)
        splits[split] = _split(split, [file for view in files.values() for file in view])
        splits |= {f"{split}_v{view:02d}": _split(f"{split}_v{view:02d}", files[view]) for view in files}
    superimage = {
        "format_version": 1,
        "layout": LAYOUT.to_dict(),
        "image_size": list(LAYOUT.image_size),
        "class_names": list(CLASSES),
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "views": dict.fromkeys(lengths, views),
        "digest": "d",
    }
    (directory / MANIFEST_NAME).write_text(json.dumps({"splits": splits, "superimage": superimage}), encoding="utf-8")
    return directory


def _split(name: str, files: list[tuple[str, int]]) -> dict:
    return Split(
        name=name,
        num_samples=sum(count for _, count in files),
        filenames=tuple(file for file, _ in files),
        shard_lengths=tuple(count for _, count in files),
    ).to_dict()
