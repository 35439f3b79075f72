"""Provide a video as a local file: its path below the source, or a temporary copy of a URL."""

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
    """Yield the local path of a video. Raises DecodeError with the URL if it cannot be fetched before ``deadline``."""
    path = os.path.join(job.source, video.path)
    if job.videos_url is None or os.path.exists(path):
        yield path
        return
    url = str(join(job.videos_url, video.path))
    with tempfile.TemporaryDirectory(prefix="superimage-") as folder:
        # Keep the suffix, because ffmpeg recognizes some containers by it. The name itself may be too long.
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
        raise DecodeError(reasons.TIME_LIMIT, f"{url}: the download took longer than timeout_seconds allows")
