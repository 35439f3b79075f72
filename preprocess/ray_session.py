"""The only door to Ray: a Ray of this machine alone, which no other user can reach, or a cluster that is joined."""

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
from preprocess import ray_token
from preprocess.private_directory import private_directory
from preprocess.ray_token import about_tokens
from preprocess.ray_watch import is_answered, split_address, watched

_OBJECT_STORE_BYTES = 100 << 20  # results are small, and Ray would take a third of the memory
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
    """Ray, started with ``count`` cores, joined at ``address``, or as a caller has it already.

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
    """Ray's id of the node that this worker runs on."""
    import ray

    return ray.get_runtime_context().get_node_id()


def options_without(nodes: Collection[str]) -> dict[str, Any]:
    """The options of a task that must not run on ``nodes``, which are Ray's ids."""
    from ray.util.scheduling_strategies import NodeLabelSchedulingStrategy, NotIn

    return {"scheduling_strategy": NodeLabelSchedulingStrategy(hard={_NODE_LABEL: NotIn(*sorted(nodes))})}


def _addresses(ray: ModuleType) -> dict[str, str]:
    """HOST:PORT of the two processes without which the driver cannot go on."""
    here = ray.get_runtime_context()
    addresses = {"Ray's head": here.gcs_address}
    for node in ray.nodes():
        if node["NodeID"] == here.get_node_id():
            addresses["Ray's node on this machine"] = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
    return addresses


@contextlib.contextmanager
def _started(count: int | None) -> Iterator[ModuleType]:
    with private_directory() as directory, _environment(_local_environment()):
        import ray  # here and not above: it takes a second, and --help should not

        try:
            # local: with RAY_ADDRESS in the environment it would join a cluster unasked
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


def _local_environment() -> dict[str, str]:
    """What makes a local Ray ask for a token that only this process and its children know, and listen to them alone.

    Without a token in the environment Ray writes one to ``~/.ray``, which every user may read and which turns the token
    mode on for a later ``ray start --head``. Ray takes the other two when it is imported.
    """
    values = {"RAY_AUTH_TOKEN": _token()}
    if "ray" not in sys.modules:
        # The second makes Ray use 127.0.0.1 for this machine, whatever its name says.
        values |= {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    return values


@functools.cache
def _token() -> str:
    """One for each process: Ray reads it once."""
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
    """Ray's token mode as the cluster has it; as the user has set it, where it is set."""
    if os.environ.get(ray_token.MODE) or "ray" in sys.modules:  # Ray has read it by then
        return {}
    mode = ray_token.mode_of(address)
    if mode == ray_token.TOKEN and not ray_token.has_token():
        raise OSError(f"{shown}: {about_tokens()}")
    return {ray_token.MODE: mode} if mode else {}


def _refuse_silence(address: str, shown: str) -> None:
    """OSError where nobody listens at HOST:PORT: Ray itself would wait there for ever."""
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
    """Ray uploads these folders and puts them on each worker's path."""
    ours = [str(Path(package.__file__).parent) for package in (preprocess, shards)]
    return {**runtime_env, "py_modules": [*runtime_env.get("py_modules", ()), *ours]}


@contextlib.contextmanager
def _handler_of_sigterm() -> Iterator[None]:
    """Put the caller's handler back at the end: Ray sets one of its own when it starts."""
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
    """SIGTERM, which schedulers send before they kill, ends the run as Ctrl-C does."""
    if threading.current_thread() is threading.main_thread():
        interrupt = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGTERM, interrupt if callable(interrupt) else signal.default_int_handler)
    yield
