"""Ray dies in the middle of a conversion: the run says so, says how to go on, and ends with a status of its own."""

import json
import shlex
import shutil

import pytest
import yaml
from conversion import Run, command, hashes, num_records, wait_for
from media import h264
from places import FAULTS
from ray.cluster_utils import Cluster

from preprocess.__main__ import main
from shards.check import check_directory

QUICK = {"RAY_gcs_rpc_server_reconnect_timeout_s": "16"}  # seconds instead of a minute until Ray ends the process


@pytest.fixture
def cluster():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 << 20})
    yield cluster
    for node in cluster.list_all_nodes():
        node.kill_all_processes(check_alive=False, allow_graceful=False)


@pytest.fixture
def endless(video_folder, tmp_path):
    """A source whose conversion reaches a video that hangs its decoder, and the runtime_env in which it does."""
    source = tmp_path / "source"
    shutil.copytree(video_folder, source)
    h264(source / "train" / "right" / "hang.mp4", 10)
    environment = tmp_path / "env.yaml"
    environment.write_text(yaml.safe_dump({"env_vars": {"PYTHONPATH": str(FAULTS)}}), encoding="utf-8")
    return source, environment


def kill(cluster, kind):
    for process in cluster.head_node.all_processes[kind]:
        process.process.kill()


@pytest.mark.parametrize(("kind", "name"), [("gcs_server", "Ray's head"), ("raylet", "Ray's node on this machine")])
def test_the_death_of_ray_is_said_with_the_command_that_goes_on(kind, name, cluster, endless, tmp_path):
    source, environment = endless
    arguments = command(tmp_path, source, tmp_path / "out", changes={"timeout_seconds": 600})
    joining = ["--ray-address", cluster.address, "--runtime-env", str(environment), "--progress", "json"]
    run = Run([*arguments, *joining], **QUICK)
    wait_for((source / "train" / "right" / "hang.hangs").exists)
    kill(cluster, kind)
    status, out, err = run.finish()
    assert status == 3, err
    assert out == ""
    lines = err.strip().splitlines()
    assert f"preprocess: {name} at " in lines[-2]
    assert "is lost" in lines[-2]
    assert lines[-1].split() == ["python", "-m", "preprocess", *map(shlex.quote, [*arguments, *joining])]
    (end,) = [event for event in map(json.loads, filter(is_json, lines)) if event["event"] == "end"]
    assert not end["complete"]
    assert "is lost" in end["error"]


def is_json(line):
    return line.startswith("{")


def test_what_was_finished_before_the_head_died_is_kept(cluster, video_folder, tmp_path, local_ray):
    assert main(command(tmp_path, video_folder, tmp_path / "undisturbed")) == 0
    arguments = command(tmp_path, video_folder, tmp_path / "out")
    run = Run([*arguments, "--ray-address", cluster.address], **QUICK)
    wait_for(lambda: num_records(tmp_path / "out") >= 2)
    kill(cluster, "gcs_server")
    kill(cluster, "raylet")
    assert run.finish()[0] == 3
    assert main(arguments) == 0
    assert hashes(tmp_path / "out") == hashes(tmp_path / "undisturbed")
    for layout in ("grid", "strip"):
        assert check_directory(tmp_path / "out" / layout).problems == []
