"""Target 2: the cost of converting a video, compared with decoding only; the cost of more layouts and views."""

import json
import shutil
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from benchmarks.dataset import configuration, link_videos
from benchmarks.extract import decode_in_order, floor, torchcodec_exact, version
from benchmarks.extraction import environment_with_libraries, evenly_spaced
from benchmarks.family import run_family
from benchmarks.measure import Child, Cost, cpu_seconds, interleaved, median_cpu_seconds
from benchmarks.videos import KINDS, make
from shards.allocator import KEEP_FREED_MEMORY

_FEW = 2
# Enough videos for about ten seconds of work after Ray has started.
_VIDEOS = {"a": 120, "b": 150, "c": 25, "d": 300}
_ROOT = Path(__file__).resolve().parents[1]


def measure(folder: Path, repeats: int) -> dict:
    """``{"ms": {kind: {task: CPU milliseconds per video}}}``, without the start-up."""
    result = {"ms": {}}
    whole = _whole(folder)
    for name in _VIDEOS:
        with Child(KEEP_FREED_MEMORY) as child, Child(environment_with_libraries(folder)) as rival, Child() as plain:
            path = str(make(KINDS[name], folder))
            indices = evenly_spaced(KINDS[name].num_frames, 8)
            tasks = {
                "decoding alone": partial(plain.run, floor, path, indices),
                "decoding all in order alone": partial(plain.run, decode_in_order, path, indices),
                "1 layout": partial(child.run, convert_once, path, configuration()),
                "2 layouts": partial(child.run, convert_once, path, configuration(num_layouts=2)),
                "3 layouts": partial(child.run, convert_once, path, configuration(num_layouts=3)),
                "1 training view": partial(child.run, convert_once, path, configuration(split=_train(1))),
                "2 training views": partial(child.run, convert_once, path, configuration(split=_train(2))),
            }
            if version("torchcodec"):
                tasks["torchcodec exact, frames alone"] = partial(rival.run, torchcodec_exact, path, indices)
            costs = interleaved(tasks, repeats)
        of_kind = {what: 1000 * median_cpu_seconds(costs[what]) for what in costs}
        result["ms"][name] = {**of_kind, "python -m preprocess": whole[name]}
    return result


def _train(views: int) -> dict:
    return {"mode": "train", "views": views, "crop": "multiscale"}


def convert_once(path: str, values: dict) -> Cost:
    """Convert one video in this process, without Ray and without a sandbox: decode, crop, tile, encode, write."""
    from preprocess.annotations.dataset import Video
    from preprocess.config.schema import config_from
    from preprocess.worker.messages import Job
    from preprocess.worker.video import make_samples
    from shards.write import open_shard

    video = Video(key="video", path=Path(path).name, labels=(0,))
    config = config_from(values, "benchmark")
    job = Job(config=config, source=str(Path(path).parent), output="", class_names=("0",), digest="")
    with tempfile.TemporaryDirectory() as output:
        begin, began = cpu_seconds(), time.monotonic()
        converted = make_samples(job, "train", video)
        for number, sample in enumerate(converted.samples.values()):
            with open_shard(Path(output) / f"{number}.tar") as shard:
                shard.add(sample)
        return Cost(cpu_seconds=cpu_seconds() - begin, wall_seconds=time.monotonic() - began, result=None)


def _whole(folder: Path) -> dict[str, float]:
    """CPU milliseconds per video of ``python -m preprocess`` with one worker: a long run minus a short run."""
    with Child() as child:
        runs = {}
        for _ in range(2):
            for name, count in _VIDEOS.items():
                for num_videos in (_FEW, count):
                    source = link_videos(KINDS[name], num_videos, folder)
                    cost = child.run(run_command, str(source), configuration(), 1)
                    runs.setdefault((name, num_videos), []).append(cost)
    return {
        name: 1000 * (median_cpu_seconds(runs[name, count]) - median_cpu_seconds(runs[name, _FEW])) / (count - _FEW)
        for name, count in _VIDEOS.items()
    }


def run_command(source: str, values: dict, workers: int) -> Cost:
    """The cost of a whole ``python -m preprocess``, including all processes that it starts."""
    output = tempfile.mkdtemp()
    config = Path(output) / "config.yaml"
    config.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    options = ("--config", config, "--source", source, "--output", Path(output) / "shards", "--workers", str(workers))
    try:
        return run_family([sys.executable, "-m", "preprocess", *map(str, options)], _ROOT)
    finally:
        shutil.rmtree(output)
