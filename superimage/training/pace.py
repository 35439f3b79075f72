"""Measures images per second, and the fraction of time that the device waits for data."""

import time
from collections.abc import Iterable, Iterator

import torch


class Pace:
    """Counts the images of one rank between two log lines, and measures how long the device had no batch.

    Time starts at the first batch of an epoch, since that batch waits for the loader workers to start. On CUDA, the
    idle time between a step and the next batch is measured on the device. This process cannot measure it, since it may
    itself wait for the device in the loader, when a batch is copied from memory that is not pinned.
    """

    def __init__(self, device: torch.device, world_size: int = 1):
        self.device, self.world_size = device, world_size
        self._gap = _DeviceGap if device.type == "cuda" else _Gap
        self._images, self._gaps, self._since = 0, [], None

    def of(self, batches: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield the batches and count their images."""
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

    def summary(self) -> str:
        """``812.3 img/s, 4 % waiting for data, 31.2 GB`` since the last call. Call it after a step.

        The images are of all ranks. The memory is the peak of this process's tensors on its GPU.
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
    """The time between a step and the next batch on the CPU, where a step is complete when its call returns."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def end(self) -> None:
        self._ended = time.perf_counter()

    def seconds(self) -> float:
        return self._ended - self._began


class _DeviceGap:
    """The same time on a GPU, measured by CUDA events, since the GPU runs behind this process."""

    def __init__(self) -> None:
        self._began, self._ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._began.record()

    def end(self) -> None:
        self._ended.record()

    def seconds(self) -> float:
        self._ended.synchronize()
        return self._began.elapsed_time(self._ended) / 1000
