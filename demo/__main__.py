"""Run all steps by one command, ``python -m demo``: make videos, convert, train, evaluate per video, print a table.

Each step is an ordinary command of this project, printed before it runs. Each command skips what it has already done,
so an interrupted demo continues where it stopped, and a second run is fast.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAYOUT = "demo-3x3"  # as configs/preprocess/demo.yaml names it
EXPERIMENT = "demo"
# Top-1 of SIFAR-B-12 on Something-Something V2, trained in normal order, tested in each order: SIFAR, Table 9.
SIFAR_TABLE_9 = {"normal": 60.8, "reverse": 23.9, "random": 39.4}
# One core trains and one loads. For such a small model, two threads would mostly wait for each other.
ONE_THREAD = ("OMP_NUM_THREADS=1",)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One command: the words after ``python``, and its environment variables."""

    title: str
    words: tuple[str, ...]
    variables: tuple[str, ...] = ()

    @property
    def shown(self) -> str:
        return " ".join((*self.variables, "python", shlex.join(self.words)))


def main(argv: list[str] | None = None) -> int:
    """Run the demo. Returns exit status 0, the status of the first failed step, or 130 after Ctrl-C."""
    args = parse_args(argv)
    try:
        return run(args, shortest(args.output))
    except KeyboardInterrupt:
        print("demo: interrupted; run the same command again to continue", file=sys.stderr)
        return 130


def run(args: argparse.Namespace, output: Path) -> int:
    """Run all steps, then print the table."""
    start = time.monotonic()
    for step in steps(output, args):
        status = run_step(step)
        if status != 0:
            why = f"killed by signal {-status}" if status < 0 else f"exit status {status}, see above"
            print(f"demo: stopped at {step.title!r}: {why}; run the demo again to continue there", file=sys.stderr)
            return status if status > 0 else 128 - status
    print(table(output))
    print(f"\n{output_files(output)}\n\nall steps: {time.monotonic() - start:.0f} s")
    return 0


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=ROOT / "demo-output", metavar="DIR", help="directory for all outputs"
    )
    parser.add_argument(
        "--train", type=int, default=200, metavar="N", help="training videos per class (default: %(default)s)"
    )
    parser.add_argument(
        "--validation", type=int, default=40, metavar="N", help="validation videos per class (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed of the videos and of training (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=int, metavar="N", help="number of epochs (default: as in configs/train/demo.yaml)"
    )
    return parser.parse_args(argv)


def shortest(path: Path) -> Path:
    """The path for the steps, which run in the repository: relative if it is inside the repository."""
    path = path.resolve()
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def steps(output: Path, args: argparse.Namespace) -> list[Step]:
    """The commands in order."""
    shards, experiment = output / "shards" / LAYOUT, output / "train" / EXPERIMENT
    seed = str(args.seed)
    epochs = ("--epochs", str(args.epochs)) if args.epochs is not None else ()
    counts = ("--train", str(args.train), "--validation", str(args.validation))
    return [
        _step("make videos", "-m", "demo.make_videos", output / "videos", *counts, "--seed", seed),
        _step(
            *("convert", "-m", "preprocess", "--config", "configs/preprocess/demo.yaml"),
            *("--source", output / "videos", "--output", output / "shards"),
        ),
        _step("preview the shards", "-m", "shards", "preview", shards, "-o", output / "sheet.png"),
        _step(
            *("train", "train_image.py", "--config", "configs/train/demo.yaml", "--data-dir", shards),
            *("--output", output / "train", "--experiment", EXPERIMENT, "--resume", "auto", "--seed", seed, *epochs),
            variables=ONE_THREAD,
        ),
        *(
            _step(
                *(
                    f"evaluate with frames in {order} order",
                    "eval_video.py",
                    "--checkpoint",
                    experiment / "last.pth.tar",
                ),
                *("--data-dir", shards, "--order", order, "--output", output / "eval" / order),
            )
            for order in SIFAR_TABLE_9
        ),
    ]


def _step(title: str, *words: str | Path, variables: tuple[str, ...] = ()) -> Step:
    return Step(title=title, words=tuple(map(str, words)), variables=variables)


def run_step(step: Step) -> int:
    """Print a command, run it, and print its duration. Returns its exit status."""
    print(f"\n# {step.title}\n$ {step.shown}", flush=True)
    start = time.monotonic()
    environment = os.environ | dict(variable.split("=", 1) for variable in step.variables)
    # subprocess.run would kill the child at Ctrl-C. The child also gets the signal and ends its processes itself.
    process = subprocess.Popen([sys.executable, *step.words], cwd=ROOT, env=environment)
    try:
        status = process.wait()
    except KeyboardInterrupt:
        process.wait()
        raise
    print(f"# {time.monotonic() - start:.1f} s", flush=True)
    return status


def table(output: Path) -> str:
    """A table of top-1 for each order of frames, in the demo and in the paper."""
    rows = [f"{'order':8} {'demo top-1':>10}   SIFAR-B-12 on SSV2 (Table 9)"]
    for order, paper in SIFAR_TABLE_9.items():
        results = json.loads((ROOT / output / "eval" / order / "results.json").read_text(encoding="utf-8"))
        rows.append(f"{order:8} {results['top1']:10.1f}   {paper:.1f}")
    return "\n" + "\n".join(rows)


def output_files(output: Path) -> str:
    """The files to look at, with their paths."""
    return "\n".join(
        f"{what:18} {output / where}"
        for what, where in (
            ("some super images", "sheet.png"),
            ("confusion", "eval/normal/confusion.png"),
            ("results", "eval/normal/results.json"),
            ("each video", "eval/normal/predictions.csv"),
            ("training", f"train/{EXPERIMENT}/summary.csv"),
            ("its flags", f"train/{EXPERIMENT}/args.yaml"),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
