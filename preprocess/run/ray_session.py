"""Starts a private Ray on this machine, or joins a cluster. The only module that imports Ray."""

import contextlib
import functools
import os
import secrets
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import preprocess
import shards
from preprocess.run import ray_token
from preprocess.run.private_directory import private_directory
from preprocess.run.ray_token import about_tokens
from preprocess.run.ray_watch import is_answered, split_address, watched

_OBJECT_STORE_BYTES = 100 << 20  # results are small, and by default Ray takes a third of the memory
_CONNECT_SECONDS = 30
_NODE_LABEL = "ray.io/node-id"


@contextlib.contextmanager
def ray_session(
    *,
    count: int | None,
    address: str | None,
    runtime_env: Mapping[str, Any],
    lost: Callable[[str], None],
) -> Iterator[ModuleType]:
    """The module ``ray``, started with ``count`` cores, joined to ``address``, or already initialized by the caller.

    ``lost`` is called with the reason when Ray's head or this machine's node dies; then the process ends, see
    ``ray_watch``. Raises OSError or ValueError, in one line, where Ray cannot be started or joined.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if _is_running():
        yield sys.modules["ray"]
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(_handler_of_sigterm())
        started = _joined(address, runtime_env) if address else _started(count)
        ray = stack.enter_context(started)
        stack.enter_context(_terminated_like_interrupted())
        stack.enter_context(watched(_addresses(ray), lost=lost))
        yield ray


def _is_running() -> bool:
    return "ray" in sys.modules and sys.modules["ray"].is_initialized()


def this_node() -> str:
    """Ray's id of the node of this worker."""
    import ray

    return ray.get_runtime_context().get_node_id()


def options_without(nodes: Collection[str]) -> dict[str, Any]:
    """The options of a task that must not run on ``nodes``, which are Ray's ids."""
    from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

    return {"scheduling_strategy": NodeLabelSchedulingStrategy(hard={_NODE_LABEL: NotIn(*sorted(nodes))})}


def _addresses(ray: ModuleType) -> dict[str, str]:
    """HOST:PORT of the two processes that the driver needs."""
    here = ray.get_runtime_context()
    addresses = {"Ray's head": here.gcs_address}
    for node in ray.nodes():
        if node["NodeID"] == here.get_node_id():
            addresses["Ray's node on this machine"] = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
    return addresses


@contextlib.contextmanager
def _started(count: int | None) -> Iterator[ModuleType]:
    with private_directory() as directory, _environment(local_environment()):
        import ray  # imported here because it takes a second

        try:
            # local: otherwise it would join the cluster in the variable RAY_ADDRESS
            ray.init(
                address="local",
                num_cpus=count,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                logging_level="warning",
                _temp_dir=directory,
            )
            yield ray
        finally:
            ray.shutdown()


def local_environment() -> dict[str, str]:
    """Environment variables for a local Ray that accepts only this process and its children, by a secret token.

    Without a token in the environment Ray writes one to ``~/.ray``, which every user may read and which turns the token
    mode on for a later ``ray start --head``. Ray takes the other two when it is imported.
    """
    values = {"RAY_AUTH_TOKEN": _token()}
    if "ray" not in sys.modules:
        # The second variable makes Ray use 127.0.0.1 whatever the host name resolves to.
        values |= {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    return values


@functools.cache
def _token() -> str:
    """One token per process, because Ray reads it once."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _joined(address: str, runtime_env: Mapping[str, Any]) -> Iterator[ModuleType]:
    shown = f"--ray-address {address}"
    if address == "auto" and os.environ.get("RAY_ADDRESS"):
        address = os.environ["RAY_ADDRESS"]
        shown = f"RAY_ADDRESS={address}"
    _refuse_silence(address, shown)
    with _environment(_joining_environment(address, shown)):
        import ray

        try:
            try:
                ray.init(address=address, runtime_env=_with_our_code(runtime_env), logging_level="warning")
            except ray.exceptions.AuthenticationError as error:
                raise OSError(f"{shown}: {about_tokens()}") from error
            except (ConnectionError, RuntimeError, ValueError, TypeError) as error:
                raise OSError(f"{shown}: {_why_not_joined(address, error)}") from error
            yield ray
        finally:
            ray.shutdown()


def _joining_environment(address: str, shown: str) -> dict[str, str]:
    """The variable for the token mode of the cluster; empty if the user has set it."""
    if os.environ.get(ray_token.MODE) or "ray" in sys.modules:  # then Ray has already read it
        return {}
    mode = ray_token.mode_of(address)
    if mode == ray_token.TOKEN and not ray_token.has_token():
        raise OSError(f"{shown}: {about_tokens()}")
    return {ray_token.MODE: mode} if mode else {}


def _refuse_silence(address: str, shown: str) -> None:
    """OSError if nothing listens at HOST:PORT. Ray itself would wait forever."""
    place = split_address(address)
    if place is not None:
        why = is_answered(place, _CONNECT_SECONDS)
        if why is not None:
            raise OSError(f"{shown}: {why}; is 'ray start --head' running there?")


def _why_not_joined(address: str, error: Exception) -> str:
    lines = str(error).strip().splitlines()
    words = lines[0] if lines else type(error).__name__
    if address == "auto" and isinstance(error, ConnectionError):
        return (
            "no Ray cluster was found on this machine; start one here with 'ray start --head', give the address of a "
            "cluster's head, --ray-address HOST:6379, or leave the flag out to convert on this machine alone"
        )
    if isinstance(error, ConnectionError):
        return f"{words}; either no 'ray start --head' runs there, or {about_tokens()}"
    return f"{words}; give auto or HOST:PORT, such as --ray-address 10.0.0.1:6379, and check --runtime-env"


def _with_our_code(runtime_env: Mapping[str, Any]) -> dict[str, Any]:
    """``runtime_env`` with our packages added. Ray uploads them and puts them on the path of each worker."""
    ours = [str(Path(package.__file__).parent) for package in (preprocess, shards)]
    return {**runtime_env, "py_modules": [*runtime_env.get("py_modules", ()), *ours]}


@contextlib.contextmanager
def _handler_of_sigterm() -> Iterator[None]:
    """Restore the caller's handler at the end, because Ray installs its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM, which schedulers send before SIGKILL, ends the run like Ctrl-C."""
    if threading.current_thread() is threading.main_thread():
        interrupt = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGTERM, interrupt if callable(interrupt) else signal.default_int_handler)
    yield
