"""Kill a conversion at random moments, repeatedly, and compare its output with an undisturbed conversion.

    python benchmarks/soak_faults.py --source DIR [--config FILE] [--minutes 30] [--seed 0] [--workers 2]

Each round starts a conversion. At random moments, its driver, a worker or a decoder is killed by SIGKILL, or its driver
is interrupted. The same command is repeated until the conversion is complete. Every SHA-256 must equal the undisturbed
one, no file may be incomplete, and no video may count as failed. Prints a line for each round, and at the end a JSON
object with the number of events. The exit status is 1 after the first difference.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from shards.check import check_directory
from shards.records import read_all_records

ROOT = Path(__file__).resolve().parents[1]
_MARK = "SUPERIMAGE_SOAK"
_VICTIMS = ("driver", "worker", "decoder", "interrupt")


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    rng = random.Random(args.seed)
    folder = Path(tempfile.mkdtemp(prefix="soak-", dir=args.scratch))
    command = [sys.executable, "-m", "preprocess", "--config", args.config, "--source", args.source]
    command += ["--workers", str(args.workers), *(word for value in args.overrides for word in ("--set", value))]
    try:
        expected = _undisturbed([*command, "--output", str(folder / "undisturbed")], folder / "undisturbed")
        survived: Counter[str] = Counter()
        began, rounds = time.monotonic(), 0
        while time.monotonic() - began < args.minutes * 60 or rounds == 0:
            rounds += 1
            output = folder / f"round-{rounds}"
            events = disturbed([*command, "--output", str(output)], rng)
            survived.update(events)
            difference = compare(output, expected)
            print(f"round {rounds}: {dict(Counter(events))}: {difference or 'the same bytes'}", flush=True)
            if difference:
                return 1
            shutil.rmtree(output)
        print(json.dumps({"rounds": rounds, "survived": dict(survived), "shards": len(expected), "seed": args.seed}))
        return 0
    finally:
        if not args.keep:
            shutil.rmtree(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", required=True, help="directory of videos that the configuration expects")
    parser.add_argument("--config", default=str(ROOT / "configs/preprocess/demo.yaml"))
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--minutes", type=float, default=30.0, help="duration (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="workers (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    parser.add_argument("--scratch", default=None, help="directory for the outputs (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="keep the outputs")
    return parser


def _undisturbed(command: list[str], output: Path) -> dict[str, str]:
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return hashes(output)


def disturbed(command: list[str], rng: random.Random, *, runs_disturbed: int = 4) -> list[str]:
    """Repeat a command until it is complete, and kill its first runs. Returns the events in order."""
    events = []
    for number in range(1000):
        mark = uuid.uuid4().hex
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, _MARK: mark}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        if number < runs_disturbed:
            events += list(_disturb(process, mark, rng))
        if process.wait() == 0:
            return events
    raise RuntimeError("the conversion is still incomplete after 1000 runs")


def _disturb(process: subprocess.Popen, mark: str, rng: random.Random) -> Iterator[str]:
    """Kill processes at random moments, until the driver is killed or has finished."""
    while process.poll() is None:
        time.sleep(rng.uniform(0.0, 2.0))
        victim = rng.choice(_VICTIMS)
        if victim in ("driver", "interrupt"):
            if not _decoders(mark):
                continue  # no work yet, since Ray is still starting
            process.send_signal(signal.SIGKILL if victim == "driver" else signal.SIGINT)
            process.wait()
            yield victim
        elif decoders := _decoders(mark):
            decoder = rng.choice(decoders)
            if _kill(decoder if victim == "decoder" else _parent(decoder)):
                yield victim


def _decoders(mark: str) -> list[int]:
    """Ids of this conversion's decoder processes, recognized by a mark in their environment."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            is_decoder = b"preprocess.worker.child" in (path / "cmdline").read_bytes()
            if is_decoder and f"{_MARK}={mark}".encode() in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue  # the process has just ended
    return found


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def _kill(pid: int | None) -> bool:
    if pid is None or pid == 1:
        return False
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def compare(output: Path, expected: dict[str, str]) -> str:
    """The first difference; empty if there is none."""
    if hashes(output) != expected:
        return "other bytes"
    for layout in output.glob("*/_info.json"):
        if problems := check_directory(layout.parent).problems:
            return problems[0]
    left = list(output.rglob("*.partial"))
    return f"half-written: {left[0]}" if left else ""


def hashes(output: Path) -> dict[str, str]:
    """The SHA-256 of each tar, and the reason of each failed video."""
    found = {}
    for directory in sorted(path.parent for path in output.glob("*/_records")):
        for record in read_all_records(directory):
            found.update({f"{directory.name}/{tar.name}": tar.sha256 for tar in record.tars})
            found.update({f"{directory.name}/{failure.video}": failure.reason for failure in record.failures})
    return found


if __name__ == "__main__":
    sys.exit(main())
