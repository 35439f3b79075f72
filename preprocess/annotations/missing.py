"""Why a file that a list names is not found: what stands in its place."""

import os
import unicodedata
from pathlib import Path


def why_missing(path: Path) -> str:
    """``"a symbolic link to X, which is not there"``, and the like; empty where nothing is known.

    Asks the disk, so this is for the few that are shown.
    """
    if os.path.islink(path):
        return f"a symbolic link to {os.readlink(path)}, which is not there"
    if any(part in ("http:", "https:", "s3:", "gs:") for part in path.parts):
        return "lists hold paths, not addresses; give the address of the folder with --videos-url"
    if "\\" in str(path):
        return "the path holds a backslash, as on Windows; write / in its place"
    try:
        names = os.listdir(path.parent)
    except OSError as error:
        return f"its folder cannot be read: {error.strerror}"
    alike = [name for name in names if _plain(name) == _plain(path.name)]
    if alike:
        return f"there is {alike[0]!a}, which differs in case or in the form of its accents from {path.name!a}"
    other = sorted(name for name in names if os.path.splitext(name)[0] in (path.name, path.stem))
    return f"there is {other[0]!r}" if other else ""


def _plain(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()
