"""Target 5: reading a training sample from a shard by timm's loader, compared with decoding its video online."""

import os
from functools import partial
from pathlib import Path

from benchmarks.dataset import link_videos
from benchmarks.extract import METHODS, version
from benchmarks.extraction import environment_with_libraries, evenly_spaced
from benchmarks.measure import Child, Cost, cpu_seconds, interleaved, median_cpu_seconds
from benchmarks.videos import KINDS, make
from shards.allocator import KEEP_FREED_MEMORY

KIND_NAMES = ("a", "b", "c", "d")
FRAME_COUNTS = (8, 16)
_SAMPLES = 64
_GRIDS = {8: "3x3", 16: "4x4"}


def measure(folder: Path, repeats: int) -> dict:
    """``{"ms": {"a, 8 frames": {method: CPU milliseconds per sample}}, "bytes": {case: {"shard": b, "video": b}}}``."""
    result = {"ms": {}, "bytes": {}}
    for name in KIND_NAMES:
        for frames in FRAME_COUNTS:
            case = f"{name}, {frames} frames"
            result["ms"][case], result["bytes"][case] = _case(name, frames, folder, repeats)
    return result


def _case(name: str, frames: int, folder: Path, repeats: int) -> tuple[dict, dict]:
    path = make(KINDS[name], folder)
    indices = evenly_spaced(KINDS[name].num_frames, frames)
    shards = _shards(name, frames, folder)
    # train_image.py and eval_video.py set this too. All three methods use it.
    rivals = {**KEEP_FREED_MEMORY, **environment_with_libraries(folder)}
    with Child(KEEP_FREED_MEMORY) as reader, Child(KEEP_FREED_MEMORY) as own, Child(rivals) as rival:
        tasks = {
            "shard": partial(reader.run, read_samples, str(shards)),
            "on line, our skip": partial(own.run, decode_to_super_image, "ours", str(path), indices),
        }
        if version("torchcodec"):
            tasks["on line, torchcodec exact"] = partial(
                rival.run, decode_to_super_image, "torchcodec exact", str(path), indices
            )
        costs = interleaved(tasks, repeats)
    tars = sum(tar.stat().st_size for tar in shards.glob("*.tar"))
    milliseconds = {method: 1000 * median_cpu_seconds(of_method) for method, of_method in costs.items()}
    return milliseconds, {"shard": tars / _SAMPLES, "video": os.path.getsize(path)}


def _shards(name: str, frames: int, folder: Path) -> Path:
    """The directory of super images of a kind of video, made once."""
    directory = folder / f"shards-{name}-{frames}"
    if not (directory / "grid" / "_info.json").exists():
        from preprocess.config.schema import config_from
        from preprocess.run.pipeline import convert_dataset, prepare
        from preprocess.run.ray_pool import Workers

        values = _configuration(frames)
        source = link_videos(KINDS[name], _SAMPLES, folder)
        convert_dataset(
            prepare(config_from(values, "benchmark"), source=source, output=directory), workers=Workers(count=1)
        )
    return directory / "grid"


def _configuration(frames: int) -> dict:
    return {
        "annotations": {"format": "folder"},
        "layouts": {"grid": {"frames": frames, "tile": 224, "grid": _GRIDS[frames]}},
        "splits": {"train": {"mode": "test"}},
    }


def read_samples(directory: str) -> Cost:
    """Read all samples by timm's own reader, as the uint8 arrays that its loader collates."""
    import torch
    from timm.data import create_dataset
    from timm.data.transforms import ToNumpy

    torch.set_num_threads(1)
    dataset = create_dataset("wds/super", root=directory, split="train", is_training=False, batch_size=8)
    dataset.transform = ToNumpy()
    begin = cpu_seconds()
    count = sum(1 for _ in dataset)
    spent = cpu_seconds() - begin
    if count != _SAMPLES:
        raise RuntimeError(f"timm read {count} of {_SAMPLES} samples in {directory}")
    return Cost(cpu_seconds=spent / count, wall_seconds=0.0, result=None)


def decode_to_super_image(method: str, path: str, indices: list[int]) -> None:
    """Make the same uint8 super image from the video."""
    from shards.layouts import Layout, grid_for, tile

    tiles = METHODS[method][0](path, indices)
    rows, columns = grid_for(len(indices))
    tile(tiles, Layout(name="grid", frames=len(indices), rows=rows, columns=columns, tile=tiles.shape[1]))
