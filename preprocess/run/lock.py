"""Allow one conversion at a time in an output directory."""

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
    """Hold the lock of the directory. Raises ValueError if another run holds it.

    The operating system releases the lock when a run ends for any reason. On a file system without locks, a note is
    printed and the run goes on.
    """
    output.mkdir(parents=True, exist_ok=True)
    with open(output / _LOCK_NAME, "a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ValueError(
                f"{output}: another conversion is running there ({holder}); wait for it, or stop it"
            ) from error
        except OSError as error:
            print(
                f"note: {output} cannot be locked ({error}); do not start a second conversion into it", file=sys.stderr
            )
        file.truncate(0)
        file.write(f"{platform.node()}, process {os.getpid()}\n")
        file.flush()
        yield
