"""Hints on why a listed file is missing."""

import os
import unicodedata
from pathlib import Path


def why_missing(path: Path) -> str:
    """A hint such as ``"a symbolic link to X, which is not there"``; empty if the reason is not known.

    This reads the disk, so call it only for the few files that are printed.
    """
    if os.path.islink(path):
        return f"a symbolic link to {os.readlink(path)}, which is not there"
    if any(part in ("http:", "https:", "s3:", "gs:") for part in path.parts):
        return "lists must hold paths, not URLs; give the URL of the folder with --videos-url"
    if "\\" in str(path):
        return "the path has a backslash, as on Windows; write / instead"
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
