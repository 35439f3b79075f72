"""Freed memory is kept for the next image, as the page faults of a separate process show."""

import os
import subprocess
import sys

import pytest

from shards.allocator import KEEP_FREED_MEMORY

# Allocates and frees images of some megabytes, as a reader does, and prints the page faults per image.
SCRIPT = """
import resource
import numpy as np
from shards.allocator import keep_freed_memory

keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    np.ones(3_000_000, np.uint8)
before = faults()
for _ in range(50):
    np.ones(3_000_000, np.uint8)
print((faults() - before) / 50)
"""


def faults_of_an_image(**environment: str) -> float:
    others = {name: value for name, value in os.environ.items() if name not in KEEP_FREED_MEMORY}
    command = [sys.executable, "-c", SCRIPT]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=others | environment).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone has the setting")
def test_memory_is_kept_unless_the_user_says_otherwise():
    assert faults_of_an_image() < 1
    assert faults_of_an_image(MALLOC_MMAP_THRESHOLD_="131072") > 100
