"""A directory for Ray's files that no other user can enter, short enough for the sockets in it."""

import contextlib
import fcntl
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "si-ray-"  # short: see below
_RANDOM_LETTERS = 8  # which tempfile.mkdtemp appends
# The path of a Unix socket has at most so many bytes; Ray appends
# /session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store to its directory, which is new for each run.
_MAX_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
_APPENDED_BY_RAY = 64
MAX_BASE_BYTES = _MAX_SOCKET_PATH - _APPENDED_BY_RAY - len(f"/{_PREFIX}/r") - _RANDOM_LETTERS
_YOUNG_SECONDS = 60


@contextlib.contextmanager
def private_directory() -> Iterator[str]:
    """A new directory below RAY_TMPDIR, TMPDIR or /tmp, which is removed at the end.

    Ray opens its own directory to everybody, so it gets one inside another that only this user can enter. OSError
    where no such directory can be made, with the variable that helps.
    """
    outer = _made()
    descriptor = os.open(outer, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # until this process ends, however it ends
        _remove_abandoned(outer.parent)
        inner = outer / "r"
        inner.mkdir()
        yield str(inner)
    finally:
        shutil.rmtree(outer, ignore_errors=True)  # Ray's processes may still write their last lines
        os.close(descriptor)


def _made() -> Path:
    reasons = []
    for name, base in _candidates():
        reason = _reason_against(base)
        if reason is None:
            try:
                return Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
            except OSError as error:
                reason = error.strerror
        reasons.append(f"{name} {base}: {reason}")
    raise OSError(
        f"there is no directory for Ray's files ({'; '.join(reasons)}); set RAY_TMPDIR to a directory that you can "
        f"write to and whose path has at most {MAX_BASE_BYTES} bytes"
    )


def _candidates() -> list[tuple[str, str]]:
    """(variable, directory), in the order of trial; RAY_TMPDIR is the only one where it is set."""
    if named := os.environ.get("RAY_TMPDIR"):
        return [("RAY_TMPDIR", named)]
    variable = os.environ.get("TMPDIR")
    return [*([("TMPDIR", variable)] if variable else []), ("", "/tmp"), ("", "/var/tmp")]


def _reason_against(base: str) -> str | None:
    num_bytes = len(os.fsencode(os.path.abspath(base)))
    if num_bytes > MAX_BASE_BYTES:
        return f"the path has {num_bytes} bytes, and Ray's sockets leave room for {MAX_BASE_BYTES}"
    try:
        mode = os.stat(base).st_mode
    except OSError as error:
        return error.strerror
    if not stat.S_ISDIR(mode):
        return "not a directory"
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        return "every user may rename what is in it (no sticky bit)"
    return None


def _remove_abandoned(base: Path) -> None:
    """Remove what runs that were killed left behind: nobody holds their lock any more."""
    for path in base.glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # another user's, or just removed
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # a run that goes on
            continue
        else:
            status = os.fstat(descriptor)
            is_young = time.time() - status.st_mtime < _YOUNG_SECONDS  # perhaps its run has yet to take the lock
            if status.st_uid == os.getuid() and not is_young:
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)
