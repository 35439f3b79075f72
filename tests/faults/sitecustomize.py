"""With this folder on PYTHONPATH, a video's name says what it does to the decoder process that opens it.

Python imports ``sitecustomize`` when it starts. The deaths are real ones: a read of address 0, a C call that never
returns and never lets go of the interpreter, memory without end, SIGKILL as the kernel's out-of-memory killer sends it.
"""

import ctypes
import importlib.machinery
import itertools
import os
import signal
import sys
import time
from pathlib import Path

TARGET = "preprocess.decode.pyav"


def crash(path: str) -> None:
    ctypes.string_at(0)


def hang(path: str) -> None:
    Path(path).with_suffix(".hangs").touch()
    ctypes.PyDLL(None).sleep(1_000_000)


def bloat(path: str) -> None:
    blocks = []
    while True:
        blocks.append(bytearray(64 << 20))


def killed_once(path: str) -> None:
    """What a machine does to an innocent video."""
    mark = Path(path).with_suffix(".was-killed")
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def bug(path: str) -> None:
    raise AttributeError("an exception that nobody foresaw")


FAULTS = {fault.__name__: fault for fault in (crash, hang, bloat, killed_once, bug)}


class Injector:
    """Finds ``preprocess.decode.pyav`` as ever, and wraps its class once it is loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != TARGET:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        load = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (load(module), inject(module.PyavVideo))
        return spec


def inject(video_class: type) -> None:
    original = video_class.__init__

    def __init__(self, path: str, **options):
        fault = FAULTS.get(Path(path).stem)
        if fault:
            fault(path)
        original(self, path, **options)

    video_class.__init__ = __init__


def clock_going_back() -> None:
    """As when a machine's clock is set, again and again: an hour back each time that anyone looks."""
    seconds = itertools.count(time.time(), -3600)
    time.time = lambda: next(seconds)


sys.meta_path.insert(0, Injector)
if os.environ.get("TEST_CLOCK_GOES_BACK") and "preprocess" in " ".join(sys.orig_argv):
    clock_going_back()  # in the driver and in the decoders, not in Ray's own processes
