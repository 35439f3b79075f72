"""How many processor cores this process may use: its affinity and its cgroup's quota, not what the machine has."""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def available_cores() -> int:
    """At least 1. A quota of 1.5 cores counts as 2: two processes keep it busy."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota()
    return affinity if quota is None else max(1, min(affinity, math.ceil(quota)))


def cgroup_quota(root: Path = Path("/")) -> float | None:
    """The smallest CPU quota in cores of this process's cgroup and all groups above it; None where there is none.

    Both versions of cgroups are read: ``cpu.max`` (version 2), and ``cpu.cfs_quota_us`` (version 1).
    """
    quotas = [quota for folder in _folders(root) if (quota := _quota_in(folder)) is not None]
    return min(quotas, default=None)


def _folders(root: Path) -> Iterator[Path]:
    """The folders of this process's cgroups and of those above, as far as they are mounted here."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2
            mount = root / "sys/fs/cgroup"
        elif "cpu" in controllers.split(","):
            mount = root / "sys/fs/cgroup" / controllers
            mount = mount if mount.is_dir() else root / "sys/fs/cgroup/cpu"
        else:
            continue
        group = PurePosixPath(path)
        # Inside a container the path may be one of the host, which is not mounted: then the mount itself is the group.
        yield from (mount / str(part).lstrip("/") for part in (group, *group.parents))


def _quota_in(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
    except OSError:
        return None
    return None if quota in ("max", "-1") else int(quota) / int(period)
