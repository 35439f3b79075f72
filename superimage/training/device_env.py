"""The device of this process, and its rank among the processes of a distributed run."""

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
_WAIT_SECONDS = 10  # a rank logs that it waits for others after this time
_NUMBERS = ("WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE")
_RANKS = ("RANK", "PMI_RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK")
_PLACES = ("MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True, kw_only=True)
class DeviceEnv:
    """The device of this process, its rank, and the number of processes."""

    device: torch.device
    rank: int
    world_size: int
    distributed: bool


def pick_device(name: str | None) -> str:
    """The named device; by default cuda if available, else cpu. Raises ValueError for a device that does not work."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"--device {name}: torch finds no CUDA device here; leave --device out, or give cpu")
    try:
        device = torch.device(name)
        if device.type == "cuda":
            torch.cuda.get_device_properties(device)  # a tensor would allocate memory on the first device
        else:
            torch.zeros(1, device=device).cpu()
    # torch raises many kinds of errors for a missing or unusable device.
    except Exception as error:
        message = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"--device {name}: {message}; leave --device out, or give cpu") from error
    return name


def init_device_env(args: argparse.Namespace) -> DeviceEnv:
    """Choose the device, and join the other processes if torchrun started more than one (NCCL for CUDA, else gloo).

    Raises ValueError, with the environment variables, if the other processes cannot be reached.
    """
    place = argparse.Namespace(device=pick_device(args.device))
    if place.device.startswith("cuda") and utils.is_distributed_env():
        check_local_rank(utils.world_info_from_env()[0], torch.cuda.device_count())
    given = dict(os.environ)  # copied, since timm sets WORLD_SIZE, RANK and LOCAL_RANK
    timer = threading.Timer(_WAIT_SECONDS, lambda: _log.warning(f"waiting for other processes: {explain_ranks(given)}"))
    timer.daemon = True
    timer.start()
    try:
        device = utils.init_distributed_device(place)
    except (RuntimeError, ValueError) as error:
        if not utils.is_distributed_env():
            raise
        message = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{explain_ranks(given)} ({message})") from error
    finally:
        timer.cancel()
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    return DeviceEnv(device=device, rank=place.rank, world_size=place.world_size, distributed=place.distributed)


def check_local_rank(local_rank: int, num_devices: int) -> None:
    """Raise ValueError if there is no CUDA device for this process. Local rank r uses device r of its node."""
    if local_rank < num_devices:
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    hidden = "" if visible is None else f" (CUDA_VISIBLE_DEVICES={visible})"
    raise ValueError(
        f"process {local_rank} of this node, counted from 0, has no CUDA device: torch sees {num_devices}{hidden}, "
        f"and each process needs its own. Start at most {num_devices} here (torchrun --nproc-per-node {num_devices}), "
        "let each process see all devices of its node, or give --device cpu"
    )


def explain_ranks(environment: Mapping[str, str]) -> str:
    """A message about the environment variables that make this process wait for others, with the way out.

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
        f"This one {mine} connects to the others at {place}. Start all of them (torchrun, srun), or train with this "
        f"one only: env {unset} python train_image.py ..."
    )


def lost_ranks(error: RuntimeError) -> str | None:
    """The message if this rank failed because another rank has exited; None for any other error."""
    message = next(iter(str(error).splitlines()), "")
    if not isinstance(error, distributed.DistError) and "gloo/transport" not in message:
        return None
    _, rank, _ = utils.world_info_from_env()
    why = message.split("This is typically")[0].rpartition("] ")[2].strip(" .")
    return f"rank {rank} ends because another rank has ended ({why}); see the messages of that rank"
