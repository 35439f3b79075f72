"""``python -m preprocess``: convert a data set of videos into super-image shards, once."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a conversion; 0 when complete, 1 when too much failed, 2 for a mistake of the user, 130 after Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(arguments)
    needed = [] if args.list else ["config"] if args.inspect else ["config", "source", "output"]
    missing = [f"--{name}" for name in needed if getattr(args, name) is None]
    if missing:
        parser.error(f"{', '.join(missing)} must be given")
    try:
        return _list() if args.list else _inspect(args) if args.inspect else _convert(args)
    except (ValueError, OSError) as error:
        print(f"preprocess: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("preprocess: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m preprocess", description=__doc__)
    parser.add_argument("--config", metavar="FILE", help="YAML, such as those in configs/preprocess/")
    parser.add_argument("--source", metavar="DIR", help="where the videos and their lists are")
    parser.add_argument("--output", metavar="DIR", help="gets one shard directory for each layout")
    parser.add_argument("--list", action="store_true", help="print the data sets and the presets, a line each")
    parser.add_argument(
        "--inspect", metavar="VIDEO", help="write one video's super images as PNG, with frame numbers and crop boxes"
    )
    parser.add_argument(
        "--require-complete", action="store_true", help="refuse to begin while a listed video is missing"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count(), metavar="N", help="processes (default: the number of cores)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="overrides",
        metavar="KEY=VALUE",
        help="override a value of the config, such as layouts.sifar-3x3.tile=192",
    )
    return parser


def _list() -> int:
    from preprocess.annotations import FORMATS
    from preprocess.presets import PRESETS

    print("data sets (annotations.format):")
    for name, reader in FORMATS.items():
        print(f"  {name:24}{reader.summary}")
    print("presets (layouts):")
    for name, preset in PRESETS.items():
        print(f"  {name:24}{preset.summary}")
    return 0


def _inspect(args: argparse.Namespace) -> int:
    from preprocess.config import load_config
    from preprocess.inspect_video import inspect_video

    config = load_config(args.config, args.overrides)
    for note in config.notes:
        print(f"note: {note}", file=sys.stderr)
    for line in inspect_video(config, Path(args.inspect), Path(args.output or "inspect")):
        print(line)
    return 0


def _convert(args: argparse.Namespace) -> int:
    if args.workers < 1:
        raise ValueError(f"--workers {args.workers}: must be at least 1")
    # Here and not above: --help should not wait for the decoders.
    from preprocess.cluster import Workers
    from preprocess.config import load_config
    from preprocess.run import prepare, run

    config = load_config(args.config, args.overrides)
    prepared = prepare(
        config, source=Path(args.source), output=Path(args.output), require_complete=args.require_complete
    )
    summary = run(prepared, workers=Workers(count=args.workers), progress="auto")
    for failure in summary.failures[:20]:
        print(f"left out: {failure.path}: {failure.reason} ({failure.detail})", file=sys.stderr)
    for reason, count in summary.reasons().most_common():
        print(f"{count} videos left out: {reason}", file=sys.stderr)
    if not summary.complete:
        print(
            f"preprocess: not complete: {len(summary.failures)} of {summary.num_videos} videos failed, "
            f"{summary.allowed_failures} may; look at the reasons above, then mend the files, or allow more with "
            "--set max_failures=SHARE, and run the same command again",
            file=sys.stderr,
        )
        return 1
    converted = summary.num_videos - len(summary.failures)
    print(
        f"{converted} of {summary.num_videos + summary.missing} videos: {len(summary.failures)} failed, "
        f"{summary.missing} missing"
    )
    for layout in config.layouts:
        print(Path(args.output) / layout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
