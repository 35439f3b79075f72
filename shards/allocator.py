"""glibc, told to keep the memory of one image for the next.

By itself it hands freed megabytes back to the kernel, and gets them again page by page, cleared: a fifth of what it
costs to read a super image, and a twentieth of what it costs to make one.
"""

import ctypes
import os
import sys

_KEPT_BYTES, _LARGEST_BYTES = 128 << 20, 32 << 20
# mallopt(3): the variable that a process begins with, and the parameter's number for one that already runs.
_SETTINGS = {"MALLOC_TRIM_THRESHOLD_": (-1, _KEPT_BYTES), "MALLOC_MMAP_THRESHOLD_": (-3, _LARGEST_BYTES)}
KEEP_FREED_MEMORY = {name: str(value) for name, (_, value) in _SETTINGS.items()}


def keep_freed_memory() -> None:
    """In this process and those that it starts; what a user has set in the environment stays. Only glibc has this."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return
    for name, (parameter, value) in _SETTINGS.items():
        if name not in os.environ:
            os.environ[name] = str(value)
            mallopt(parameter, value)
