"""The losses of an epoch, looked at one step late, so that the device computes while this process waits."""

import math

import torch


class Losses:
    """What each step lost, as scalars on the device; ValueError from ``add`` when they are finite no longer.

    ``patience``: so many losses in a row that are not finite end the run. On CUDA a loss is copied to the host behind
    its own step, and waited for after the next step is launched: reading it from the device (``item``) would wait for
    all that is launched, and the device would stand idle while the following step is prepared.
    """

    def __init__(self, *, patience: int, about: str):
        self.patience, self.about = patience, about
        self._on_device: list[torch.Tensor] = []
        self._on_host: list[float] = []
        self._coming: tuple[torch.Tensor, torch.cuda.Event | None] | None = None

    def add(self, loss: torch.Tensor) -> None:
        """Take the loss of a step that has just been launched, and look at the loss of the step before."""
        coming = _send(loss)
        self.settle()
        self._coming = coming
        self._on_device.append(loss)

    def settle(self) -> None:
        """Look at the loss that is still to come, if any."""
        if self._coming is None:
            return
        host, event = self._coming
        self._coming = None
        if event is not None:
            event.synchronize()
        self._on_host.append(host.item())
        self._check()

    def _check(self) -> None:
        last = self._on_host[-self.patience :]
        if len(last) < self.patience or any(map(math.isfinite, last)):
            return
        raise ValueError(
            f"the loss is {last[0]} at batch {len(self._on_host) - self.patience + 1} of {self.about}: lower --lr, "
            "or limit with --clip-grad; checkpoints of earlier epochs are kept"
        )

    def last(self) -> float:
        """The last loss; waits for its step, and looks at it."""
        self.settle()
        return self._on_host[-1]

    def mean(self) -> torch.Tensor:
        """The mean of all losses, a scalar on the device; looks at the last one."""
        self.settle()
        return torch.stack(self._on_device).mean()


def _send(loss: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """(the loss in main memory, or on its way there; the event that says that it has arrived)."""
    if loss.device.type != "cuda":
        return loss, None
    host = loss.to("cpu", non_blocking=True)
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(loss.device))
    return host, event
