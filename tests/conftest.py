"""Fixtures that several test files share."""

import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from media import h264, numbered_frames, write_video
from places import SHARED

from preprocess.run.ray_session import local_environment

# For every Ray that a test starts by itself: without one Ray writes a token into the home directory.
os.environ["RAY_AUTH_MODE"] = "token"
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)

FORMATS = (
    (".mp4", {"vcodec": "libx264", "preset": "ultrafast"}),
    (".webm", {"vcodec": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8}),
    (".avi", {"vcodec": "mpeg4", "qscale": 3}),
)


@pytest.fixture(scope="session")
def video_folder(tmp_path_factory) -> Path:
    """``<split>/<class>/<video>``: 12 training and 6 validation videos of two classes, three codecs, several sizes."""
    root = tmp_path_factory.mktemp("videos")
    for split, count in (("train", 6), ("validation", 3)):
        for name in ("left", "right"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                suffix, options = FORMATS[number % len(FORMATS)]
                frames = numbered_frames(20 + 3 * number, width=96 + 16 * (number % 2), height=64)
                write_video(folder / f"{name} {number}{suffix}", frames, **options)
    return root


@pytest.fixture(scope="session")
def local_ray() -> Iterator[str]:
    """One Ray for all conversions in this process, each of which would otherwise take seconds to start its own.

    Its address, for those in other processes.
    """
    import ray

    # A token of its own, as our command has it: ~/.ray may hold one that another program replaces meanwhile.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in local_environment().items():
            patch.setenv(name, value)
        ray.init(
            address="local", num_cpus=3, include_dashboard=False, object_store_memory=100 << 20, logging_level="error"
        )
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


@pytest.fixture
def as_if_alone() -> Iterator[None]:
    """For runs of the trainer in this process: one thread, and no handler of one run left to write into the next's.

    Such a handler would write to a stream that pytest has closed.
    """
    import torch

    threads, handlers, level = torch.get_num_threads(), list(logging.root.handlers), logging.root.level
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    for handler in set(logging.root.handlers) - set(handlers):
        logging.root.removeHandler(handler)
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The real clips and lists that do not belong to the repository."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real clips of {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def numbered_video(tmp_path_factory) -> Path:
    """40 numbered frames in H.264 with B-frames."""
    return h264(tmp_path_factory.mktemp("numbered") / "numbered.mp4")
