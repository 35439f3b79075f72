"""The device of this process and its place among the others."""

import argparse
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from timm import utils
from torch import distributed

_log = logging.getLogger("train_image")
_WAIT_SECONDS = 10  # after which a rank says for whom it waits
_NUMBERS = ("WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
_RANKS = ("RANK", "PMI_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
_PLACES = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class DeviceEnv:
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


def init_device_env(args: argparse.Namespace) -> DeviceEnv:
    """Join the other processes, if torchrun started several (NCCL between CUDA devices, gloo otherwise).

    ValueError, with the variables that say so, where others are expected and cannot be met.
    """
    place = argparse.Namespace(device=pick_device(args.device))
    if place.device.startswith("cuda") and utils.is_distributed_env():
        check_local_rank(utils.world_info_from_env()[0], torch.cuda.device_count())
    given = dict(os.environ)  # timm adds WORLD_SIZE, RANK and LOCAL_RANK, which nobody set
    timer = threading.Timer(_WAIT_SECONDS, lambda: _log.warning(f"waiting for other processes: {explain_ranks(given)}"))
    timer.daemon = True
    timer.start()
    try:
        device = utils.init_distributed_device(place)
    except (RuntimeError, ValueError) as error:
        if not utils.is_distributed_env():
            raise
        told = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{explain_ranks(given)} ({told})") from error
    finally:
        timer.cancel()
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return DeviceEnv(device=device, rank=place.rank, world_size=place.world_size, distributed=place.distributed)


def check_local_rank(local_rank: int, num_devices: int) -> None:
    """ValueError where this process would be without a CUDA device of its own: rank r of a node takes the r-th."""
    if local_rank < num_devices:
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible})"
    raise ValueError(
        f"process {local_rank} of this node, counted from 0, has no CUDA device: torch sees {num_devices}{hidden}, "
        f"and each process takes one. Start no more than {num_devices} here (torchrun --nproc-per-node {num_devices}), "
        "let each process see all devices of its node, or give --device cpu"
    )


def explain_ranks(environment: Mapping[str, str]) -> str:
    """Which environment variables make this process wait for others, for whom, and the way out.

    ``{"SLURM_NTASKS": "2", "MASTER_ADDR": "node1"} -> "SLURM_NTASKS=2 MASTER_ADDR=node1 say that ..."``.
    """
    known = {name: environment[name] for name in (*_NUMBERS, *_RANKS, *_PLACES) if name in environment}
    number = next((known[name] for name in _NUMBERS if name in known), "1")
    rank = next((known[name] for name in _RANKS if name in known), None)
    place = f"{known.get('MASTER_ADDR', '(MASTER_ADDR is not set)')}:{known.get('MASTER_PORT', '(no MASTER_PORT)')}"
    mine = "has no rank, since RANK is not set," if rank is None else f"is rank {rank} and"
    unset = " ".join(f"-u {name}" for name in known if name in _NUMBERS)
    return (
        f"{' '.join(f'{name}={value}' for name, value in known.items())} say that {number} processes train together. "
        f"This one {mine} meets the others at {place}. Start all of them (torchrun, srun), or to train with this one "
        f"alone: env {unset} python train_image.py ..."
    )


def lost_ranks(error: RuntimeError) -> str | None:
    """The line of a rank whose others have ended; None for an error of another kind."""
    told = next(iter(str(error).splitlines()), "")
    if not isinstance(error, distributed.DistError) and "gloo/transport" not in told:
        return None
    _, rank, _ = utils.world_info_from_env()
    why = told.split("This is typically")[0].rpartition("] ")[2].strip(" .")
    return f"rank {rank} ends because another rank has ended ({why}); the lines of that one say why"
