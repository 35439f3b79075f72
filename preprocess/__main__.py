"""``python -m preprocess``: convert a data set of videos into shards of super images."""

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence

from preprocess.flags import parse
from preprocess.run.interruption import TO_GO_ON, interrupted_once
from shards.program import shown_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns 0 if it succeeded, 1 if too many videos failed, 2 for a user error, 130 after Ctrl-C.

    If the Ray cluster is lost during a conversion, the process exits with status 3.
    """
    with interrupted_once(is_whole_program=arguments is None):
        return _main(sys.argv[1:] if arguments is None else arguments)


def _main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    args.words, args.again = list(arguments), _again(arguments)
    try:
        # Imported here so that --help does not wait for the decoders.
        from preprocess.commands import COMMANDS

        return COMMANDS[args.command](args)
    except BrokenPipeError:
        # The reader of standard output has closed it, as in `--list | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # 128 + SIGPIPE, as a shell reports it
    except (ValueError, OSError) as error:
        _emit_end(args, str(error))
        print(f"preprocess: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        _emit_end(args, "interrupted")
        print(f"\npreprocess: interrupted; {TO_GO_ON}:\n  {args.again}", file=sys.stderr)
        return 130


def _emit_end(args: Namespace, error: str) -> None:
    """Print the last event for a program that reads ``--progress json``."""
    if args.command == "convert" and args.progress == "json":
        from preprocess.run.progress import emit_event  # imported here for the same reason

        emit_event("end", complete=False, error=error)


def _again(arguments: Sequence[str]) -> str:
    # The videos of --retry-failed are pending now, so the next command does not need the flag.
    return shlex.join([*shown_command("preprocess"), *(word for word in arguments if word != "--retry-failed")])


if __name__ == "__main__":
    sys.exit(main())
