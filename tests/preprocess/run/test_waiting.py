"""While other jobs hold every core the run says that it waits, and no rate counts the time."""

import json
import subprocess
import sys

import pytest
from conversion import Run, command, wait_for
from ray.cluster_utils import Cluster

from preprocess.run.progress import Progress, Snapshot, line_of, waiting_for

HOLD_EVERY_CORE = """
import sys, time, pathlib, ray
address, mark = sys.argv[1:]
ray.init(address, logging_level="error")
@ray.remote(num_cpus=1)
def hold():
    pathlib.Path(mark).touch()
    time.sleep(1_000_000)
ray.get([hold.remote() for _ in range(int(ray.cluster_resources()["CPU"]))])
"""


@pytest.fixture
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 << 20})
    yield cluster
    cluster.shutdown()


def test_a_run_that_waits_for_another_job_says_so_and_then_goes_on(cluster, video_folder, tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD_EVERY_CORE, cluster.address, str(tmp_path / "holds")])
    wait_for((tmp_path / "holds").exists)
    joining = ["--ray-address", cluster.address, "--progress", "json"]
    run = Run([*command(tmp_path, video_folder, tmp_path / "out", workers=1), *joining])
    for line in run.process.stderr:
        if "waiting for" in line:
            break
    assert json.loads(line)["waiting"] == "waiting for a free core (0 of 1)"
    assert json.loads(line)["seconds_left"] is None
    holder.kill()
    holder.wait()
    status, _, err = run.finish()
    assert status == 0, err
    (*_, last) = [event for event in map(json.loads, err.splitlines()) if event["event"] == "progress"]
    assert last["waiting"] is None
    assert last["waited_seconds"] >= 5
    assert last["videos_per_second"] == pytest.approx(18 / last["seconds"], rel=0.1)


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Shown:
    def __init__(self):
        self.snapshots: list[Snapshot] = []

    def show(self, snapshot: Snapshot, *, last: bool) -> None:
        self.snapshots.append(snapshot)


def test_neither_rate_nor_time_left_counts_the_time_without_a_core():
    clock, shown = Clock(), Shown()
    progress = Progress(total=100, sinks=[shown], clock=clock)
    progress.waits(0, 2)
    clock.now = 48
    progress.waits(0, 2)
    progress.works()
    clock.now = 50
    progress.reached("a", videos=20, failures=0)
    clock.now = 60  # idle again, and for less than is worth a word
    progress.waits(0, 2)
    clock.now = 61
    progress.waits(0, 2)
    progress.finish()
    waiting, working, last = shown.snapshots
    assert line_of(waiting) == "0 of 100 videos (0.0 %), waiting for a free core (0 of 2)"
    assert (working.seconds, working.waited_seconds, working.seconds_left) == (2, 48, 8)
    assert (last.seconds, last.waited_seconds, last.waiting) == (12, 49, None)


def test_what_the_run_waits_for_is_named():
    assert waiting_for(0, 2) == "waiting for a free core (0 of 2)"
    assert waiting_for(1, 2) == "waiting for workers to start (1 of 2 cores free)"
