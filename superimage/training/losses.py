"""The losses of an epoch, looked at one step late, so that the device computes while this process waits."""

import math

import torch

_HALVINGS = 16  # torch.amp.GradScaler begins at 2 ** 16


class LossWatch:
    """Ends a run whose loss is no longer a number.

    Without a gradient scaler the first such loss ends it: the weights after it are lost. A scaler leaves such updates
    out and halves its scale; then as many in a row end it as there are halvings from its first scale to 1, counted
    through the epochs, which may be shorter.
    """

    def __init__(self, *, scales: bool):
        self._patience, self._where = _HALVINGS if scales else 1, []

    def see(self, loss: float, where: str) -> None:
        """ValueError at the loss that ends the run; ``where``: ``batch 3 of 9 of epoch 1``."""
        self._where = [] if math.isfinite(loss) else [*self._where, f"{loss} at {where}"]
        if len(self._where) == self._patience:
            raise ValueError(
                f"the loss is {self._where[0]}: lower --lr, or limit with --clip-grad; checkpoints of earlier epochs "
                "are kept"
            )


class Losses:
    """The losses of an epoch, as scalars on the device; ValueError from ``watch`` when they are finite no longer.

    ``where`` follows the number of a batch in the message: ``of 9 of epoch 1``. On CUDA a loss is copied to the host
    behind its own step, and waited for after the next step is launched. Reading it from the device (``item``) would
    wait for all that is launched, and the device would stand idle while the following step is prepared.
    """

    def __init__(self, watch: LossWatch, *, where: str):
        self._watch, self._where = watch, where
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
        self._watch.see(self._on_host[-1], f"batch {len(self._on_host)} {self._where}")

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
