"""A machine that cannot do its part of a conversion is named and left out; its videos are not blamed."""

import shutil
from pathlib import Path

import pytest
from conversion import Run, command, hashes, needs_mount
from ray.cluster_utils import Cluster
from ray_nodes import node_of, seeing

from preprocess.__main__ import main
from preprocess.config.schema import load_config
from preprocess.run.pipeline import convert_dataset, prepare
from preprocess.run.ray_pool import Workers
from preprocess.worker.messages import UnfitNodeError
from shards.records import read_all_records


@pytest.fixture(scope="module")
def cluster():
    """A head without a core, so that a test decides which nodes do the work."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 << 20})
    yield cluster
    cluster.shutdown()


@pytest.fixture(scope="module")
def undisturbed(video_folder, tmp_path_factory, local_ray):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(command(folder, video_folder, folder / "out", workers=1)) == 0
    return hashes(folder / "out")


def in_cluster(cluster, folder, source):
    arguments = command(folder, source, folder / "out")
    at = arguments.index("--workers")
    return [*arguments[:at], *arguments[at + 2 :], "--ray-address", cluster.address]


EMPTY = 'mount -t tmpfs tmpfs "$1"'
READ_ONLY = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"'
UNFIT = {
    "the source is not mounted": (EMPTY, "videos", "an empty directory"),
    "a part of the source is not mounted": (EMPTY, "videos/train/left", "not readable on"),
    "the output is not mounted": (EMPTY, "out", "missing"),
    "the output is mounted read-only": (READ_ONLY, "out", "not writable"),
}


@needs_mount
@pytest.mark.parametrize("kind", UNFIT)
def test_a_machine_that_sees_other_disks_is_left_out_and_no_video_is_blamed(
    kind, cluster, undisturbed, video_folder, tmp_path
):
    script, where, reason = UNFIT[kind]
    shutil.copytree(video_folder, tmp_path / "videos")
    (tmp_path / "out").mkdir()
    arguments = in_cluster(cluster, tmp_path, tmp_path / "videos")
    with node_of(cluster), node_of(cluster, wrapper=seeing(script, tmp_path / where)) as unfit:
        status, out, err = Run(arguments).finish()
    assert status == 0, err
    assert "18 of 18 videos: 0 failed" in out
    (note,) = [line for line in err.splitlines() if "a node is excluded" in line]
    assert reason in note
    assert str(tmp_path / where) in note
    assert unfit[:8] in note
    assert hashes(tmp_path / "out") == undisturbed


def other_pillow(folder: Path) -> str:
    """A PYTHONPATH with which the installed Pillow claims another version."""
    information = folder / "site" / "pillow-0.1.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 0.1\n", encoding="utf-8")
    return str(information.parent)


def test_a_machine_with_other_libraries_does_not_end_a_healthy_run(cluster, undisturbed, video_folder, tmp_path):
    arguments = in_cluster(cluster, tmp_path, video_folder)
    with node_of(cluster), node_of(cluster, PYTHONPATH=other_pillow(tmp_path)) as unfit:
        status, _, err = Run(arguments).finish()
    assert status == 0, err
    (note,) = [line for line in err.splitlines() if "a node is excluded" in line]
    assert "pillow" in note
    assert unfit[:8] in note
    assert hashes(tmp_path / "out") == undisturbed


def test_when_every_machine_is_unfit_the_run_ends(cluster, video_folder, tmp_path):
    path = other_pillow(tmp_path)
    with node_of(cluster, PYTHONPATH=path), node_of(cluster, PYTHONPATH=path):
        status, _, err = Run(in_cluster(cluster, tmp_path, video_folder)).finish()
    assert status == 2
    last = err.strip().splitlines()[-1]
    assert last.startswith("preprocess: no node can convert the batches: 2 were excluded")
    assert "pillow" in last
    assert "Traceback" not in err


def prepared_in(folder, source):
    arguments = command(folder, source, folder / "out", changes={"max_failures": 0.5})
    return prepare(load_config(arguments[1]), source=source, output=folder / "out")


def test_a_video_that_is_removed_while_the_run_goes_on_is_a_failed_video(video_folder, tmp_path, local_ray):
    shutil.copytree(video_folder, tmp_path / "videos")
    prepared = prepared_in(tmp_path, tmp_path / "videos")
    removed = "train/left/left 0.mp4"
    (tmp_path / "videos" / removed).unlink()
    summary = convert_dataset(prepared, workers=Workers(count=2))
    assert summary.complete
    assert [(failure.path, failure.reason) for failure in summary.failures] == [(removed, "missing file")]


@pytest.mark.parametrize("is_there", [True, False], ids=["unmounted", "removed"])
def test_a_source_that_the_driver_loses_too_ends_the_run_and_blames_no_video(
    is_there, video_folder, tmp_path, local_ray
):
    shutil.copytree(video_folder, tmp_path / "videos")
    prepared = prepared_in(tmp_path, tmp_path / "videos")
    shutil.rmtree(tmp_path / "videos")
    if is_there:
        (tmp_path / "videos").mkdir()
    with pytest.raises(UnfitNodeError, match="videos: an empty directory" if is_there else "videos: missing"):
        convert_dataset(prepared, workers=Workers(count=2))
    assert not [failure for record in read_all_records(tmp_path / "out" / "grid") for failure in record.failures]
