"""Ends the process when Ray's head dies. It does not import Ray; it only checks if an address accepts connections.

Ray's own C++ would wait for 60 seconds without a word and then end the process with status 1. Meanwhile the main thread
is held inside it and cannot be interrupted, so a thread watches, says what happened, and ends the process.
"""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping

STATUS_LOST = 3
_RAYS_PATIENCE = "RAY_gcs_rpc_server_reconnect_timeout_s"  # Ray's own variable, and its default below
_RAYS_PATIENCE_SECONDS = 60.0
_SHARE_OF_IT = 0.75  # to act before Ray ends the process
_SAID_AFTER_SECONDS = 5.0
_LOOK_SECONDS = 1.0
_CONNECT_SECONDS = 3.0

Place = tuple[str, int]


@contextlib.contextmanager
def watched(addresses: Mapping[str, str], *, lost: Callable[[str], None]) -> Iterator[None]:
    """Watch while the block runs. ``addresses``: HOST:PORT of what must live, by what it is called.

    When one has not answered for 45 seconds (three quarters of RAY_gcs_rpc_server_reconnect_timeout_s, in which a head
    with a store of its own may come back), ``lost`` is called with the reason and the process ends with status 3.
    """
    places = {name: place for name, address in addresses.items() if (place := split_address(address))}
    over = threading.Event()
    patience = _SHARE_OF_IT * float(os.environ.get(_RAYS_PATIENCE) or _RAYS_PATIENCE_SECONDS)
    thread = threading.Thread(target=_watch, args=(places, over, patience, lost), daemon=True, name="ray-watch")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(places: Mapping[str, Place], over: threading.Event, patience: float, lost: Callable[[str], None]) -> None:
    silent_since: dict[str, float] = {}
    said: set[str] = set()
    while not over.wait(_LOOK_SECONDS):
        for name, place in places.items():
            reason = is_answered(place, min(_CONNECT_SECONDS, patience))
            if reason is None:
                silent_since.pop(name, None)
                said.discard(name)
                continue
            seconds = time.monotonic() - silent_since.setdefault(name, time.monotonic())
            where = f"{name} at {place[0]}:{place[1]}"
            if seconds >= patience and not over.is_set():
                _end(f"{where} is lost: it has not answered for {seconds:.0f} seconds ({reason})", lost)
            if seconds >= min(_SAID_AFTER_SECONDS, patience / 2) and name not in said:
                said.add(name)
                print(f"{where} does not answer ({reason}); waiting {patience:.0f} seconds for it", file=sys.stderr)


def _end(reason: str, lost: Callable[[str], None]) -> None:
    try:
        lost(reason)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(STATUS_LOST)  # an ordinary exit would wait for the main thread, which waits for Ray


def split_address(address: str) -> Place | None:
    """``10.0.0.1:6379 -> (10.0.0.1, 6379)``, ``[::1]:6379 -> (::1, 6379)``; None for ``auto`` and the like."""
    host, _, port = address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdecimal() else None


def is_answered(place: Place, timeout_seconds: float) -> str | None:
    """None if something listens at (host, port), else the reason."""
    try:
        socket.create_connection(place, timeout=timeout_seconds).close()
    except (OSError, OverflowError) as error:  # OverflowError: a port above 65535
        return str(error)
    return None
