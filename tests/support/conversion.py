"""A small conversion for the tests: its configuration, its command line, its process and the bytes that it leaves."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml
from places import FAULTS, ROOT

from shards.records import read_all_records

CONFIG = {
    "annotations": {"format": "folder"},
    "seed": 3,
    "samples_per_shard": 3,
    "layouts": {
        "grid": {"frames": 8, "tile": 48},
        "strip": {"frames": 4, "tile": 32, "grid": "1x4", "order": "random", "pad": "none"},
    },
    "splits": {
        "train": {"mode": "train", "views": 2, "crop": "center"},
        "validation": {"mode": "test", "clips": 1, "crops": 3},
    },
    "encoding": {"format": "png"},
}
_MARK = "SUPERIMAGE_TEST_RUN"


def command(folder: Path, source: Path, output: Path, *, changes: dict | None = None, workers: int = 2) -> list[str]:
    """The arguments of ``python -m preprocess``; the configuration is written into ``folder``."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, **(changes or {})}), encoding="utf-8")
    return ["--config", str(path), "--source", str(source), "--output", str(output), "--workers", str(workers)]


def hashes(output: Path) -> dict[str, str]:
    """SHA-256 by tar of every layout below ``output``."""
    layouts = sorted(path.parent.name for path in output.glob("*/_records"))
    return {
        f"{layout}/{tar.name}": tar.sha256
        for layout in layouts
        for record in read_all_records(output / layout)
        for tar in record.tars
    }


@contextlib.contextmanager
def default_interrupts() -> Iterator[None]:
    """Child processes started inside get the default SIGINT: a shell starts background jobs with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Run:
    """``python -m preprocess`` as a process in a group of its own, its workers told from those of other runs."""

    def __init__(
        self,
        arguments: list[str],
        *,
        faults: bool = False,
        code: Path = ROOT,
        wrapper: Sequence[str] = (),
        **environment: str,
    ):
        self._mark = uuid.uuid4().hex
        path = os.pathsep.join([*([str(FAULTS)] if faults else []), str(code)])
        with default_interrupts():
            self.process = subprocess.Popen(
                [*wrapper, sys.executable, "-m", "preprocess", *arguments],
                cwd=code,
                env={**os.environ, "PYTHONPATH": path, _MARK: self._mark, **environment},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )

    def finish(self, seconds: float = 240) -> tuple[int, str, str]:
        """(exit status, standard output, standard error)."""
        out, err = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, err

    def signal(self, number: int, *, group: bool = False) -> None:
        """To the driver; to its whole group as Ctrl-C on a terminal does."""
        (os.killpg if group else os.kill)(self.process.pid, number)

    def processes(self) -> list[int]:
        """Its process ids: the driver's, and those of the Ray that it started for itself, workers and decoders."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_ours(path)]

    def decoders(self) -> list[int]:
        """The process ids of its decoders; the parent of one is a Ray worker."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_decoder(path)]

    def _is_decoder(self, process: Path) -> bool:
        try:
            return b"preprocess.worker.child" in (process / "cmdline").read_bytes() and self._is_ours(process)
        except OSError:  # it has just ended
            return False

    def _is_ours(self, process: Path) -> bool:
        try:
            return f"{_MARK}={self._mark}".encode() in (process / "environ").read_bytes()
        except OSError:  # it has just ended
            return False


def can_mount() -> bool:
    """Whether this user may mount in a name space of its own."""
    if not shutil.which("unshare"):
        return False
    return subprocess.run(["unshare", "--map-root-user", "--mount", "true"], capture_output=True).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="needs unshare --map-root-user --mount")


def parent_of(pid: int) -> int | None:
    """None for a process that has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


def num_records(output: Path) -> int:
    return len(list(output.glob("*/_records/*-[0-9]*.json")))


def wait_for(condition, seconds: float = 120):
    """The first true value of ``condition()``."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
    return value
