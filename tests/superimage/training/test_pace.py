"""Log lines of an epoch: losses, images per second, and the fraction of time without data."""

import re
import time

import pytest
import torch

from superimage.training.losses import Losses, LossWatch
from superimage.training.pace import Pace

NAN = float("nan")
on_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")


def told_of(device, loader, step) -> tuple[float, int]:
    """(images per second, percentage of time waiting for data) in an epoch of five batches of 2."""
    pace = Pace(torch.device(device), world_size=3)
    for _ in pace.of(loader()):
        step()
    match = re.match(r"([\d.]+) img/s, (\d+) % waiting for data", pace.summary())
    return float(match[1]), int(match[2])


def batches(wait):
    for _ in range(5):
        wait()
        yield torch.zeros(2, 3, 4, 4), torch.zeros(2)


def test_a_slow_loader_is_told_and_its_start_is_not():
    rate, share = told_of("cpu", lambda: batches(lambda: time.sleep(0.05)), lambda: None)
    assert share > 80
    assert 0 < rate <= 3 * 10 / 0.2  # three ranks, and at least four waits


def test_a_slow_step_is_no_wait_for_data():
    assert told_of("cpu", lambda: batches(lambda: None), lambda: time.sleep(0.05))[1] < 20


@on_cuda
def test_waiting_in_the_loader_for_the_gpu_is_no_wait_for_data():
    """As in timm's loader without pinned memory: the call returns when the GPU has finished the step."""
    torch.cuda.synchronize()
    busy = lambda: torch.cuda._sleep(200_000_000)  # noqa: E731
    assert told_of("cuda", lambda: batches(torch.cuda.synchronize), busy)[1] < 20
    torch.cuda.synchronize()
    assert told_of("cuda", lambda: batches(lambda: (torch.cuda.synchronize(), time.sleep(0.2))), lambda: None)[1] > 80


@pytest.mark.parametrize(
    ("scales", "seen", "first"),
    [(False, [1.0, NAN], 2), (True, [NAN, 1.0, *[NAN] * 16], 3), (False, [1.0, float("inf")], 2)],
)
def test_losses_that_are_finite_no_longer_end_the_run_by_the_first_of_them(scales, seen, first):
    losses = Losses(LossWatch(scales=scales), where="of 9 of epoch 2")
    for value in seen:
        losses.add(torch.tensor(value))
    with pytest.raises(ValueError, match=f"the loss is (nan|inf) at batch {first} of 9 of epoch 2: lower --lr"):
        losses.add(torch.tensor(1.0))


def test_losses_within_patience_go_on():
    losses = Losses(LossWatch(scales=True), where="of 4 of epoch 1")
    for value in (2.0, NAN, 4.0):
        losses.add(torch.tensor(value))
    assert losses.last() == 4.0
    losses.add(torch.tensor(NAN))
    assert losses.mean().isnan()


def test_the_last_loss_of_an_epoch_is_looked_at_too():
    losses = Losses(LossWatch(scales=False), where="of 1 of epoch 1")
    losses.add(torch.tensor(NAN))
    with pytest.raises(ValueError, match="the loss is nan at batch 1"):
        losses.mean()
