"""Ray nodes as processes of their own on this machine, each of which can be unfit in its own way."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from conversion import wait_for

from preprocess.ray_watch import is_answered


@contextlib.contextmanager
def node_of(cluster, *, wrapper: Sequence[str] = (), num_cpus: int = 1, **environment: str) -> Iterator[str]:
    """``ray start --address`` under ``wrapper``, such as unshare; yields Ray's id of the node."""
    before = node_ids(cluster)
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--address", cluster.address, "--block"]
    options = ["--num-cpus", str(num_cpus), "--object-store-memory", str(80 << 20), "--disable-usage-stats"]
    process = subprocess.Popen(
        [*wrapper, *command, *options],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        (node,) = wait_for(lambda: node_ids(cluster) - before)
        yield node
    finally:
        process.terminate()  # it ends its raylet, and the workers with it
        process.wait(60)


def node_ids(cluster) -> set[str]:
    """Ray's ids of the nodes that are alive."""
    return {node["NodeID"] for node in cluster.global_state.node_table() if node["Alive"]}


def seeing(script: str, *paths: Path) -> list[str]:
    """A wrapper for a process that sees the disks otherwise: ``script`` mounts over ``paths``, $1, $2, ..."""
    mounts = f'{script} && shift {len(paths)} && exec "$@"'
    return ["unshare", "--map-root-user", "--mount", "sh", "-c", mounts, "sh", *map(str, paths)]


@contextlib.contextmanager
def head_of(folder: Path, **environment: str) -> Iterator[str]:
    """``ray start --head`` in ``environment``; yields its HOST:PORT."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--port", str(port)]
    options = ["--num-cpus", "1", "--object-store-memory", str(80 << 20), "--include-dashboard", "false"]
    process = subprocess.Popen(
        [*command, *options, "--temp-dir", str(folder)],
        env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: is_answered(("127.0.0.1", port), 1) is None and list(folder.glob("session_*/sockets/raylet*")))
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(60)
