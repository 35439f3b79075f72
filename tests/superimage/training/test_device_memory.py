"""Messages if memory runs out, and if there are more processes than devices."""

import argparse

import pytest
import torch

from superimage.training.device_env import check_local_rank
from superimage.training.device_memory import memory_line, ran_out_of_memory, training_ways_out

CUDA_ERRORS = [
    torch.cuda.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has a total capacity of 79.18 GiB of which 2.00 GiB is "
        "free. Including non-PyTorch memory, this process has 77.00 GiB memory in use."
    ),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other call"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("backend='inductor' raised:\nOutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"),
]


def flags(**given) -> argparse.Namespace:
    return argparse.Namespace(**{"batch_size": 64, "amp": False, "grad_checkpointing": False, **given})


@pytest.mark.parametrize("error", CUDA_ERRORS, ids=lambda error: str(error)[:30])
def test_each_way_to_run_out_of_memory_is_known_and_one_line(error):
    assert ran_out_of_memory(error)
    line = memory_line(error, training_ways_out(flags()))
    assert "\n" not in line
    assert "out of memory" in line or "ALLOC_FAILED" in line
    assert line.endswith(
        ". Lower --batch-size 64, or give --amp or --grad-checkpointing; --grad-accum-steps keeps the number of "
        "samples per update"
    )


def test_the_line_says_what_was_asked_for_and_what_is_free():
    line = memory_line(CUDA_ERRORS[0], "Lower --batch-size 8")
    assert line == (
        "CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has a total capacity of 79.18 GiB of which 2.00 GiB is "
        "free. Lower --batch-size 8"
    )


def test_main_memory_that_runs_out_is_known_too():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert ran_out_of_memory(caught.value)
    assert not ran_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not ran_out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"amp": True}, "Lower --batch-size 64, or give --grad-checkpointing; --grad-accum"),
        ({"amp": True, "grad_checkpointing": True}, "Lower --batch-size 64; --grad-accum"),
        ({"batch_size": 1}, "Give --amp or --grad-checkpointing: --batch-size is already 1"),
    ],
)
def test_flags_that_are_given_are_not_advised(given, message):
    assert training_ways_out(flags(**given)).startswith(message)


def test_more_processes_than_devices_is_told_with_the_number_that_fits(monkeypatch):
    check_local_rank(1, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(ValueError, match=r"process 1 of this node.*sees 1 \(CUDA_VISIBLE_DEVICES=3\).*per-node 1\)"):
        check_local_rank(1, 1)
