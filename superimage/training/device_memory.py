"""Recognizes out-of-memory errors of devices and of the CPU, and suggests flags that save memory."""

import argparse

from superimage.training.stored import first_line

# torch raises its own OutOfMemoryError for tensors; CUDA, cuBLAS, cuDNN, the compiler and the CPU use RuntimeError.
_SIGNS = ("out of memory", "ALLOC_FAILED", "can't allocate memory", "not enough memory")


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error is an out-of-memory error: ``CUDA out of memory. Tried to allocate ...``."""
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def memory_line(error: BaseException, ways_out: str) -> str:
    """One line: the requested memory, the free memory, and the ways out.

    ``CUDA out of memory. Tried to allocate 9.00 GiB. GPU 0 has ... of which 2.00 GiB is free. Lower --batch-size``.
    """
    lines = (line for line in str(error).splitlines() if any(sign in line for sign in _SIGNS))
    sentences = next(lines, first_line(error)).strip().rstrip(".").split(". ")[:3]
    return f"{'. '.join(sentences)}. {ways_out}"


def training_ways_out(args: argparse.Namespace | None) -> str:
    """Suggests the memory-saving flags that are not set: ``Lower --batch-size 64, or give --amp``."""
    if args is None:
        return "Lower --batch-size"
    flags = {"amp": "--amp", "grad_checkpointing": "--grad-checkpointing"}
    unused = " or ".join(flag for name, flag in flags.items() if not getattr(args, name))
    if args.batch_size == 1:
        return f"Give {unused or 'a smaller --img-size'}: --batch-size is already 1"
    wider = f", or give {unused}" if unused else ""
    return f"Lower --batch-size {args.batch_size}{wider}; --grad-accum-steps keeps the number of samples per update"
