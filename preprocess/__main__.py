"""``python -m preprocess``: convert a data set of videos into super-image shards, once."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a conversion; 0 when complete, 1 when too much failed, 2 for a mistake of the user, 130 after Ctrl-C."""
    args = _parser().parse_args(arguments)
    try:
        return _convert(args)
    except (ValueError, OSError) as error:
        print(f"preprocess: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("preprocess: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m preprocess", description=__doc__)
    parser.add_argument("--config", required=True, metavar="FILE", help="YAML, such as those in configs/preprocess/")
    parser.add_argument("--source", required=True, metavar="DIR", help="where the videos and their lists are")
    parser.add_argument("--output", required=True, metavar="DIR", help="gets one shard directory for each layout")
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


def _convert(args: argparse.Namespace) -> int:
    if args.workers < 1:
        raise ValueError(f"--workers {args.workers}: must be at least 1")
    # Here and not above: --help should not wait for the decoders.
    from preprocess.config import load_config
    from preprocess.run import run

    config = load_config(args.config, args.overrides)
    summary = run(config, source=Path(args.source), output=Path(args.output), workers=args.workers)
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
