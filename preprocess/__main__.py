"""``python -m preprocess``: convert a data set of videos into super-image shards, once."""

import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence

from preprocess.flags import parse
from preprocess.run.interruption import TO_GO_ON, interrupted_once
from shards.program import shown_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a conversion; 0 when complete, 1 when too much failed, 2 for a mistake of the user, 130 after Ctrl-C.

    When the Ray cluster is lost in the middle, the process ends with status 3.
    """
    with interrupted_once(is_whole_program=arguments is None):
        return _main(sys.argv[1:] if arguments is None else arguments)


def _main(arguments: Sequence[str]) -> int:
    args = parse(arguments)
    args.words, args.again = list(arguments), _again(arguments)
    try:
        # Here and not above: --help should not wait for the decoders.
        from preprocess.commands import COMMANDS

        return COMMANDS[args.command](args)
    except BrokenPipeError:
        # The reader of standard output has gone, as in `--list | head`. Nobody is left to write to.
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
    """The last event for the program that reads ``--progress json``, however the run ends."""
    if args.command == "convert" and args.progress == "json":
        from preprocess.run.progress import emit_event  # here for the same reason

        emit_event("end", complete=False, error=error)


def _again(arguments: Sequence[str]) -> str:
    # What --retry-failed began is pending now, whether or not it is named again.
    return shlex.join([*shown_command("preprocess"), *(word for word in arguments if word != "--retry-failed")])


if __name__ == "__main__":
    sys.exit(main())
