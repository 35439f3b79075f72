"""The device of this process and its place among the others."""

import argparse
from dataclasses import dataclass

import torch
from timm import utils


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where this process computes, and its place among the others."""

    device: torch.device
    rank: int
    world_size: int
    distributed: bool


def pick_device(name: str | None) -> str:
    """The named device, or cuda where there is one, or cpu; ValueError for a device that is not there."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device {name}: torch finds no CUDA device here; leave --device out, or give cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda":
            torch.cuda.get_device_properties(device)  # takes no memory, as a tensor would of the first device
        else:
            torch.zeros(1, device=device).cpu()
    # torch says in many ways that it has no such device, or that nothing can be computed on it.
    except Exception as error:
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"--device {name}: {told}; leave --device out, or give cpu") from error
    return name


def start_machine(args: argparse.Namespace) -> Machine:
    """Join the other processes, if torchrun started several (NCCL between CUDA devices, gloo otherwise)."""
    place = argparse.Namespace(device=pick_device(args.device))
    device = utils.init_distributed_device(place)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return Machine(device=device, rank=place.rank, world_size=place.world_size, distributed=place.distributed)
