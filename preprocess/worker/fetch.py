"""A video as a local file: where it lies below the source, or fetched from a URL for as long as it is needed."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator

from preprocess import reasons
from preprocess.annotations.dataset import Video
from preprocess.decode.source import DecodeError
from preprocess.worker.messages import Job
from shards.storage import fetch, join


@contextlib.contextmanager
def local_file(job: Job, video: Video, *, deadline: float) -> Iterator[str]:
    """The path of a video; DecodeError for one that cannot be fetched before ``deadline``, with its URL for a name."""
    path = os.path.join(job.source, video.path)
    if job.videos_url is None or os.path.exists(path):
        yield path
        return
    url = str(join(job.videos_url, video.path))
    with tempfile.TemporaryDirectory(prefix="superimage-") as folder:
        # Its suffix, since some containers are told by that; not its name, which may be of any length.
        copy = os.path.join(folder, "video" + os.path.splitext(video.path)[1])
        _fetch(url, copy, deadline)
        yield copy


def _fetch(url: str, copy: str, deadline: float) -> None:
    try:
        fetch(url, copy, timeout_seconds=max(deadline - time.monotonic(), 0.001))
    except FileNotFoundError as error:
        raise DecodeError(reasons.MISSING_FILE, str(error)) from error
    except OSError as error:
        raise DecodeError(reasons.NOT_FETCHED, f"{url}: {error}") from error
    if time.monotonic() > deadline:
        raise DecodeError(reasons.TIME_LIMIT, f"{url}: to fetch it took longer than timeout_seconds allows")
