"""How fast an epoch goes: images a second, and the share of the time in which the device waited for data."""

import time
from collections.abc import Iterable, Iterator

import torch


class Pace:
    """Counts the images of one rank between two lines of the log, and the seconds that the device had no batch.

    Time runs from the arrival of an epoch's first batch, which waits for the loader's workers to start. On CUDA the
    device's own clock says how long it stood idle from the end of one step to the arrival of the next batch there: this
    process may wait in the loader for the device, too, since a copy from memory that is not pinned waits for its turn.
    """

    def __init__(self, device: torch.device, world_size: int = 1):
        self.device, self.world_size = device, world_size
        self._gap = _DeviceGap if device.type == "cuda" else _Gap
        self._images, self._gaps, self._since = 0, [], None

    def of(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """The same batches, counted."""
        gap = None
        for batch in batches:
            if gap is None:
                self._since = time.perf_counter()
            else:
                gap.end()
                self._gaps.append(gap)
            self._images += len(batch[0])
            yield batch
            gap = self._gap()

    def told(self) -> str:
        """``812.3 img/s, 4 % waiting for data, 31.2 GB`` since the last call; to be called when a step has ended.

        The images are those of all ranks; the memory is the most that this process's tensors have had on its GPU.
        """
        now = time.perf_counter()
        seconds = max(now - self._since, 1e-9)
        rate, waited = self._images * self.world_size / seconds, sum(gap.seconds() for gap in self._gaps)
        parts = [f"{rate:.1f} img/s", f"{100 * waited / seconds:.0f} % waiting for data"]
        if self.device.type == "cuda":
            parts.append(f"{torch.cuda.max_memory_allocated(self.device) / 1e9:.1f} GB")
        self._images, self._gaps, self._since = 0, [], now
        return ", ".join(parts)


class _Gap:
    """From the end of a step to the next batch, where a step has ended when this process goes on."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def end(self) -> None:
        self._ended = time.perf_counter()

    def seconds(self) -> float:
        return self._ended - self._began


class _DeviceGap:
    """The same on a GPU, which is behind this process: it notes the two moments when it gets there."""

    def __init__(self) -> None:
        self._began, self._ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._began.record()

    def end(self) -> None:
        self._ended.record()

    def seconds(self) -> float:
        self._ended.synchronize()
        return self._began.elapsed_time(self._ended) / 1000
