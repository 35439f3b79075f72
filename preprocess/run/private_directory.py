"""A directory for Ray's files that no other user can enter, with a path short enough for the sockets in it."""

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

_PREFIX = "si-ray-"  # kept short, because of _MAX_SOCKET_PATH
_RANDOM_LETTERS = 8  # appended by tempfile.mkdtemp
# The largest number of bytes in the path of a Unix socket. Ray appends
# /session_2026-01-01_00-00-00_000000_1234567/sockets/plasma_store to its directory.
_MAX_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
_APPENDED_BY_RAY = 64
MAX_BASE_BYTES = _MAX_SOCKET_PATH - _APPENDED_BY_RAY - len(f"/{_PREFIX}/r") - _RANDOM_LETTERS
_YOUNG_SECONDS = 60


@contextlib.contextmanager
def private_directory() -> Iterator[str]:
    """Create a directory below RAY_TMPDIR, TMPDIR or /tmp, and remove it at the end.

    Ray makes its own directory accessible to everybody. So Ray gets a directory inside another one that only this
    user can enter. Raises OSError if no such directory can be created; the message names the variable to set.
    """
    outer = _made()
    descriptor = os.open(outer, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held until this process ends for any reason
        _remove_abandoned(outer.parent)
        inner = outer / "r"
        inner.mkdir()
        yield str(inner)
    finally:
        shutil.rmtree(outer, ignore_errors=True)  # Ray's processes may still be writing
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
        f"no directory is suitable for Ray's files ({'; '.join(reasons)}); set RAY_TMPDIR to a directory that you can "
        f"write to and whose path has at most {MAX_BASE_BYTES} bytes"
    )


def _candidates() -> list[tuple[str, str]]:
    """(variable, directory) in the order of preference. If RAY_TMPDIR is set, it is the only one."""
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
    """Remove the directories of killed runs: no process holds their locks."""
    for path in base.glob(f"{_PREFIX}*"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:  # belongs to another user, or was just removed
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # its run is alive
            continue
        else:
            status = os.fstat(descriptor)
            is_young = time.time() - status.st_mtime < _YOUNG_SECONDS  # its run may not hold the lock yet
            if status.st_uid == os.getuid() and not is_young:
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)
