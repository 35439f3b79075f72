"""The number of cores follows affinity and cgroup quota, which containers and batch systems set."""

import os
import subprocess
import sys

import pytest

from preprocess.flags import parse, workers_of
from shards.cores import available_cores, cgroup_quota


def test_an_affinity_limits_the_workers():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); import shards.cores as c; "
    code += "print(c.available_cores())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1"


def test_the_default_of_workers_is_what_may_be_used():
    args = parse(["--config", "x", "--source", "x", "--output", "x"])
    assert workers_of(args)["count"] == available_cores() <= len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("cgroup", "limits", "quota"),
    [
        (
            "0::/job/step",
            {"sys/fs/cgroup/job/cpu.max": "150000 100000", "sys/fs/cgroup/job/step/cpu.max": "max 100000"},
            1.5,
        ),
        ("0::/", {"sys/fs/cgroup/cpu.max": "200000 100000"}, 2.0),
        ("0::/docker/abc", {"sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),  # the host's path, seen inside a container
        ("0::/job", {"sys/fs/cgroup/job/cpu.max": "max 100000"}, None),
        (
            "4:cpu,cpuacct:/job",
            {
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "300000",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            3.0,
        ),
        (
            "4:cpu:/",
            {"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"},
            None,
        ),
        ("2:memory:/job", {}, None),
    ],
)
def test_the_smallest_quota_of_the_group_and_its_parents_counts(tmp_path, cgroup, limits, quota):
    for path, text in {"proc/self/cgroup": cgroup, **limits}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n", encoding="utf-8")
    assert cgroup_quota(tmp_path) == quota


def test_a_system_without_cgroups_has_no_quota(tmp_path):
    assert cgroup_quota(tmp_path) is None
