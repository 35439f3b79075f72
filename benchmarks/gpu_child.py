"""A process that repeatedly trains on one GPU, by ``train_image.py`` or by timm's own ``train.py``.

    python -m benchmarks.gpu_child ours|timm      a JSON request per line of stdin, an answer per line of stdout

The process starts only once, since starting takes longer than the measured steps. A request is ``{"argv": [...]}``,
with ``script`` for timm's. The answer contains the times of the script's log lines, and the GPU memory.
"""

import contextlib
import gc
import importlib.util
import json
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

_OURS = re.compile(r"batch (\d+)/(\d+)  loss (\S+)")
_TIMM = re.compile(r"Train: \d+ \[ *(\d+)/(\d+) .*Loss: +(\S+)")
_HELD_STEPS = 12


class Marks(logging.Handler):
    """Collects the times at which the script logs its progress: ``[(seconds, batches, loss), ...]``."""

    def __init__(self, pattern: re.Pattern, first: int):
        super().__init__()
        self.pattern, self.first, self.seen = pattern, first, []

    def emit(self, record: logging.LogRecord) -> None:
        match = self.pattern.search(record.getMessage())
        if match:
            self.seen.append((time.perf_counter(), int(match[1]) + self.first, float(match[3])))


class Held:
    """A loader that returns the same batch, which is already on the device, ``count`` times."""

    def __init__(self, batch: tuple[torch.Tensor, torch.Tensor], count: int):
        self.batch, self.count = batch, count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for _ in range(self.count):
            yield self.batch


@contextlib.contextmanager
def marking(pattern: re.Pattern, first: int) -> Iterator[Marks]:
    marks = Marks(pattern, first)
    logging.root.addHandler(marks)
    try:
        yield marks
    finally:
        logging.root.removeHandler(marks)


def train_ours(request: dict) -> dict:
    """Train an epoch from the shards, then some steps on a batch that is already on the GPU."""

    from superimage.training.command_line import parse_flags
    from superimage.training.experiment import experiment_directory
    from superimage.training.flags import GROUPS, check_values
    from superimage.training.grid import find_super_images
    from superimage.training.loop import train_epoch
    from superimage.training.train import build

    args, explicit = parse_flags(GROUPS, request["argv"], prog="train_image")
    check_values(args)
    experiment = build(args, explicit, find_super_images(args, explicit), experiment_directory(args))
    experiment.train_loader.set_epoch(0)
    with marking(_OURS, 0) as marks:
        train_epoch(experiment, 0)
    answer = {"marks": marks.seen, **memory()}
    experiment.train_loader = Held(next(iter(experiment.train_loader)), _HELD_STEPS)
    with marking(_OURS, 0) as held:
        train_epoch(experiment, 0)
    return {**answer, "held": held.seen}


def train_timm(request: dict) -> dict:
    """Run timm's whole script: an epoch from the same shards, then validation and checkpoint."""
    module = _timm_script(request["script"])
    sys.argv = [request["script"], *request["argv"]]
    with marking(_TIMM, 1) as marks:
        module.main()
    return {"marks": marks.seen, **memory()}


def _timm_script(path: str):
    name = "timms_train_script"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def memory() -> dict:
    """Peak GPU memory in bytes: allocated for tensors, and reserved by torch."""
    if not torch.cuda.is_available():
        return {"allocated": 0, "reserved": 0}
    return {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}


def clean() -> None:
    """Reset torch and logging, and free the GPU memory for the other script's process."""
    torch.compiler.reset()
    gc.collect()
    for handler in list(logging.root.handlers):
        logging.root.removeHandler(handler)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def answered(train: Callable[[dict], dict], request: dict) -> dict:
    began = time.perf_counter()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        answer = train(request)
    except Exception as error:
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:300]}
    clean()
    return {**answer, "wall_seconds": time.perf_counter() - began}


def main() -> int:
    train = {"ours": train_ours, "timm": train_timm}[sys.argv[1]]
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    # Prints of the scripts go to stderr, so that stdout only contains answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(answered(train, json.loads(line))), file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
