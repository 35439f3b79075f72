"""A decoder process that crashes, hangs, bloats or is killed: the video is blamed by name, and only the guilty one."""

import dataclasses
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from media import h264
from places import FAULTS, ROOT

from preprocess.annotations.dataset import Video
from preprocess.config.schema import config_from
from preprocess.plan import VideoBatch
from preprocess.worker.batch import write_batch
from preprocess.worker.messages import Job, UnfitNodeError
from preprocess.worker.sandbox import Sandbox
from preprocess.worker.video import make_samples
from shards.read import iter_samples

CONFIG = {
    "annotations": {"format": "folder"},
    "layouts": {"grid": {"frames": 4, "tile": 32}},
    "splits": {"train": {"mode": "train", "views": 2}},
    "timeout_seconds": 120,
    "memory_limit_mb": 200,
    "decoder": "pyav",
}


@pytest.fixture(scope="module")
def sound_video(tmp_path_factory):
    return h264(tmp_path_factory.mktemp("sound") / "sound.mp4", 20)


@pytest.fixture
def job(tmp_path, sound_video, monkeypatch):
    """Videos that are all sound, but for what their names do to the decoder."""
    monkeypatch.syspath_prepend(str(FAULTS))
    for name in ("crash", "hang", "bloat", "killed_once", "bug", "one", "two"):
        shutil.copy(sound_video, tmp_path / f"{name}.mp4")
    return job_in(tmp_path)


def job_in(source, **changes):
    config = config_from({**CONFIG, **changes}, "test")
    return Job(config=config, source=str(source), output="unused", class_names=("a",), digest="d")


def video(name):
    return Video(key=name, path=f"{name}.mp4", labels=(0,))


def samples(converted):
    return list(converted.samples.values())


def test_samples_that_cannot_be_written_fail_their_video_alone(job, tmp_path, monkeypatch):
    """One video's metadata cannot be stored, another lacks a view; the tars hold the others, and all the same ones."""
    real = Sandbox.result_of

    def convert(self, split, one):
        converted = real(self, split, one)
        if one.key == "crash":
            *_, (tar, last) = converted.samples.items()
            bad = dataclasses.replace(last, metadata={"path": {1}})
            return dataclasses.replace(converted, samples={**converted.samples, tar: bad})
        if one.key == "hang":
            return dataclasses.replace(converted, samples=dict(list(converted.samples.items())[:1]))
        return converted

    monkeypatch.setattr(Sandbox, "result_of", convert)
    for name in ("crash", "hang"):  # here only their names: the fault would need the file to be read
        shutil.copy(tmp_path / "one.mp4", tmp_path / f"sound_{name}.mp4")
    job = dataclasses.replace(job, output=str(tmp_path / "out"))
    (tmp_path / "out" / "grid" / "_records").mkdir(parents=True)
    (tmp_path / "out" / "_statistics").mkdir()
    videos = tuple(Video(key=key, path=f"{path}.mp4", labels=(0,)) for key, path in PATHS.items())
    *_, last = write_batch(job, VideoBatch(split="train", number=0, videos=videos))
    record = last.records["grid"]
    assert {failure.video: failure.reason for failure in record.failures} == dict.fromkeys(
        ("crash", "hang"), "unexpected error"
    )
    assert all(failure.path in failure.detail or "samples" in failure.detail for failure in record.failures)
    for tar in record.tars:
        keys = [sample.metadata["video"] for sample in iter_samples(tmp_path / "out" / "grid" / tar.name)]
        assert keys == ["one", "two"]


PATHS = {"crash": "sound_crash", "one": "one", "hang": "sound_hang", "two": "two"}


def test_the_samples_are_those_of_this_process_byte_for_byte(job):
    with Sandbox(job) as sandbox:
        converted = sandbox.result_of("train", video("one"))
    here = make_samples(job, "train", video("one"))
    assert samples(converted) == samples(here)
    assert len(samples(here)) == 2
    statistics = converted.statistics
    assert (statistics.decoder, statistics.codec, statistics.width, statistics.height, statistics.num_frames) == (
        "pyav",
        "h264",
        96,
        64,
        20,
    )
    assert statistics.bytes == os.path.getsize(Path(job.source) / "one.mp4")
    assert statistics.duration_seconds == pytest.approx(20 / 25)


BLAMED = {
    "crash": ("decoder crashed", "SIGSEGV"),
    "bloat": ("memory limit", "memory_limit_mb=200"),
    "bug": ("unexpected error", "AttributeError: an exception that nobody foresaw, at sitecustomize.py:"),
}


def test_a_decoder_that_fails_as_nobody_foresaw_leaves_the_video_to_the_next(job):
    job = job_in(job.source, decoder="auto")
    with Sandbox(job) as sandbox:
        converted = sandbox.result_of("train", video("bug"))
    assert converted.failure is None
    assert len(converted.samples) == 2
    assert (converted.statistics.decoder, converted.statistics.fallback_reason) == ("ffmpeg", "unexpected error")


