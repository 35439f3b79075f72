"""One conversion at a time in an output directory."""

import contextlib
import fcntl
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

_LOCK_NAME = ".lock"


@contextlib.contextmanager
def locked(output: Path) -> Iterator[None]:
    """Hold the directory; ValueError where another run holds it. The system lets go when a run dies, however it dies.

    A file system that knows no locks is used without, and the person is told so.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open(output / _LOCK_NAME, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ValueError(
                f"{output}: another conversion is at work there ({holder}); let it end, or stop it"
            ) from error
        except OSError as error:
            print(f"note: {output} cannot be locked ({error}); start no second conversion into it", file=sys.stderr)
        file.truncate(0)
        file.write(f"{platform.node()}, process {os.getpid()}\n")
        file.flush()
        yield
