"""The only door to disks and URLs. Shards are read and written on local paths; other files can be fetched.

URLs of shards are refused by name, not misread as paths.
"""

import contextlib
import os
import shutil
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_TRIES = 3
_GONE = (404, 410)
_TEMPORARY_SUFFIX = ".partial"


def local_path(location: str | Path) -> Path:
    """The path of a local location; ValueError for a URL."""
    if "://" in str(location):
        raise ValueError(f"{location}: only local paths can be read and written; copy or mount it first")
    return Path(location)


@contextlib.contextmanager
def whole_file(location: str | Path) -> Iterator[BinaryIO]:
    """Write a file that is there entirely or not at all: a temporary one beside it, synced, then renamed.

    Its directory must be there: one that was removed under a running job should not come back half empty.
    Two writers of the same file never share a temporary one, so that a retried task cannot spoil the first try's.
    """
    path = local_path(location)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}{_TEMPORARY_SUFFIX}")
    try:
        with open(partial, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_directory(path.parent)


def write_whole(location: str | Path, content: bytes) -> None:
    """``whole_file`` for bytes at hand; makes the directory where it is missing."""
    local_path(location).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(location) as file:
        file.write(content)


def remove_partial_files(directory: str | Path, name: str = "*") -> int:
    """Delete what interrupted writers left of the files ``name`` in ``directory``; returns how many.

    Call it while nobody writes those.
    """
    leftovers = list(local_path(directory).glob(f".{name}.*{_TEMPORARY_SUFFIX}"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def fetch(url: str, path: str | Path, *, timeout_seconds: float) -> None:
    """Copy what is behind ``url`` to ``path``; a network that fails is tried again, twice.

    http and https by themselves; s3, gs and all else that fsspec knows with the package that it names. Raises
    FileNotFoundError where the server has no such file, OSError where it does not deliver it.
    """
    for number in range(_TRIES):
        try:
            with _open_url(url, timeout_seconds) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target)
            return
        except FileNotFoundError:
            raise
        except OSError:  # urllib's errors are of this kind
            if number == _TRIES - 1:
                raise
            time.sleep(2**number)


def _open_url(url: str, timeout_seconds: float) -> BinaryIO:
    if url.startswith(("http://", "https://")):
        try:
            return urllib.request.urlopen(url, timeout=timeout_seconds)
        except urllib.error.HTTPError as error:
            if error.code in _GONE:
                raise FileNotFoundError(f"{url}: {error}") from error
            raise
    import fsspec  # here and not above: only those who need it have to have it

    return fsspec.open(url, "rb").open()


def _sync_directory(directory: Path) -> None:
    """Make a rename survive a power cut (a no-op where directories cannot be opened, as on Windows)."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
