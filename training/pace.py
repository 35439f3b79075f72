"""How fast an epoch goes: images a second, and the share of the time that was spent waiting for data."""

import time
from collections.abc import Iterable, Iterator

import torch


class Pace:
    """Counts the images of one rank between two lines of the log, and the seconds in which the loader had none ready.

    Time runs from the arrival of an epoch's first batch, which waits for the loader's workers to start.
    """

    def __init__(self, device: torch.device, world_size: int = 1):
        self.device, self.world_size = device, world_size
        self._images, self._waited, self._since = 0, 0.0, None

    def of(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The same batches, counted."""
        iterator, began = iter(batches), time.perf_counter()
        for batch in iterator:
            now = time.perf_counter()
            if self._since is None:
                self._since = now
            else:
                self._waited += now - began
            self._images += len(batch[0])
            yield batch
            began = time.perf_counter()

    def told(self) -> str:
        """``812.3 img/s, 4 % waiting for data, 31.2 GB`` since the last call, where all batches so far are trained on.

        The images are those of all ranks; the memory is the most that this process's tensors have had on its GPU.
        """
        now = time.perf_counter()
        seconds = max(now - self._since, 1e-9)
        rate = self._images * self.world_size / seconds
        parts = [f"{rate:.1f} img/s", f"{100 * self._waited / seconds:.0f} % waiting for data"]
        if self.device.type == "cuda":
            parts.append(f"{torch.cuda.max_memory_allocated(self.device) / 1e9:.1f} GB")
        self._images, self._waited, self._since = 0, 0.0, now
        return ", ".join(parts)
