"""The command ``python -m shards``: verify a shard directory, or show some of its super images."""

import argparse
import io
import shlex
import sys
from collections.abc import Sequence

from shards.check import CheckResult, check_directory
from shards.preview import contact_sheet
from shards.program import shown_command
from shards.storage import write_whole

_PROBLEMS_SHOWN = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status: 0, 1 if ``check`` found problems, or 2 after a user error."""
    args = _parser().parse_args(arguments)
    try:
        return args.run(args)
    except (ValueError, OSError) as error:
        print(f"shards: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m shards", description="Verify a shard directory, or show some of its super images."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    check = commands.add_parser("check", help="read all shards and verify SHA-256, counts, labels and image sizes")
    check.add_argument("directory", help="the directory of one layout, with _info.json")
    check.set_defaults(run=_check)
    preview = commands.add_parser("preview", help="write a contact sheet of super images with their labels")
    preview.add_argument("directory", help="the directory of one layout, with _info.json")
    preview.add_argument("-o", "--output", default="sheet.png", help="PNG file to write (default: %(default)s)")
    preview.add_argument("--split", default="train", help="split to show (default: %(default)s)")
    preview.add_argument("--count", type=int, default=12, help="number of super images (default: %(default)s)")
    preview.add_argument("--thumbnail", type=int, default=240, help="width of each in pixels (default: %(default)s)")
    preview.set_defaults(run=_preview)
    return parser


def _check(args: argparse.Namespace) -> int:
    result = check_directory(args.directory)
    _print_result(result)
    for problem in result.problems[:_PROBLEMS_SHOWN]:
        print(f"problem: {problem}", file=sys.stderr)
    if len(result.problems) > _PROBLEMS_SHOWN:
        print(f"and {len(result.problems) - _PROBLEMS_SHOWN} more", file=sys.stderr)
    print(f"{args.directory}: " + (f"{len(result.problems)} problems" if result.problems else "sound"))
    if not result.problems:
        _show_next("shards", "preview", args.directory)
    return 1 if result.problems else 0


def _print_result(result: CheckResult) -> None:
    print(f"{result.shards} shards, {result.samples} samples, {result.bytes / 1e6:.1f} MB")
    for split, labels in sorted(result.labels.items()):
        counts = labels.values()
        if counts:
            print(f"  {split}: {len(labels)} classes, {min(counts)} to {max(counts)} samples each")
    for reason, count in result.failures.most_common():
        print(f"  left out: {count} videos, {reason}")
    for note in result.notes:
        print(f"  note: {note}")


def _preview(args: argparse.Namespace) -> int:
    sheet = contact_sheet(args.directory, split=args.split, count=args.count, thumbnail=args.thumbnail)
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_whole(args.output, content.getvalue())
    print(f"{args.output}: {sheet.width}x{sheet.height} pixels")
    _show_next("train", "--data-dir", args.directory, "--output", "runs")
    return 0


def _show_next(command: str, *words: str) -> None:
    print(f"next: {shlex.join([*shown_command(command), *words])}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
