"""The only door to disks and URLs: local paths are read and written, URLs are read.

http and https need nothing else; s3, gs and all else that fsspec knows need the package that it names.
"""

import contextlib
import http
import io
import os
import shutil
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit, urlunsplit

# Waits of 1, 2, 4, ... seconds between them.
_TRIES, _STREAM_TRIES = 3, 6
_STREAM_TIMEOUT_SECONDS = 60
_BUFFER_BYTES = 1 << 20
_FORBIDDEN = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)
_GONE = (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE)
# Of the client's errors, those that another try may not meet.
_PASSING = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)
_TEMPORARY_SUFFIX = ".partial"


class UnreachableError(OSError):
    """What is behind a URL cannot be read, or could not, however often it was tried."""


class ForbiddenError(UnreachableError):
    """A server that does not let us read what is behind a URL."""


def is_url(location: str | Path) -> bool:
    return "://" in str(location)


def local_path(location: str | Path) -> Path:
    """The path of a local location; ValueError for a URL."""
    if is_url(location):
        raise ValueError(f"{location}: only a local path will do here; copy or mount it first")
    return Path(location)


def join(root: str | Path, name: str) -> str | Path:
    """A file below a directory or a URL.

    ``("https://host/videos?sig=1", "a b.mp4") -> "https://host/videos/a%20b.mp4?sig=1"``. In http and https a name is
    quoted and a query stays at the end. In s3, gs and all other schemes a name is an object's key, taken as it is.
    """
    if not is_url(root):
        return Path(root) / name
    if not _is_http(str(root)):
        return f"{str(root).rstrip('/')}/{name}"
    parts = urlsplit(str(root))
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{quote(name)}"))


def _is_http(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def open_stream(location: str | Path) -> BinaryIO:
    """A file to read from its start to its end. FileNotFoundError, or, behind a URL, UnreachableError."""
    if is_url(location):
        return _stream(str(location), timeout_seconds=_STREAM_TIMEOUT_SECONDS, tries=_STREAM_TRIES)
    return open(location, "rb")


def exists(location: str | Path) -> bool:
    """Whether there is a file that can be read. UnreachableError for a server that does not answer.

    One byte is asked for: many servers and signed URLs refuse HEAD. A server that forbids a path (403) is taken to have
    no such file, as S3 answers where a bucket's list may not be read.
    """
    if not is_url(location):
        return Path(location).is_file()
    try:
        with _Download(str(location), timeout_seconds=_STREAM_TIMEOUT_SECONDS, tries=_TRIES) as source:
            source.read(1)
    except (FileNotFoundError, ForbiddenError):
        return False
    return True


def _stream(url: str, *, timeout_seconds: float, tries: int) -> BinaryIO:
    return io.BufferedReader(_Download(url, timeout_seconds=timeout_seconds, tries=tries), _BUFFER_BYTES)


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

    Raises FileNotFoundError where the server has no such file, UnreachableError where it does not deliver it.
    """
    with _stream(url, timeout_seconds=timeout_seconds, tries=_TRIES) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target)


class _Download(io.RawIOBase):
    """What is behind a URL: a connection that breaks is taken up again where it broke."""

    def __init__(self, url: str, *, timeout_seconds: float, tries: int):
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._tries = tries
        self._position = 0
        self._size: int | None = None
        self._source: Any = None  # any of the file objects of fsspec and urllib, which have readinto()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # a writable buffer, which Python names from 3.12 on only
        number = 0
        while True:
            try:
                return self._read_some(buffer)
            except (FileNotFoundError, UnreachableError):
                raise
            # Every library under fsspec has errors of its own kinds.
            except Exception as error:
                self._disconnect()
                if number == self._tries - 1:
                    raise UnreachableError(f"{self._url}: {error}, after {self._position} bytes") from error
            time.sleep(2**number)
            number += 1

    def _read_some(self, buffer: Any) -> int:
        if self._source is None:
            self._source, self._size = _open_at(self._url, self._position, self._timeout_seconds)
        count = self._source.readinto(buffer)
        if not count and self._size is not None and self._position < self._size:
            raise EOFError(f"the connection ended at {self._position} of {self._size} bytes")
        self._position += count
        return count

    def _disconnect(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            source.close()

    def close(self) -> None:
        self._disconnect()
        super().close()


def _open_at(url: str, position: int, timeout_seconds: float) -> tuple[BinaryIO, int | None]:
    """What is behind ``url`` from a position on, and how long all of it is, if that is told."""
    if _is_http(url):
        return _open_http_at(url, position, timeout_seconds)
    import fsspec  # here and not above: only those who need it have to have it

    try:
        opener = fsspec.open(url, "rb")
    except (ImportError, ValueError) as error:  # its package is not installed, or there is none for such URLs
        raise UnreachableError(f"{url}: {error}") from error
    file = opener.open()
    file.seek(position)
    return file, getattr(file, "size", None)


def _open_http_at(url: str, position: int, timeout_seconds: float) -> tuple[BinaryIO, int | None]:
    request = urllib.request.Request(url, headers={"Range": f"bytes={position}-"} if position else {})
    try:
        response = urllib.request.urlopen(request, timeout=timeout_seconds)
    except urllib.error.HTTPError as error:
        if error.code in _GONE:
            raise FileNotFoundError(f"{url}: {error}") from error
        if error.code in _FORBIDDEN:
            raise ForbiddenError(f"{url}: {error}") from error
        if error.code < http.HTTPStatus.INTERNAL_SERVER_ERROR and error.code not in _PASSING:
            raise UnreachableError(f"{url}: {error}") from error
        raise
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        return response, int(response.headers["Content-Range"].rpartition("/")[2])
    _skip(response, position)  # a server that knows no ranges begins at the beginning
    size = response.headers["Content-Length"]
    return response, int(size) if size else None


def _skip(source: BinaryIO, num_bytes: int) -> None:
    while num_bytes:
        skipped = len(source.read(min(num_bytes, _BUFFER_BYTES)))
        if not skipped:
            raise EOFError(f"it is shorter than it was, by {num_bytes} bytes")
        num_bytes -= skipped


def _sync_directory(directory: Path) -> None:
    """Make a rename survive a power cut (a no-op where directories cannot be opened, as on Windows)."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
