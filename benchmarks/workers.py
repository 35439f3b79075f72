"""Target 3: two workers compared with one, and Ray compared with a pool of processes."""

import json
import multiprocessing
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.conversion import run_command
from benchmarks.dataset import configuration, link_videos
from benchmarks.family import run_family
from benchmarks.measure import Child, Cost, interleaved
from benchmarks.videos import KINDS
from preprocess.plan import VideoBatch
from preprocess.worker.messages import Job

_KIND = "b"
_VIDEOS_PER_SHARD = 25
# The short run has a shard for each worker, so that the difference does not include the start of a worker.
_FEW, _MANY = 2 * _VIDEOS_PER_SHARD, 42 * _VIDEOS_PER_SHARD
_ROOT = Path(__file__).resolve().parents[1]


def measure(folder: Path, repeats: int) -> dict:
    """``{"seconds": {method: {"wall": s, "cpu": s}}}`` for 1000 clips: a run of 1050 minus a run of 50."""
    few, many = (str(link_videos(KINDS[_KIND], count, folder)) for count in (_FEW, _MANY))
    values = configuration(samples_per_shard=_VIDEOS_PER_SHARD)
    methods = {"Ray, 1 worker": (run_command, 1), "Ray, 2 workers": (run_command, 2), "pool, 2 workers": (run_pool, 2)}
    with Child() as child:
        tasks = {
            f"{method}, {length}": partial(child.run, function, source, values, count)
            for method, (function, count) in methods.items()
            for length, source in (("few", few), ("many", many))
        }
        costs = interleaved(tasks, repeats, warm_up=False)
    # Other processes increase wall time, so the fastest run is the most accurate one.
    best = {name: min(of_task, key=lambda cost: cost.wall_seconds) for name, of_task in costs.items()}
    return {
        "clips": _MANY - _FEW,
        "seconds": {
            method: {
                "wall": best[f"{method}, many"].wall_seconds - best[f"{method}, few"].wall_seconds,
                "cpu": best[f"{method}, many"].cpu_seconds - best[f"{method}, few"].cpu_seconds,
            }
            for method in methods
        },
    }


def run_pool(source: str, values: dict, workers: int) -> Cost:
    """The same as ``run_command``, but with a pool of processes instead of Ray."""
    output = tempfile.mkdtemp()
    arguments = json.dumps({"source": source, "values": values, "workers": workers, "output": output})
    try:
        return run_family([sys.executable, "-m", "benchmarks.workers", arguments], _ROOT)
    finally:
        shutil.rmtree(output)


def _convert_in_pool(source: str, values: dict, workers: int, output: str) -> None:
    from preprocess.config.schema import config_from
    from preprocess.run.pipeline import prepare

    prepared = prepare(config_from(values, "benchmark"), source=Path(source), output=Path(output))
    prepared.output.begin()
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(partial(_write_batch, prepared.job), prepared.batches):
            pass


def _write_batch(job: Job, batch: VideoBatch) -> int:
    from preprocess.worker.batch import write_batch

    return sum(1 for _ in write_batch(job, batch))


if __name__ == "__main__":
    _convert_in_pool(**json.loads(sys.argv[1]))
