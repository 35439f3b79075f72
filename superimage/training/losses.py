"""Collects the losses of an epoch. Each is read one step later, so that the device never waits for this process."""

import math

import torch

_HALVINGS = 16  # torch.amp.GradScaler begins at 2 ** 16


class LossWatch:
    """Stops a run whose loss is NaN or infinite.

    Without a gradient scaler, the first such loss stops the run, since its update makes the weights NaN. A gradient
    scaler skips such updates and halves its scale. Then the run stops after 16 such losses in a row, the number of
    halvings from the initial scale to 1. They are counted across epochs.
    """

    def __init__(self, *, scales: bool):
        self._patience, self._where = _HALVINGS if scales else 1, []

    def see(self, loss: float, where: str) -> None:
        """Raise ValueError if this loss must stop the run; ``where`` is such as ``batch 3 of 9 of epoch 1``."""
        self._where = [] if math.isfinite(loss) else [*self._where, f"{loss} at {where}"]
        if len(self._where) == self._patience:
            raise ValueError(
                f"the loss is {self._where[0]}: lower --lr, or clip gradients by --clip-grad; checkpoints of earlier "
                "epochs are kept"
            )


class Losses:
    """The losses of an epoch, as scalars on the device. ``watch`` raises ValueError if they are not finite.

    ``where`` follows the batch number in messages: ``of 9 of epoch 1``. On CUDA, the copy of a loss to the host is
    queued after its step, and this process waits for it only after it has launched the next step. ``item()`` would
    instead wait for all launched work, and the device would be idle while the next step is prepared.
    """

    def __init__(self, watch: LossWatch, *, where: str):
        self._watch, self._where = watch, where
        self._on_device: list[torch.Tensor] = []
        self._on_host: list[float] = []
        self._coming: tuple[torch.Tensor, torch.cuda.Event | None] | None = None

    def add(self, loss: torch.Tensor) -> None:
        """Add the loss of the step that was just launched, and check the loss of the previous step."""
        coming = _send(loss)
        self.settle()
        self._coming = coming
        self._on_device.append(loss)

    def settle(self) -> None:
        """Check the pending loss, if there is one."""
        if self._coming is None:
            return
        host, event = self._coming
        self._coming = None
        if event is not None:
            event.synchronize()
        self._on_host.append(host.item())
        self._watch.see(self._on_host[-1], f"batch {len(self._on_host)} {self._where}")

    def last(self) -> float:
        """The last loss. Waits for its step and checks it."""
        self.settle()
        return self._on_host[-1]

    def mean(self) -> torch.Tensor:
        """The mean of all losses, as a scalar on the device. Checks the last one."""
        self.settle()
        return torch.stack(self._on_device).mean()


def _send(loss: torch.Tensor) -> tuple[torch.Tensor, torch.cuda.Event | None]:
    """(the loss in CPU memory, maybe still being copied; an event that marks the end of the copy, or None)."""
    if loss.device.type != "cuda":
        return loss, None
    host = loss.to("cpu", non_blocking=True)
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(loss.device))
    return host, event
