"""Finds out whether a Ray cluster requires a token, and whether this user has one.

Ray reads the mode once, when it is imported, so a process of its own asks. With the wrong mode a driver either cannot
join, or joins and its workers cannot talk to it.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODE = "RAY_AUTH_MODE"
TOKEN, NO_TOKEN = "token", "disabled"
_JOIN = "import sys, ray; ray.init(sys.argv[1], logging_level='critical', log_to_driver=False)"
_REFUSED = b"InvalidAuthToken"
_JOIN_SECONDS = 60
_LOOK_SECONDS = 0.1


def mode_of(address: str) -> str | None:
    """The mode of the cluster at ``address`` (``auto`` or HOST:PORT): ``token`` or ``disabled``; None if joining fails.

    A process joins without a token, and is ended once the cluster refuses it: Ray itself would try for 20 seconds.
    """
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-c", _JOIN, address],
            env={**os.environ, MODE: NO_TOKEN},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
        try:
            return _outcome(process, said.fileno())
        finally:
            process.kill()
            process.wait()


def _outcome(process: subprocess.Popen, said: int) -> str | None:
    end = time.monotonic() + _JOIN_SECONDS
    while time.monotonic() < end:
        status = process.poll()
        if _REFUSED in os.pread(said, 1 << 16, 0):
            return TOKEN
        if status is not None:
            return NO_TOKEN if status == 0 else None
        time.sleep(_LOOK_SECONDS)
    return None


def has_token() -> bool:
    """Whether this user has a token in one of the places that Ray documents."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    return named or (Path.home() / ".ray" / "auth_token").exists()


def about_tokens() -> str:
    """The way out if the cluster rejects the token of this machine, or if there is no token."""
    return (
        "the cluster asks for a token, and this machine has none or another one; copy ~/.ray/auth_token from the head, "
        "or set RAY_AUTH_TOKEN_PATH to a copy (docs/cluster.md, A token)"
    )
