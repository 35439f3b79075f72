"""Target 3: two workers against one, and Ray against a plain pool of processes that runs the same function."""

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
# A shard for each worker in the short run, so that no worker starts within what is measured.
_FEW, _MANY = 2 * _VIDEOS_PER_SHARD, 42 * _VIDEOS_PER_SHARD
_ROOT = Path(__file__).resolve().parents[1]


def measure(folder: Path, repeats: int) -> dict:
    """``{"seconds": {way: {"wall": s, "cpu": s}}}`` for 1000 clips: a run of 1050 less one of 50, start-up apart."""
    few, many = (str(link_videos(KINDS[_KIND], count, folder)) for count in (_FEW, _MANY))
    values = configuration(samples_per_shard=_VIDEOS_PER_SHARD)
    ways = {"Ray, 1 worker": (run_command, 1), "Ray, 2 workers": (run_command, 2), "pool, 2 workers": (run_pool, 2)}
    with Child() as child:
        tasks = {
            f"{way}, {length}": partial(child.run, function, source, values, count)
            for way, (function, count) in ways.items()
            for length, source in (("few", few), ("many", many))
        }
        costs = interleaved(tasks, repeats, warm_up=False)
    # Wall time is at the mercy of whatever else runs: the best of the runs is the nearest to a quiet machine.
    best = {name: min(of_task, key=lambda cost: cost.wall_seconds) for name, of_task in costs.items()}
    return {
        "clips": _MANY - _FEW,
        "seconds": {
            way: {
                "wall": best[f"{way}, many"].wall_seconds - best[f"{way}, few"].wall_seconds,
                "cpu": best[f"{way}, many"].cpu_seconds - best[f"{way}, few"].cpu_seconds,
            }
            for way in ways
        },
    }


def run_pool(source: str, values: dict, workers: int) -> Cost:
    """What ``run_command`` does, with a pool of processes in the place of Ray."""
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
