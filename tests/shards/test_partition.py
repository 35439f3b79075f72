"""Partition of an epoch by rank and worker: no sample twice, only the tail is dropped, equal steps on all ranks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.partition import batches_of_worker, files_of_range, samples_of_rank

counts = st.integers(1, 200)
few = st.integers(1, 7)


@given(counts, few, few, few)
def test_training_gives_every_rank_the_same_whole_batches(num_samples, num_ranks, num_workers, batch_size):
    if num_samples < num_ranks * batch_size:
        with pytest.raises(ValueError, match="do not make one batch"):
            samples_of_rank(num_samples, rank=0, num_ranks=num_ranks, batch_size=batch_size)
        return
    seen = []
    for rank in range(num_ranks):
        rank_range = samples_of_rank(num_samples, rank=rank, num_ranks=num_ranks, batch_size=batch_size)
        assert len(rank_range) == num_samples // (num_ranks * batch_size) * batch_size
        for worker in range(num_workers):
            part = batches_of_worker(rank_range, batch_size=batch_size, worker=worker, num_workers=num_workers)
            assert len(part) % batch_size == 0
            seen += part
    assert len(seen) == len(set(seen))
    assert num_samples - len(seen) < num_ranks * batch_size


@given(counts, few, few, few)
def test_evaluation_gives_each_sample_once(num_samples, num_ranks, num_workers, batch_size):
    seen, batches = [], 0
    for rank in range(num_ranks):
        rank_range = samples_of_rank(num_samples, rank=rank, num_ranks=num_ranks, batch_size=None)
        batches += -(-len(rank_range) // batch_size)
        for worker in range(num_workers):
            part = batches_of_worker(rank_range, batch_size=batch_size, worker=worker, num_workers=num_workers)
            batches -= -(-len(part) // batch_size)
            seen += part
    assert seen == list(range(num_samples))
    assert batches == 0, "several workers must not make more batches than one"


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.data())
def test_a_range_of_samples_is_read_from_the_right_files(lengths, data):
    total = sum(lengths)
    start = data.draw(st.integers(0, total))
    sample_range = range(start, data.draw(st.integers(start, total)))
    samples = [(number, place) for number, length in enumerate(lengths) for place in range(length)]
    found = files_of_range(lengths, sample_range)
    pieces = [(number, place) for number, begin, end in found for place in range(begin, end)]
    assert pieces == [samples[index] for index in sample_range]
