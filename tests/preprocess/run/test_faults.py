"""Whatever happens to a conversion, the same command goes on, and the shards come out byte for byte the same."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from conversion import CONFIG, Run, command, hashes, needs_mount, num_records, parent_of, wait_for
from media import h264
from places import FAULTS, ROOT

from preprocess.__main__ import main
from shards.check import check_directory
from shards.records import read_all_records

LAYOUTS = tuple(CONFIG["layouts"])
SHARDS = 6  # 4 of train, 2 of validation


@pytest.fixture(scope="module")
def undisturbed(video_folder, tmp_path_factory, local_ray):
    """The hashes of a conversion that nothing happens to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(command(folder, video_folder, folder / "out")) == 0
    found = hashes(folder / "out")
    assert len(found) == 2 * (4 * 2 + 2 * 3)
    return found


def assert_nothing_is_half_written(output):
    for layout in LAYOUTS:
        if (output / layout).exists():
            for record in read_all_records(output / layout):
                for tar in record.tars:
                    assert (output / layout / tar.name).stat().st_size == tar.bytes


def assert_whole(output, undisturbed):
    assert hashes(output) == undisturbed
    for layout in LAYOUTS:
        assert check_directory(output / layout).problems == []
        assert not list((output / layout).rglob("*.partial"))


def joining(address, arguments):
    """The same command in a Ray that runs already: a start of its own would take seconds."""
    return [*arguments, "--ray-address", address]


def kill_driver_at(records, arguments, output):
    run = Run(arguments)
    wait_for(lambda: num_records(output) >= records)
    run.signal(signal.SIGKILL)
    run.finish()


def test_a_driver_that_is_killed_over_and_over(undisturbed, video_folder, tmp_path, local_ray):
    arguments = command(tmp_path, video_folder, tmp_path / "out", workers=1)
    for records in (2, 7):
        kill_driver_at(records, arguments, tmp_path / "out")
        assert_nothing_is_half_written(tmp_path / "out")
        assert num_records(tmp_path / "out") >= records
    assert main(arguments) == 0
    assert_whole(tmp_path / "out", undisturbed)


def test_workers_and_decoders_that_are_killed_are_replaced_unnoticed(undisturbed, video_folder, tmp_path):
    run = Run(command(tmp_path, video_folder, tmp_path / "out"))
    rng = random.Random(1)
    killed = Counter()
    while run.process.poll() is None and killed.total() < 8:
        decoders = run.decoders()
        if decoders:
            decoder = rng.choice(decoders)
            who = ("worker", "decoder")[killed.total() % 2]
            victim = parent_of(decoder) if who == "worker" else decoder
            if victim and kill(victim):
                killed[who] += 1
    status, out, _ = run.finish()
    assert status == 0
    assert min(killed.values()) >= 2
    assert "18 of 18 videos: 0 failed" in out
    assert_whole(tmp_path / "out", undisturbed)


def kill(pid):
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def test_videos_that_kill_their_decoder_are_left_out_by_name_and_their_shards_are_made(video_folder, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(video_folder, source)
    sound = h264(tmp_path / "sound.mp4", 20)
    for name in ("crash", "bloat", "killed_once"):  # one that hangs takes its time: see test_sandbox.py
        shutil.copy(sound, source / "train" / "left" / f"{name}.mp4")
    changes = {"memory_limit_mb": 300, "max_failures": 0.5}
    status, out, err = Run(command(tmp_path, source, tmp_path / "out", changes=changes), faults=True).finish()
    assert status == 0, err
    assert "19 of 21 videos: 2 failed" in out
    records = read_all_records(tmp_path / "out" / "grid")
    assert {failure.path: failure.reason for record in records for failure in record.failures} == {
        "train/left/crash.mp4": "decoder crashed",
        "train/left/bloat.mp4": "memory limit",
    }
    for path in ("crash", "bloat"):
        assert f"left out: train/left/{path}.mp4" in err
    for layout in LAYOUTS:
        report = check_directory(tmp_path / "out" / layout)
        assert report.problems == []
        assert report.samples == 13 * 2 + 6 * 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_says_how_to_go_on(number, undisturbed, video_folder, tmp_path, local_ray):
    arguments = command(tmp_path, video_folder, tmp_path / "out", workers=1)
    run = Run(arguments if number == signal.SIGINT else joining(local_ray, arguments))
    wait_for(lambda: num_records(tmp_path / "out") >= 1)
    run.signal(number, group=number == signal.SIGINT)  # a terminal interrupts them all, a scheduler the one it started
    status, _, err = run.finish()
    assert status == 130
    assert "Traceback" not in err
    assert_nothing_is_half_written(tmp_path / "out")
    again = shlex.split(err.strip().splitlines()[-1])
    assert again[:3] == ["python", "-m", "preprocess"]
    assert main(again[3:]) == 0
    assert_whole(tmp_path / "out", undisturbed)


@needs_mount
def test_a_full_disk_ends_the_run_and_room_lets_it_go_on(undisturbed, video_folder, tmp_path):
    (tmp_path / "out").mkdir()
    arguments = [sys.executable, "-m", "preprocess", *command(tmp_path, video_folder, tmp_path / "out", workers=1)]
    script = [sys.executable, str(FAULTS / "small_disk.py"), str(tmp_path / "out"), "300", *arguments]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", *script], capture_output=True, text=True, cwd=ROOT, timeout=240
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    full, roomy = result["runs"]
    assert full["status"] == 2
    assert "No space left on device" in full["stderr"].strip().splitlines()[-1]
    assert "Traceback" not in full["stderr"]
    assert not [name for name in full["files"] if name.endswith(("_info.json", ".partial"))]
    assert roomy["status"] == 0
    made = {
        f"{Path(name).parts[0]}/{tar['name']}": tar["sha256"]
        for name, record in result["records"].items()
        for tar in record["tars"]
    }
    assert made == undisturbed


def test_an_output_that_is_removed_ends_the_run_and_is_not_made_half_again(video_folder, tmp_path, local_ray):
    run = Run(joining(local_ray, command(tmp_path, video_folder, tmp_path / "out", workers=1)))
    wait_for(lambda: num_records(tmp_path / "out") >= 1)
    # Renamed, which is one step: a walk that deletes would meet the files the worker is still making.
    (tmp_path / "out").rename(tmp_path / "removed")
    status, _, err = run.finish()
    assert status == 2
    assert "removed" in err.strip().splitlines()[-1]
    assert "Traceback" not in err
    assert not list((tmp_path / "out").rglob("*.tar"))


def test_a_clock_that_goes_back_changes_nothing(undisturbed, video_folder, tmp_path):
    arguments = command(tmp_path, video_folder, tmp_path / "out")
    status, _, err = Run(arguments, faults=True, TEST_CLOCK_GOES_BACK="1").finish()
    assert status == 0, err
    assert_whole(tmp_path / "out", undisturbed)


def test_two_conversions_into_one_output_do_not_mix(undisturbed, video_folder, tmp_path, capsys, local_ray):
    arguments = command(tmp_path, video_folder, tmp_path / "out", workers=1)
    run = Run(joining(local_ray, arguments))
    wait_for(lambda: num_records(tmp_path / "out") >= 1)
    assert main(arguments) == 2
    assert "another conversion is running there" in capsys.readouterr().err
    assert run.finish()[0] == 0
    assert_whole(tmp_path / "out", undisturbed)
