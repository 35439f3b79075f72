"""Which frames: what holds for all inputs, and the papers' formulas worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.sampling import Sampling, indices_for_test, indices_for_training

PAPERS = (4, 8, 9, 12, 14, 16, 32, 64)
SAMPLINGS = {
    "independent": Sampling(offset="independent"),
    "shared": Sampling(offset="shared"),
    "sifar": Sampling(offset="shared", clip_positions="sifar"),
    "dense": Sampling(strategy="dense", stride_frames=8),
    "fps": Sampling(strategy="fps", fps=1.6),
}
num_frames = st.integers(1, 3000)
clip_frames = st.sampled_from(PAPERS) | st.integers(1, 80)
samplings = st.sampled_from(list(SAMPLINGS.values()))
seeds = st.integers(0, 2**32 - 1)
clips = st.integers(1, 10).flatmap(lambda count: st.tuples(st.integers(0, count - 1), st.just(count)))


def ntsc(n):
    """When n frames at 29.97 a second are shown."""
    return np.arange(n) * 1001 / 30000


def assert_valid(indices, n, t):
    assert indices.dtype == np.int64
    assert indices.shape == (t,)
    assert ((indices >= 0) & (indices < n)).all()
    assert (np.diff(indices) >= 0).all()


@given(num_frames, clip_frames, samplings, seeds)
def test_training_indices_are_valid_and_in_order(n, t, sampling, seed):
    assert_valid(indices_for_training(n, t, sampling, np.random.default_rng(seed), times_seconds=ntsc(n)), n, t)


@given(num_frames, clip_frames, samplings, clips)
def test_test_indices_are_valid_and_in_order(n, t, sampling, clip):
    assert_valid(indices_for_test(n, t, sampling, clip=clip[0], num_clips=clip[1], times_seconds=ntsc(n)), n, t)


@given(num_frames, clip_frames, seeds)
def test_uniform_takes_one_frame_of_each_equal_segment(n, t, seed):
    indices = indices_for_training(n, t, SAMPLINGS["independent"], np.random.default_rng(seed))
    place = np.arange(t)
    assert (indices >= place * n // t).all()
    assert (indices * t < (place + 1) * n).all()


@given(clip_frames, st.integers(1, 100), st.integers(0, 100), seeds)
def test_a_shared_offset_is_the_same_in_every_segment(t, segment, rest, seed):
    """SIFAR's code: t * (n // T) + o."""
    n = t * segment + rest % t
    indices = indices_for_training(n, t, SAMPLINGS["shared"], np.random.default_rng(seed))
    assert 0 <= indices[0] < segment
    assert np.array_equal(indices - indices[0], np.arange(t) * segment)


@given(st.integers(1, 63), seeds)
def test_too_few_frames_repeat_in_order_and_all_are_shown(n, seed):
    for name in ("independent", "shared", "sifar"):
        indices = indices_for_test(n, 64, SAMPLINGS[name])
        assert set(indices.tolist()) == set(range(n))
        assert_valid(indices_for_training(n, 64, SAMPLINGS[name], np.random.default_rng(seed)), n, 64)


@given(num_frames, clip_frames, st.integers(1, 20), seeds)
def test_dense_keeps_its_stride_where_it_fits(n, t, stride, seed):
    sampling = Sampling(strategy="dense", stride_frames=stride)
    indices = indices_for_training(n, t, sampling, np.random.default_rng(seed))
    if (t - 1) * stride < n:
        assert (np.diff(indices) == stride).all()


@given(st.integers(30, 3000), clip_frames, st.integers(2, 10))
def test_dense_test_clips_reach_both_ends(n, t, count):
    sampling = Sampling(strategy="dense", stride_frames=2)
    first, last = (indices_for_test(n, t, sampling, clip=clip, num_clips=count) for clip in (0, count - 1))
    if (t - 1) * 2 < n:
        assert (first[0], last[-1]) == (0, n - 1)


def test_every_frame_of_a_segment_can_be_drawn():
    rng = np.random.default_rng(0)
    for name in ("independent", "shared"):
        drawn = {int(indices_for_training(40, 4, SAMPLINGS[name], rng)[1]) for _ in range(400)}
        assert drawn == set(range(10, 20))


@pytest.mark.parametrize(
    ("n", "t", "expected"),
    [
        # SIFAR's code: int(n/T/2 + t*n/T)
        (16, 4, [2, 6, 10, 14]),
        (100, 8, [6, 18, 31, 43, 56, 68, 81, 93]),  # 6.25 18.75 31.25 43.75 56.25 68.75 81.25 93.75
        (5, 8, [0, 0, 1, 2, 2, 3, 4, 4]),  # .3125 .9375 1.5625 2.1875 2.8125 3.4375 4.0625 4.6875
        (1, 3, [0, 0, 0]),
        (10, 9, [0, 1, 2, 3, 5, 6, 7, 8, 9]),  # the middle one is 4.5 * 10/9 = 5 exactly
    ],
)
def test_uniform_test_indices_worked_out_by_hand(n, t, expected):
    assert indices_for_test(n, t, Sampling()).tolist() == expected


