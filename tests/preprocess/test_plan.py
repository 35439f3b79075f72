"""Videos to shards."""

from hypothesis import given
from hypothesis import strategies as st

from preprocess.annotations.dataset import Video
from preprocess.plan import num_batches, plan_split


def videos(count):
    return [Video(key=f"v{number}", path=f"v{number}.mp4", labels=(0,)) for number in range(count)]


@given(st.integers(0, 500), st.integers(1, 100), st.integers(0, 3), st.randoms())
def test_every_video_is_in_one_shard_and_the_lengths_are_equal_but_for_one(count, samples_per_shard, seed, rng):
    listed = videos(count)
    shards = plan_split("train", listed, samples_per_shard=samples_per_shard, seed=seed)
    planned = [video for shard in shards for video in shard.videos]
    assert sorted(planned, key=lambda video: video.key) == sorted(listed, key=lambda video: video.key)
    assert [shard.number for shard in shards] == list(range(len(shards)))
    lengths = {len(shard.videos) for shard in shards}
    assert not lengths or (min(lengths) >= 1 and max(lengths) - min(lengths) <= 1)
    rng.shuffle(listed)
    assert plan_split("train", listed, samples_per_shard=samples_per_shard, seed=seed) == shards


def test_seeds_and_splits_shuffle_differently():
    def keys(split, seed):
        return [video.key for video in plan_split(split, videos(50), samples_per_shard=50, seed=seed)[0].videos]

    assert keys("train", 0) != keys("train", 1)
    assert keys("train", 0) != keys("validation", 0)


@given(st.integers(1, 10**6), st.integers(1, 5000))
def test_the_number_of_shards_has_many_divisors_and_is_near(num_videos, samples_per_shard):
    count = num_batches(num_videos, samples_per_shard)
    odd = count
    while odd % 2 == 0:
        odd //= 2
    assert odd in (1, 3)
    wanted = num_videos / samples_per_shard
    assert 1 <= count <= num_videos
    assert wanted < 1 or num_videos < 3 or 0.66 <= count / wanted <= 1.45


def test_kinetics():
    assert num_batches(240_000, 1000) == 256