@pytest.mark.parametrize("name", BLAMED)
def test_a_video_that_ends_its_decoder_is_blamed_and_the_next_ones_are_not(name, job):
    reason, detail = BLAMED[name]
    with Sandbox(job) as sandbox:
        assert sandbox.result_of("train", video("one")).failure is None
        failure = sandbox.result_of("train", video(name)).failure
        after = sandbox.result_of("train", video("two"))
    assert (failure.video, failure.path, failure.reason) == (name, f"{name}.mp4", reason)
    assert detail in failure.detail
    assert samples(after) == samples(make_samples(job, "train", video("two")))


def test_a_video_that_never_ends_is_cut_off_from_outside(job, monkeypatch):
    """The hang holds the interpreter's lock, so no clock inside its process can run."""
    monkeypatch.setattr("preprocess.worker.sandbox._LEAST_GRACE_SECONDS", 1)
    job = job_in(job.source, timeout_seconds=1)
    with Sandbox(job) as sandbox:
        began = time.monotonic()
        failure = sandbox.result_of("train", video("hang")).failure
        assert time.monotonic() - began < 60
    assert (failure.video, failure.reason) == ("hang", "time limit")


def test_a_decoder_that_is_killed_over_an_innocent_video_is_replaced(job):
    with Sandbox(job) as sandbox:
        converted = sandbox.result_of("train", video("killed_once"))
    assert (Path(job.source) / "killed_once.was-killed").exists()
    assert converted.failure is None
    assert len(converted.samples) == 2


def test_a_long_video_ends_by_the_clock_of_its_decoder(tmp_path):
    h264(tmp_path / "long.mp4", 3000, width=320, height=240, preset="ultrafast")
    with Sandbox(job_in(tmp_path, timeout_seconds=0.005)) as sandbox:
        failure = sandbox.result_of("train", video("long")).failure
    assert failure.reason == "time limit"
    assert "no answer" not in failure.detail


def test_a_machine_with_other_libraries_is_refused(job):
    """Its bytes would be others than those of the rest."""
    strange = dataclasses.replace(job, versions={**job.versions, "av": "0.1"})
    with pytest.raises(UnfitNodeError, match=r"av 0\.1 and"), Sandbox(strange) as sandbox:
        sandbox.result_of("train", video("one"))


def test_no_process_is_left_behind(job):
    with Sandbox(job) as sandbox:
        sandbox.result_of("train", video("one"))
        child = sandbox._child._process.pid
        assert is_running(child)
    assert not is_running(child)


def test_the_decoder_dies_with_its_worker(job, tmp_path):
    """Even where it is deep in a decoder's loop and reads no commands."""
    code = (
        "import pickle, sys\n"
        "from preprocess.worker.sandbox import Sandbox\n"
        "job, video = pickle.load(open(sys.argv[1], 'rb'))\n"
        "Sandbox(job).result_of('train', video)\n"
    )
    (tmp_path / "job").write_bytes(pickle.dumps((job, video("hang"))))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(FAULTS), str(ROOT)])}
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "job")], env=environment)
    wait_for((tmp_path / "hang.hangs").exists)
    (child,) = children_of(worker.pid)
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    wait_for(lambda: not is_running(child))


def test_the_decoder_outlives_the_thread_that_started_it(job):
    """A worker may convert each video in another thread."""
    with Sandbox(job) as sandbox:
        children = []
        for name in ("one", "two", "one"):
            thread = threading.Thread(target=lambda name=name: sandbox.result_of("train", video(name)))
            thread.start()
            thread.join()
            wait_for(lambda number=thread.native_id: not Path(f"/proc/self/task/{number}").exists())
            children.append(sandbox._child._process.pid)
        assert len(set(children)) == 1
        assert is_running(children[0])


def test_the_children_of_a_decoder_die_with_its_worker_too(tmp_path):
    """Such as the ffmpeg command, which no signal to the decoder alone would reach."""
    code = (
        "import os, subprocess, sys, time\n"
        "from preprocess.worker.child import _die_with_the_writer_of\n"
        "_die_with_the_writer_of(int(sys.argv[1]))\n"
        "child = subprocess.Popen(['sleep', '1000'])\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    lifeline, held = os.pipe()
    decoder = subprocess.Popen(
        [sys.executable, "-c", code, str(lifeline)],
        pass_fds=[lifeline],
        stdout=subprocess.PIPE,
        start_new_session=True,
        cwd=ROOT,
    )
    os.close(lifeline)
    with decoder.stdout as output:
        child = int(output.readline())
    assert is_running(child)
    os.close(held)
    assert decoder.wait(60) == -signal.SIGKILL
    wait_for(lambda: not is_running(child))


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=60):
    """The first true value of ``condition()``."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)
    return value
