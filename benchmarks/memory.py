"""Target 4: the memory of a worker, which must not grow with the length or the number of videos."""

import multiprocessing
import resource
import tempfile
from pathlib import Path

from benchmarks.dataset import configuration, link_videos
from benchmarks.videos import KINDS

# Case -> (kind of video, number of videos).
_CASES = {"20 s, 1 video": ("short", 1), "3 min, 1 video": ("long", 1), "3 min, 4 videos": ("long", 4)}


def measure(folder: Path) -> dict:
    """``{"mb": {case: {"worker": MB, "decoder": MB}}}``, for 1080p: the worker, and its decoder process."""
    context = multiprocessing.get_context("spawn")
    result = {}
    for case, (name, count) in _CASES.items():
        source = link_videos(KINDS[name], count, folder)
        with context.Pool(1) as pool:
            result[case] = pool.apply(convert_shards, (str(source),))
    return {"mb": result}


def convert_shards(source: str) -> dict[str, float]:
    """Peak resident memory in MB of this process and of its largest child."""
    from preprocess.config.schema import config_from
    from preprocess.run.pipeline import prepare
    from preprocess.worker.batch import write_batch

    with tempfile.TemporaryDirectory() as output:
        prepared = prepare(config_from(configuration(), "benchmark"), source=Path(source), output=Path(output))
        prepared.output.begin()
        for batch in prepared.batches:
            *_, last = write_batch(prepared.job, batch)
            if last.failures:
                raise RuntimeError(str(last.failures))
    return {
        "worker": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "decoder": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
    }
