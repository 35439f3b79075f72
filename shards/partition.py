"""Distributes the samples of an epoch to ranks and loader workers. Pure.

The samples of a split are numbered from 0 to N - 1, through all of its shards. Each rank, and each loader worker of a
rank, reads a ``range`` of these numbers.
"""

from collections.abc import Iterator, Sequence


def samples_of_rank(num_samples: int, *, rank: int, num_ranks: int, batch_size: int | None) -> range:
    """The samples that one rank reads.

    Training passes a batch size, and every rank gets the same number of whole batches: ``10 samples, 2 ranks, batch 2
    -> 0..3 and 4..7``. If one rank had more steps, it would wait for the others forever. Evaluation passes None, and
    every sample is read: ``0..4 and 5..9``. Raises ValueError if there is not one batch for each rank.
    """
    if batch_size is None:
        return range(num_samples * rank // num_ranks, num_samples * (rank + 1) // num_ranks)
    per_rank = num_samples // (num_ranks * batch_size) * batch_size
    if per_rank == 0:
        raise ValueError(
            f"{num_samples} samples do not make one batch of {batch_size} on each of {num_ranks} ranks; "
            f"use a batch size of at most {num_samples // num_ranks}"
        )
    return range(per_rank * rank, per_rank * (rank + 1))


def batches_of_worker(rank_range: range, *, batch_size: int, worker: int, num_workers: int) -> range:
    """The part of a rank's samples that one loader worker reads: whole batches, except for the last batch of the rank.

    ``0..9, batch 4, 2 workers -> 0..3 and 4..9``. So the number of batches does not depend on the number of workers.
    """
    num_batches = -(-len(rank_range) // batch_size)
    begin, end = (num_batches * part // num_workers * batch_size for part in (worker, worker + 1))
    return range(rank_range.start + begin, min(rank_range.start + end, rank_range.stop))


def files_of_range(lengths: Sequence[int], samples: range) -> Iterator[tuple[int, int, int]]:
    """The files that contain a range of samples, as (file number, start, stop).

    ``lengths [3, 3], samples 2..4 -> (0, 2, 3), (1, 0, 2)``.
    """
    offset = 0
    for number, length in enumerate(lengths):
        start, stop = max(samples.start - offset, 0), min(samples.stop - offset, length)
        if start < stop:
            yield number, start, stop
        offset += length