@pytest.mark.parametrize(
    ("n", "clip", "num_clips", "expected"),
    [
        # 12.5 frames a segment; the middles of 100 frames are shifted by -1, 0, +1
        (100, 0, 3, [5, 17, 30, 42, 55, 67, 80, 92]),
        (100, 1, 3, [6, 18, 31, 43, 56, 68, 81, 93]),
        (100, 2, 3, [7, 19, 32, 44, 57, 69, 82, 94]),
        # two clips: 0 and +1
        (100, 0, 2, [6, 18, 31, 43, 56, 68, 81, 93]),
        (100, 1, 2, [7, 19, 32, 44, 57, 69, 82, 94]),
        # 1.25 frames a segment: a shift by a whole frame is cut to half a segment
        (10, 0, 3, [0, 1, 2, 3, 5, 6, 7, 8]),
        (10, 2, 3, [1, 2, 3, 4, 6, 7, 8, 9]),
    ],
)
def test_sifar_clips_worked_out_by_hand(n, clip, num_clips, expected):
    assert indices_for_test(n, 8, SAMPLINGS["sifar"], clip=clip, num_clips=num_clips).tolist() == expected


def test_even_clips_stand_at_the_middles_of_equal_parts_of_each_segment():
    """10 frames a segment, 4 clips: 1.25, 3.75, 6.25, 8.75."""
    starts = [indices_for_test(80, 8, Sampling(), clip=clip, num_clips=4) for clip in range(4)]
    assert [indices.tolist() for indices in starts] == [list(range(first, 80, 10)) for first in (1, 3, 6, 8)]


def test_dense_clips_worked_out_by_hand():
    """8 frames, stride 8: 57 of 100 frames, so 43 to spare: starts 0, 21, 43; and 21 for a single clip."""
    dense = SAMPLINGS["dense"]
    starts = [int(indices_for_test(100, 8, dense, clip=clip, num_clips=3)[0]) for clip in range(3)]
    assert starts == [0, 21, 43]
    assert indices_for_test(100, 8, dense).tolist() == [21, 29, 37, 45, 53, 61, 69, 77]


def test_stam_samples_at_a_rate():
    """STAM: 16 frames at 1.6 a second of 10 seconds at 30: every 18.75 frames, 282 of 300, from 9 on."""
    indices = indices_for_test(300, 16, SAMPLINGS["fps"], times_seconds=np.arange(300) / 30)
    assert indices.tolist() == [9, 27, 46, 65, 84, 102, 121, 140, 159, 177, 196, 215, 234, 252, 271, 290]


def test_a_rate_is_kept_in_time_whatever_the_video_s_own():
    """Two seconds at 10 frames a second, then two at 30: at 5 a second every 2nd frame, then every 6th."""
    times = np.concatenate((np.arange(20) / 10, 2 + np.arange(60) / 30))
    indices = indices_for_test(80, 20, Sampling(strategy="fps", fps=5), clip=0, num_clips=2, times_seconds=times)
    assert indices.tolist() == [*range(0, 20, 2), *range(20, 80, 6)]


@given(st.integers(2, 200), clip_frames, st.floats(0.5, 60), seeds)
def test_each_frame_is_the_one_on_the_screen(n, t, fps, seed):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.01, 0.2, n))
    times -= times[0]
    indices = indices_for_training(n, t, Sampling(strategy="fps", fps=fps), rng, times_seconds=times)
    assert_valid(indices, n, t)
    length = times[-1] * n / (n - 1)  # the last frame is shown as long as the mean one
    if (t - 1) / fps < length - 0.01:
        moments = times[indices[0]] + np.arange(t) / fps
        assert (times[indices] <= moments + 0.002).all()
        following = np.append(times[1:], np.inf)[indices]
        assert (following > moments).all()
        assert moments[-1] <= length


@pytest.mark.parametrize("milliseconds", [False, True])
def test_a_constant_rate_is_a_constant_stride(milliseconds):
    """Also where the container rounds its times, as WebM does."""
    times = np.arange(120) / 30
    times = times.round(3) if milliseconds else times
    assert indices_for_test(120, 8, Sampling(strategy="fps", fps=3), times_seconds=times).tolist() == [
        24 + 10 * position for position in range(8)
    ]


def test_a_single_frame_repeats():
    assert indices_for_test(1, 8, SAMPLINGS["fps"], times_seconds=np.zeros(1)).tolist() == [0] * 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strategy": "evenly"}, "uniform, dense, fps"),
        ({"offset": "same"}, "independent, shared"),
        ({"strategy": "dense"}, "stride_frames belongs to strategy=dense"),
        ({"stride_frames": 4}, "stride_frames belongs to strategy=dense"),
        ({"strategy": "fps", "fps": 0.0}, "must be positive"),
    ],
)
def test_samplings_that_make_no_sense(options, message):
    with pytest.raises(ValueError, match=message):
        Sampling(**options)
