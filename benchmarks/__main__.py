"""Run the measurements, print tables, and write ``results.json``, ``results.png`` and ``README.md``."""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.extract import METHODS, version

_HERE = Path(__file__).resolve().parent
PARTS = ("extraction", "conversion", "memory", "training_input", "quality", "workers")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the given parts and keep the earlier results of the others. Returns exit status 0."""
    args = _parser().parse_args(arguments)
    load_before = os.getloadavg()[0]
    written = args.output / "results.json"
    results = (
        json.loads(written.read_text(encoding="utf-8")) if written.exists() and set(args.parts) < set(PARTS) else {}
    )
    for part in args.parts:
        print(f"measuring: {part}", file=sys.stderr)
        results[part] = _measure(part, args.videos, args.repeats)
    results["about"] = _about(load_before)
    _write(results, args.output)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--repeats", type=int, default=5, help="number of measurements of each method (default: %(default)s)"
    )
    parser.add_argument(
        "--videos",
        type=Path,
        default=_HERE.parent / "build" / "benchmarks",
        metavar="DIR",
        help="directory for the test videos, which are made once (default: %(default)s)",
    )
    parser.add_argument(
        "--output", type=Path, default=_HERE, metavar="DIR", help="directory for the results (default: %(default)s)"
    )
    return parser


def _measure(part: str, folder: Path, repeats: int) -> dict:
    # Imported here, so that a part also runs if the libraries of another part are missing.
    if part == "extraction":
        from benchmarks import extraction

        return extraction.measure(folder, repeats)
    if part == "conversion":
        from benchmarks import conversion

        return conversion.measure(folder, repeats)
    if part == "memory":
        from benchmarks import memory

        return memory.measure(folder)
    if part == "training_input":
        from benchmarks import training_input

        return training_input.measure(folder, repeats)
    if part == "quality":
        from benchmarks import quality

        return quality.measure(folder)
    if part == "workers":
        from benchmarks import workers

        return workers.measure(folder, min(repeats, 2))
    raise ValueError(f"{part}: must be one of {', '.join(PARTS)}")


def _about(load_before: float) -> dict:
    packages = dict.fromkeys((*(package for _, package in METHODS.values()), "pillow", "timm", "torch", "ray", "numpy"))
    versions = {package: version(package) for package in packages}
    return {
        "commit": _output_of("git", "-C", str(_HERE), "describe", "--always", "--dirty"),
        "date": datetime.date.today().isoformat(),
        "cpu": _processor(),
        "cores": os.cpu_count(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "python": platform.python_version(),
        "versions": {package: number for package, number in versions.items() if number},
        "missing": [package for package, number in versions.items() if not number],
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def _write(results: dict, directory: Path) -> None:
    from benchmarks.plot import save
    from benchmarks.readme import markdown

    page = markdown(results)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    (directory / "README.md").write_text(page, encoding="utf-8")
    save(results, directory / "results.png")
    print(page)


if __name__ == "__main__":
    sys.exit(main())
