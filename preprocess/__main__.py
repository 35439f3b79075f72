"""``python -m preprocess``: convert a data set of videos into super-image shards, once."""

import shlex
import sys
from collections.abc import Sequence

from preprocess.command_line import parse


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a conversion; 0 when complete, 1 when too much failed, 2 for a mistake of the user, 130 after Ctrl-C."""
    arguments = sys.argv[1:] if arguments is None else arguments
    args = parse(arguments)
    # Here and not above: --help should not wait for the decoders.
    from preprocess.commands import COMMANDS

    try:
        return COMMANDS[args.command](args)
    except (ValueError, OSError) as error:
        print(f"preprocess: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\npreprocess: interrupted; finished shards are kept. To go on:\n  {_again(arguments)}", file=sys.stderr)
        return 130


def _again(arguments: Sequence[str]) -> str:
    # What --retry-failed began is pending now, whether or not it is named again.
    return shlex.join(["python", "-m", "preprocess", *(word for word in arguments if word != "--retry-failed")])


if __name__ == "__main__":
    sys.exit(main())
