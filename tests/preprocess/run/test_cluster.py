"""A real Ray of several nodes: joined by address, code carried to the workers, a node lost in the middle."""

import json
import shutil

import pytest
import yaml
from conversion import Run, command, hashes, needs_mount, num_records, wait_for
from media import h264
from places import FAULTS, ROOT
from ray.cluster_utils import Cluster

from preprocess.__main__ import main
from shards.check import check_directory


@pytest.fixture(scope="module")
def cluster():
    """A head and two nodes of one core each."""
    quick = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    head = {"num_cpus": 1, "object_store_memory": 80 << 20, "_system_config": quick}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def undisturbed(video_folder, tmp_path_factory, local_ray):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(command(folder, video_folder, folder / "out", workers=1)) == 0
    return hashes(folder / "out")


def joining(cluster, arguments):
    """The same command, in the cluster: as many shards at once as it has cores."""
    at = arguments.index("--workers")
    return [*arguments[:at], *arguments[at + 2 :], "--ray-address", cluster.address]


def test_a_node_is_lost_and_another_comes_and_the_bytes_are_those_of_one_worker(
    cluster, undisturbed, video_folder, tmp_path
):
    run = Run(joining(cluster, command(tmp_path, video_folder, tmp_path / "out")))
    wait_for(lambda: num_records(tmp_path / "out") >= 1)
    lost = cluster.worker_nodes.copy().pop()
    cluster.remove_node(lost, allow_graceful=False)
    cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
    status, out, err = run.finish()
    assert status == 0, err
    assert "18 of 18 videos: 0 failed" in out
    assert hashes(tmp_path / "out") == undisturbed
    for layout in ("grid", "strip"):
        assert check_directory(tmp_path / "out" / layout).problems == []


@needs_mount
def test_the_driver_brings_its_code_to_the_workers(cluster, undisturbed, video_folder, tmp_path):
    """The code lies on a disk that only the driver sees, and tells where it was loaded from."""
    copy, private = tmp_path / "copy", tmp_path / "private"
    for package in ("preprocess", "shards"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    private.mkdir()
    changed = copy / "preprocess" / "worker" / "batch.py"
    text = changed.read_text(encoding="utf-8")
    assert "node=platform.node()" in text
    changed.write_text(text.replace("node=platform.node()", "node=__file__"), encoding="utf-8")
    script = f'mount -t tmpfs tmpfs "{private}" && cp -r "{copy}/." "{private}" && cd "{private}" && exec "$@"'
    wrapper = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    arguments = joining(cluster, command(tmp_path, video_folder, tmp_path / "out"))
    status, _, err = Run(arguments, code=private, wrapper=wrapper).finish()
    assert status == 0, err
    assert not list(private.iterdir())
    statistics = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (tmp_path / "out" / "_statistics").glob("*-[0-9]*.json")
    ]
    assert len(statistics) == 6
    assert all("py_modules_files" in shard["node"] for shard in statistics), {shard["node"] for shard in statistics}
    assert hashes(tmp_path / "out") == undisturbed


def test_the_workers_run_in_the_environment_that_is_named(cluster, video_folder, tmp_path):
    """Here one in which a video's name crashes its decoder: so it is the workers' and not only the driver's."""
    source = tmp_path / "source"
    shutil.copytree(video_folder, source)
    h264(source / "train" / "left" / "crash.mp4", 10)
    environment = tmp_path / "env.yaml"
    environment.write_text(yaml.safe_dump({"env_vars": {"PYTHONPATH": str(FAULTS)}}), encoding="utf-8")
    arguments = joining(cluster, command(tmp_path, source, tmp_path / "out"))
    status, out, err = Run([*arguments, "--runtime-env", str(environment)]).finish()
    assert status == 0, err
    assert "18 of 19 videos: 1 failed" in out
    assert "left out: train/left/crash.mp4: decoder crashed" in err


@needs_mount
@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("auto", "no Ray cluster was found on this machine; start one here with 'ray start --head'"),
        ("127.0.0.1:1", "Connection refused; is 'ray start --head' running there?"),
        ("host.invalid:6379", "is 'ray start --head' running there?"),
    ],
)
def test_where_no_cluster_is_one_line_says_what_to_do(address, words, video_folder, tmp_path):
    arguments = [*command(tmp_path, video_folder, tmp_path / "out"), "--ray-address", address, "--progress", "none"]
    # auto finds any Ray among the processes that it sees, such as that of the other tests.
    alone = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    status, out, err = Run(arguments, wrapper=alone, RAY_TMPDIR=str(tmp_path), RAY_ADDRESS="").finish()
    assert status == 2
    assert out == ""
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"preprocess: --ray-address {address}: ")
    assert words in last
