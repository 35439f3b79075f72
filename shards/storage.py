"""Access to disks and URLs. Local paths are read and written, URLs are only read.

http and https work by themselves. s3, gs and the other protocols of fsspec need the package that its error names.
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

# The waits between tries are 1, 2, 4, ... seconds.
_TRIES, _STREAM_TRIES = 3, 6
_STREAM_TIMEOUT_SECONDS = 60
_BUFFER_BYTES = 1 << 20
_FORBIDDEN = (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN)
_GONE = (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE)
# Client errors that may disappear in another try.
_PASSING = (http.HTTPStatus.REQUEST_TIMEOUT, http.HTTPStatus.TOO_MANY_REQUESTS)
_TEMPORARY_SUFFIX = ".partial"


class UnreachableError(OSError):
    """A URL cannot be read, or all tries to read it failed."""


class ForbiddenError(UnreachableError):
    """The server refuses access to a URL."""


def is_url(location: str | Path) -> bool:
    return "://" in str(location)


def local_path(location: str | Path) -> Path:
    """The path of a local location. Raises ValueError for a URL."""
    if is_url(location):
        raise ValueError(f"{location}: must be a local path; copy or mount it first")
    return Path(location)


def join(root: str | Path, name: str) -> str | Path:
    """The path or URL of a file below a directory or URL.

    ``("https://host/videos?sig=1", "a b.mp4") -> "https://host/videos/a%20b.mp4?sig=1"``. For http and https, the name
    is quoted and a query stays at the end. For s3, gs and all other protocols, the name is an object key and is not
    quoted.
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
    """Open a file to read it from start to end. Raises FileNotFoundError, and UnreachableError for a URL."""
    if is_url(location):
        return _stream(str(location), timeout_seconds=_STREAM_TIMEOUT_SECONDS, tries=_STREAM_TRIES)
    return open(location, "rb")


def exists(location: str | Path) -> bool:
    """Whether a file exists and can be read. Raises UnreachableError if a server does not answer.

    Reads one byte, since many servers and signed URLs refuse HEAD requests. If access is forbidden (403), the file is
    taken to be missing: S3 answers so for a missing file if the bucket may not be listed.
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
    """Open a file for atomic writing: to a temporary file beside it, which is synced and then renamed.

    The directory must exist, so that a directory removed during a job does not come back incomplete. Each writer has
    its own temporary file, so that a retried task does not overwrite the file of the first try.
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
    """Write bytes by ``whole_file``. Creates the directory if it is missing."""
    local_path(location).parent.mkdir(parents=True, exist_ok=True)
    with whole_file(location) as file:
        file.write(content)


def remove_partial_files(directory: str | Path, name: str = "*") -> int:
    """Delete the temporary files of interrupted writers of ``name`` in ``directory``; returns their number.

    Do not call it while these files are being written.
    """
    leftovers = list(local_path(directory).glob(f".{name}.*{_TEMPORARY_SUFFIX}"))
    for path in leftovers:
        path.unlink(missing_ok=True)
    return len(leftovers)


def fetch(url: str, path: str | Path, *, timeout_seconds: float) -> None:
    """Copy ``url`` to ``path``. Network errors are retried twice.

    Raises FileNotFoundError if the server has no such file, UnreachableError if it cannot be read.
    """
    with _stream(url, timeout_seconds=timeout_seconds, tries=_TRIES) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target)


class _Download(io.RawIOBase):
    """A stream of a URL. A broken connection resumes at the same byte."""

    def __init__(self, url: str, *, timeout_seconds: float, tries: int):
        self._url = url
        self._timeout_seconds = timeout_seconds
        self._tries = tries
        self._position = 0
        self._size: int | None = None
        self._source: Any = None  # a file object of fsspec or urllib, which has readinto()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:  # a writable buffer; its type has a name since Python 3.12
        number = 0
        while True:
            try:
                return self._read_some(buffer)
            except (FileNotFoundError, UnreachableError):
                raise
            # Each library behind fsspec raises its own kinds of errors.
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
    """(stream of ``url`` from a byte position on, total number of bytes or None if the server does not say)."""
    if _is_http(url):
        return _open_http_at(url, position, timeout_seconds)
    import fsspec  # imported here, since only these protocols need it

    try:
        opener = fsspec.open(url, "rb")
    except (ImportError, ValueError) as error:  # the package is not installed, or the protocol is unknown
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
    _skip(response, position)  # the server does not support ranges and sends the whole file
    size = response.headers["Content-Length"]
    return response, int(size) if size else None


def _skip(source: BinaryIO, num_bytes: int) -> None:
    while num_bytes:
        skipped = len(source.read(min(num_bytes, _BUFFER_BYTES)))
        if not skipped:
            raise EOFError(f"the file is {num_bytes} bytes shorter than before")
        num_bytes -= skipped


def _sync_directory(directory: Path) -> None:
    """Make a rename survive a power failure. Does nothing on Windows, where directories cannot be opened."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
