"""Measures training on one GPU: images per second and memory of ``train_image.py`` and of timm's ``train.py``.

    python -m benchmarks.gpu --data DIR --timm-scripts DIR --seconds 300

``--data`` is a layout made by ``python -m preprocess``, whose tiles determine the image size. Both scripts train on the
same shards with the same flags, in turn, each in its own process. ``gpu.json`` and ``GPU.md`` are written after every
measurement. Rounds are repeated until the time is over.
"""

import argparse
import datetime
import json
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import timm
import torch

from benchmarks.gpu_data import enlarge
from benchmarks.gpu_figures import figures, median
from benchmarks.gpu_page import markdown

_HERE = Path(__file__).resolve().parent
_LOG_INTERVAL = 4
_BEST = ("--amp", "--amp-dtype", "bfloat16", "--channels-last")
# In the order of measurement. The compiled variant is the last, since compiling takes the longest.
VARIANTS = {
    "float32": (),
    "float16": ("--amp",),
    "bfloat16": ("--amp", "--amp-dtype", "bfloat16"),
    "channels-last": _BEST,
    "pinned": (*_BEST, "--pin-mem"),
    "compiled": (*_BEST, "--torchcompile"),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, its batch size, and the number of measured steps."""

    model: str
    batch: int
    steps: int


CASES = (
    Case(model="resnet50", batch=32, steps=24),
    Case(model="sifar_swin_base_w14_3x3_224", batch=12, steps=20),
    Case(model="uniformer_small", batch=16, steps=20),
)
SMALL_CASES = (Case(model="test_resnet", batch=4, steps=12), Case(model="uniformer_xxs", batch=2, steps=12))


class Trainer:
    """The process of one script. After a failure it is restarted, so that all GPU memory is free again."""

    def __init__(self, kind: str, log: Path):
        self.kind, self.log, self.process = kind, log, None

    def ask(self, request: dict, timeout_seconds: float) -> dict:
        """The answer of the process, or ``{"error": ...}`` if it fails, exits, or takes too long."""
        if self.process is None:
            self._start()
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], timeout_seconds)
        line = self.process.stdout.readline() if ready else ""
        answer = (
            json.loads(line)
            if line
            else {"error": "the process exited" if ready else f"more than {timeout_seconds:.0f} s"}
        )
        if "error" in answer:
            self.close()
        return answer

    def _start(self) -> None:
        command = [sys.executable, "-m", "benchmarks.gpu_child", self.kind]
        with open(self.log, "a", encoding="utf-8") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=_HERE.parent
            )

    def close(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Bench:
    """Runs the measurements and writes their results."""

    def __init__(self, args: argparse.Namespace, work: Path):
        self.args, self.work = args, work
        self.deadline = time.monotonic() + args.seconds
        args.output.mkdir(parents=True, exist_ok=True)
        self.trainers = {kind: Trainer(kind, args.output / f"gpu_{kind}.log") for kind in ("ours", "timm")}
        self.results = earlier_runs(args.add_to, about(args))
        manifest = json.loads((args.data / "_info.json").read_bytes())
        self.size, self.num_classes = manifest["superimage"]["image_size"], len(manifest["superimage"]["class_names"])

    def left(self) -> float:
        return self.deadline - time.monotonic()

    def directory(self, case: Case) -> Path:
        path = self.work / f"{case.model}-{case.batch}"
        if not path.exists():
            samples, workers = case.batch * case.steps, max(self.args.workers, 1)
            enlarge(self.args.data, path, samples=samples, multiple_of=workers)
        return path

    def argv(self, case: Case, flags: Sequence[str], kind: str) -> list[str]:
        common = ["--data-dir", str(self.directory(case)), "--model", case.model, "--batch-size", str(case.batch)]
        common += ["--num-classes", str(self.num_classes), "--workers", str(self.args.workers), "--epochs", "1"]
        common += ["--warmup-epochs", "0", "--opt", "adamw", "--lr", "1e-4", "--no-aug", "--crop-pct", "1.0"]
        common += ["--log-interval", str(_LOG_INTERVAL), "--checkpoint-hist", "1", "--device", self.args.device]
        common += ["--output", str(self.work / "runs"), "--experiment", f"{kind}-{time.monotonic_ns()}"]
        if kind == "timm":
            common += ["--dataset", "wds/super", "--input-size", "3", *map(str, self.size)]
            common += ["--device-modules", "superimage.models", "--train-split", "train", "--val-split", "validation"]
        return [*common, *flags]

    def measure(self, case: Case, variant: str, kind: str, *, longest: float) -> None:
        request = {"argv": self.argv(case, VARIANTS[variant], kind)}
        if kind == "timm":
            request["script"] = str(self.args.timm_scripts / "train.py")
        answer = self.trainers[kind].ask(request, timeout_seconds=min(longest, max(self.left(), 5)))
        run = {
            **asdict(case),
            "variant": variant,
            "flags": " ".join(VARIANTS[variant]),
            "script": kind,
            "size": self.size,
            **figures(answer, case.batch),
        }
        self.results["runs"].append(run)
        self.write()
        print(json.dumps(run), flush=True)

    def torchrun(self, case: Case) -> None:
        """Measure DistributedDataParallel with one process (NCCL on a GPU), by the speed in its log."""
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
        command += ["train_image.py", *self.argv(case, _BEST, "ours")]
        limit = max(min(90.0, self.left()), 5)
        try:
            done = subprocess.run(command, cwd=_HERE.parent, capture_output=True, text=True, timeout=limit)
        except subprocess.TimeoutExpired:
            self.results["torchrun"].append({**asdict(case), "error": f"more than {limit:.0f} s"})
            return
        (self.args.output / "gpu_torchrun.log").write_text(done.stderr, encoding="utf-8")
        rates = [float(rate) for rate in re.findall(r"([\d.]+) img/s", done.stderr)]
        run = {**asdict(case), "status": done.returncode, "images_per_second": median(rates[1:])}
        self.results["torchrun"].append(run)
        self.write()
        print(json.dumps(run), flush=True)

    def write(self) -> None:
        (self.args.output / "gpu.json").write_text(json.dumps(self.results, indent=1) + "\n", encoding="utf-8")
        (self.args.output / "GPU.md").write_text(markdown(self.results), encoding="utf-8")


def about(args: argparse.Namespace) -> dict:
    cuda = torch.cuda.is_available()
    git = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=_HERE, capture_output=True, text=True)
    return {
        "commit": args.commit or git.stdout.strip() or "unknown",
        "date": datetime.date.today().isoformat(),
        "card": torch.cuda.get_device_name() if cuda and args.device != "cpu" else "none (CPU)",
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if cuda else None,
        "timm": timm.__version__,
        "cores": os.cpu_count(),
        "workers": args.workers,
    }


def plan(
    cases: Sequence[Case], patterns: Sequence[str], rounds: int, kinds: Sequence[str]
) -> Iterator[tuple[Case, str, str]]:
    """Yield (case, variant, script) in the order of measurement: the matches of each pattern, both scripts in turn.

    ``pinned/*/ours``: the variant ``pinned`` of all models, with our script only.
    """
    for _ in range(rounds):
        for pattern in patterns:
            every = ((case, variant, kind) for variant in VARIANTS for case in cases for kind in kinds)
            yield from (run for run in every if fnmatchcase(f"{run[1]}/{run[0].model}/{run[2]}", pattern))


def earlier_runs(path: Path | None, now: dict) -> dict:
    """The earlier results to add to, if any. Raises ValueError if they were measured on another GPU."""
    if path is None:
        return {"about": now, "runs": [], "torchrun": []}
    results = json.loads(path.read_bytes())
    before = results["about"]
    if before["card"] != now["card"]:
        raise ValueError(f"--add-to {path}: measured on {before['card']}; this is {now['card']}")
    commits = dict.fromkeys((*before["commit"].split(", "), now["commit"]))
    return {**results, "about": {**now, "commit": ", ".join(commits)}}


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    cases = SMALL_CASES if args.small else CASES
    kinds = ("ours",) if args.timm_scripts is None else ("ours", "timm")
    os.environ |= {
        "WDS_SHUFFLE_SIZE": "256",
        "WDS_INITIAL_SIZE": "256",
    }  # timm's reader gets the same shuffle buffer as ours
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        bench = Bench(args, Path(work))
        try:
            if not args.no_torchrun:
                bench.torchrun(cases[0])
            for case, variant, kind in plan(cases, args.runs, args.rounds, kinds):
                if bench.left() < 10:
                    print("the time is over", flush=True)
                    break
                bench.measure(case, variant, kind, longest=args.longest)
        finally:
            for trainer in bench.trainers.values():
                trainer.close()
            bench.write()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="directory of a layout")
    scripts = os.environ.get("TIMM_SCRIPTS")
    parser.add_argument(
        "--timm-scripts",
        type=Path,
        default=Path(scripts).resolve() if scripts else None,
        metavar="DIR",
        help="directory of train.py in timm's repository (default: $TIMM_SCRIPTS; if unset, only our script runs)",
    )
    parser.add_argument("--output", type=Path, default=_HERE, metavar="DIR", help="directory for the results")
    parser.add_argument("--work", type=Path, default=None, metavar="DIR", help="directory for temporary files")
    parser.add_argument(
        "--seconds", type=float, default=300.0, help="start no measurement after this time (default: %(default)s)"
    )
    parser.add_argument(
        "--longest", type=float, default=120.0, help="time limit of a measurement in seconds (default: %(default)s)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of repetitions (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=12, help="loader workers (default: %(default)s)")
    parser.add_argument("--device", default="cuda", help="device to train on (default: %(default)s)")
    parser.add_argument("--commit", default="", help="commit to record if there is no git repository")
    parser.add_argument("--small", action="store_true", help="use tiny models, to test this benchmark on a CPU")
    names = f"VARIANT/MODEL/SCRIPT, * matches all; variants: {', '.join(VARIANTS)}; scripts: ours, timm (default: all)"
    parser.add_argument("--runs", nargs="+", default=("*",), metavar="PATTERN", help=names)
    parser.add_argument("--add-to", type=Path, metavar="FILE", help="add to this gpu.json, measured on the same GPU")
    parser.add_argument("--no-torchrun", action="store_true", help="do not measure DistributedDataParallel")
    return parser


if __name__ == "__main__":
    sys.exit(main())
