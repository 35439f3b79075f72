"""The Ray that a conversion starts on this machine: it needs no home, leaves nothing, and nobody else reaches it."""

import os
import signal
import stat
import tempfile
import time
from pathlib import Path

import pytest
from conversion import Run, command, needs_mount, num_records, wait_for
from ray_nodes import seeing

from preprocess.run.private_directory import MAX_BASE_BYTES, private_directory

LISTENS = "0A"


@pytest.fixture
def short(monkeypatch):
    """A temporary directory whose path is short, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="t-", dir="/tmp") as folder:
        yield Path(folder)


@needs_mount
@pytest.mark.skipif(os.getuid() != 0, reason="a home that root cannot write to takes a mount of root's")
def test_a_home_that_cannot_be_written_to_is_no_obstacle(video_folder, tmp_path):
    (tmp_path / "home").mkdir()
    wrapper = seeing('mount -t tmpfs -o ro tmpfs "$1"', tmp_path / "home")
    arguments = command(tmp_path, video_folder, tmp_path / "out")
    status, _, err = Run(arguments, wrapper=wrapper, HOME=str(tmp_path / "home")).finish()
    assert status == 0, err


def test_the_local_ray_is_private_while_it_runs_and_leaves_nothing(video_folder, tmp_path, short):
    home = tmp_path / "home"
    home.mkdir()
    run = Run(command(tmp_path, video_folder, tmp_path / "out"), TMPDIR=str(short), HOME=str(home))
    wait_for(lambda: num_records(tmp_path / "out") >= 1)
    addresses = listening(run.processes())
    (folder,) = short.glob("si-ray-*")
    mode = stat.S_IMODE(folder.stat().st_mode)
    status, out, err = run.finish()
    assert status == 0, err
    assert addresses, "Ray listens to its own processes"
    assert all(is_loopback(address) for address in addresses), addresses
    assert mode == 0o700
    assert not list(short.glob("si-ray-*"))
    assert not list(home.rglob("*token*"))
    assert out.splitlines()[0].split(":")[0] == "18 of 18 videos"
    assert len(out.splitlines()) == 4  # the count, two layouts, the report: Ray prints none of its lines there


def listening(processes: list[int]) -> set[str]:
    """The addresses, in the kernel's hexadecimal, at which the processes accept connections."""
    tables = [Path(f"/proc/net/{name}").read_text(encoding="utf-8").splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    address_of = {row[9]: row[1].split(":")[0] for row in rows if row[3] == LISTENS}
    return {address_of[inode] for pid in processes for inode in sockets_of(pid) if inode in address_of}


def sockets_of(pid: int) -> list[str]:
    inodes = []
    for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
        try:
            target = os.readlink(descriptor)
        except OSError:  # closed since
            continue
        if target.startswith("socket:["):
            inodes.append(target[8:-1])
    return inodes


def is_loopback(address: str) -> bool:
    """127.0.0.1 or ::ffff:127.0.0.1 or ::1, as little-endian words."""
    return address in {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}


def test_a_long_temporary_directory_does_not_reach_the_sockets(video_folder, tmp_path):
    long = tmp_path / ("long" * 40)
    long.mkdir()
    status, _, err = Run(command(tmp_path, video_folder, tmp_path / "out"), TMPDIR=str(long)).finish()
    assert status == 0, err


def test_the_longest_directory_that_is_allowed_serves(video_folder, tmp_path, short):
    longest = short / ("x" * (MAX_BASE_BYTES - len(str(short)) - 1))
    longest.mkdir()
    run = Run(command(tmp_path, video_folder, tmp_path / "out"), RAY_TMPDIR=str(longest))
    wait_for(lambda: num_records(tmp_path / "out") >= 1)
    assert list(longest.glob("*/r/session_*/sockets/plasma_store"))
    status, _, err = run.finish()
    assert status == 0, err


@pytest.mark.parametrize(
    ("made", "reason"),
    [("long" * 40, "Ray's sockets leave room for"), (None, "No such file"), ("file", "not a directory")],
)
def test_a_directory_for_ray_that_does_not_serve_is_named_with_its_variable(made, reason, monkeypatch, short):
    path = short / (made or "absent")
    if made == "file":
        path.touch()
    elif made:
        path.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(path))
    with pytest.raises(OSError, match="set RAY_TMPDIR to a directory") as error, private_directory():
        pass
    assert reason in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_directory_where_every_user_may_rename_is_refused(monkeypatch, short):
    (short / "open").mkdir()
    (short / "open").chmod(0o777)
    monkeypatch.setenv("RAY_TMPDIR", str(short / "open"))
    with pytest.raises(OSError, match="no sticky bit"), private_directory():
        pass


def test_what_a_killed_run_left_behind_is_removed_and_what_another_uses_is_not(monkeypatch, short):
    monkeypatch.setenv("RAY_TMPDIR", str(short))
    (short / "si-ray-abandoned" / "r").mkdir(parents=True)
    (short / "si-ray-begun").mkdir()
    an_hour_ago = time.time() - 3600
    os.utime(short / "si-ray-abandoned", (an_hour_ago, an_hour_ago))
    with private_directory() as first:
        os.utime(Path(first).parent, (an_hour_ago, an_hour_ago))
        with private_directory() as second:
            left = {path.name for path in short.iterdir()}
            assert left == {Path(first).parent.name, Path(second).parent.name, "si-ray-begun"}
    assert [path.name for path in short.iterdir()] == ["si-ray-begun"]


def test_ctrl_c_over_and_over_ends_as_one_does(video_folder, tmp_path):
    run = Run(command(tmp_path, video_folder, tmp_path / "out", workers=1))
    wait_for(lambda: num_records(tmp_path / "out") >= 1)
    for _ in range(5):
        run.signal(signal.SIGINT, group=True)
        time.sleep(0.1)
    status, out, err = run.finish()
    assert status == 130, err
    assert "Traceback" not in err
    assert err.count("preprocess: interrupted") == 1
    assert out == ""
    wait_for(lambda: not run.processes(), seconds=30)
