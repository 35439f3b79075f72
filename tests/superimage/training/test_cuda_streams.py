"""Batches and losses on a CUDA device: the CPU neither waits for the GPU nor overwrites what it still reads."""

import pytest
import torch
from timm.data.loader import PrefetchLoader
from torch.utils.data import DataLoader

from superimage.training.batches import Batches
from superimage.training.losses import Losses, LossWatch

on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")


@on_cuda
def test_a_slow_gpu_reads_each_batch_as_the_loader_made_it():
    """The loader prefetches batches. It must not reuse the memory of a batch before the GPU has read it."""
    pictures = [torch.full((4, 3, 64, 64), number, dtype=torch.uint8).pin_memory() for number in range(12)]
    host = DataLoader([(picture, torch.full((4,), number)) for number, picture in enumerate(pictures)], batch_size=None)
    prefetch = PrefetchLoader(host, mean=(0, 0, 0), std=(1, 1, 1), device=torch.device("cuda"))
    pads = torch.zeros(64, 64, dtype=torch.bool, device="cuda")
    pads[32:] = True
    seen = []
    for images, targets in Batches(prefetch, name="test", pads=pads):
        torch.cuda._sleep(20_000_000)
        seen.append((images[..., :32, :].mean() * 255, images[..., 32:, :].abs().max(), targets.float().mean()))
    for number, (value, pad, target) in enumerate(seen):
        assert (value.item(), pad.item(), target.item()) == (pytest.approx(number, abs=1e-3), 0, number)


@on_cuda
def test_a_loss_is_read_without_waiting_for_the_step_after_it():
    losses, loss = Losses(LossWatch(scales=False), where="of a test"), torch.ones((), device="cuda")
    # At its first use, CUDA loads a kernel and waits for the device.
    Losses(LossWatch(scales=False), where="to load the kernels").add(2 * loss)
    torch.cuda.synchronize()
    losses.add(loss)
    torch.cuda._sleep(2_000_000_000)
    losses.add(2 * loss)
    assert not torch.cuda.current_stream().query()  # the second step still runs
    assert (losses.last(), losses.mean().item()) == (2.0, 1.5)
    losses.add(loss * float("nan"))
    with pytest.raises(ValueError, match="the loss is nan at batch 3 of a test"):
        losses.settle()
