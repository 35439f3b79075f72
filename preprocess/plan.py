"""Distributes the videos of a split over batches. Pure."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from preprocess.annotations.dataset import Video


@dataclass(frozen=True, kw_only=True)
class VideoBatch:
    """Videos that are converted and rebuilt together, into one shard for each layout and view."""

    split: str
    number: int
    videos: tuple[Video, ...]


def plan_split(split: str, videos: Sequence[Video], *, samples_per_shard: int, seed: int) -> list[VideoBatch]:
    """Shuffle the videos of a split once and cut them into batches whose lengths differ by at most one.

    The order of ``videos`` does not matter, because they are sorted by key before the shuffle.
    """
    shuffled = sorted(videos, key=lambda video: video.key)
    random.Random(f"{seed} {split}").shuffle(shuffled)
    count = num_batches(len(shuffled), samples_per_shard)
    bounds = [len(shuffled) * number // count for number in range(count + 1)] if count else []
    return [
        VideoBatch(split=split, number=number, videos=tuple(shuffled[begin:end]))
        for number, (begin, end) in enumerate(pairwise(bounds))
    ]


def num_batches(num_videos: int, samples_per_shard: int) -> int:
    """A number with many divisors near ``num_videos / samples_per_shard``: ``240000, 1000 -> 256``.

    timm's reader distributes whole shards over ranks x loader workers, so the number of shards should be a multiple of
    this product. The result is 2^a or 3 * 2^a, whichever is nearer in ratio.
    """
    if num_videos == 0:
        return 0
    wanted = num_videos / samples_per_shard
    friendly = sorted({factor << power for factor in (1, 3) for power in range(40)})
    possible = [count for count in friendly if count <= num_videos]
    return min(possible, key=lambda count: max(count / wanted, wanted / count))
