"""Which samples of an epoch go to which rank and loader worker. Pure.

All samples of a split are one row, numbered 0 to N - 1. A share is a ``range`` of that row.
"""

from collections.abc import Iterator, Sequence


def samples_of_rank(num_samples: int, *, rank: int, num_ranks: int, batch_size: int | None) -> range:
    """The share of one rank.

    With a batch size (training) every rank gets the same number of whole batches: ``10 samples, 2 ranks, batch 2`` ->
    ``0..3`` and ``4..7``. Ranks with different numbers of steps would wait for each other for ever. Without one
    (evaluation) all samples are dealt: ``0..4`` and ``5..9``.
    """
    if batch_size is None:
        return range(num_samples * rank // num_ranks, num_samples * (rank + 1) // num_ranks)
    share = num_samples // (num_ranks * batch_size) * batch_size
    if share == 0:
        raise ValueError(
            f"{num_samples} samples do not make one batch of {batch_size} on each of {num_ranks} ranks; "
            f"use a batch size of at most {num_samples // num_ranks}"
        )
    return range(share * rank, share * (rank + 1))


def batches_of_worker(share: range, *, batch_size: int, worker: int, num_workers: int) -> range:
    """One loader worker's part of its rank's share: whole batches, but for the very last one of the share.

    ``0..9, batch 4, 2 workers -> 0..3 and 4..9``: the number of batches is that of a single worker.
    """
    num_batches = -(-len(share) // batch_size)
    begin, end = (num_batches * part // num_workers * batch_size for part in (worker, worker + 1))
    return range(share.start + begin, min(share.start + end, share.stop))


def cut_row(lengths: Sequence[int], share: range) -> Iterator[tuple[int, int, int]]:
    """The files that a share touches: ``lengths [3, 3], share 2..4 -> (0, 2, 3), (1, 0, 2)`` as (file, start, stop)."""
    offset = 0
    for number, length in enumerate(lengths):
        start, stop = max(share.start - offset, 0), min(share.stop - offset, length)
        if start < stop:
            yield number, start, stop
        offset += length
