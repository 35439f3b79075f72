"""Minutes of random kills; ``benchmarks/soak_faults.py`` does the same for hours."""

import random
import sys
import time

import pytest
from conversion import Run, command, hashes, wait_for
from ray.cluster_utils import Cluster

from benchmarks.soak_faults import compare, disturbed
from benchmarks.soak_faults import hashes as all_hashes
from preprocess.__main__ import main
from shards.check import check_directory

pytestmark = pytest.mark.slow
CHANGES = {"samples_per_shard": 1}  # many shards, so that there is much to interrupt


@pytest.fixture(scope="module")
def undisturbed(video_folder, tmp_path_factory, local_ray):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert main(command(folder, video_folder, folder / "out", changes=CHANGES)) == 0
    return folder / "out"


@pytest.mark.parametrize("seed", range(5))
def test_drivers_workers_and_decoders_killed_at_random(seed, undisturbed, video_folder, tmp_path):
    arguments = command(tmp_path, video_folder, tmp_path / "out", changes=CHANGES)
    events = disturbed([sys.executable, "-m", "preprocess", *arguments], random.Random(seed), runs_disturbed=6)
    assert events
    assert compare(tmp_path / "out", all_hashes(undisturbed)) == ""


@pytest.mark.parametrize("seed", range(3))
def test_nodes_lost_at_random(seed, undisturbed, video_folder, tmp_path):
    """Nodes go without a word and others come, until the conversion is complete; the head stays, as it must in Ray."""
    rng = random.Random(seed)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 80 << 20})
    try:
        cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
        arguments = command(tmp_path, video_folder, tmp_path / "out", changes=CHANGES)
        run = Run([*arguments[:-2], "--ray-address", cluster.address])
        lost = 0
        while run.process.poll() is None and lost < 6:
            cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
            time.sleep(rng.uniform(0.5, 3))
            cluster.remove_node(rng.choice(sorted(cluster.worker_nodes, key=id)), allow_graceful=False)
            lost += 1
        wait_for(lambda: run.process.poll() is not None, seconds=300)
        status, out, err = run.finish()
        assert status == 0, err
        assert lost >= 2
        assert "18 of 18 videos: 0 failed" in out
    finally:
        cluster.shutdown()
    assert hashes(tmp_path / "out") == hashes(undisturbed)
    for layout in ("grid", "strip"):
        assert check_directory(tmp_path / "out" / layout).problems == []
