"""When frames are shown, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.decode.timeline import as_ticks, parts, ticks_of_avi, times_of_frames


def times(ticks, part_of=None):
    part_of = np.zeros(len(ticks), int) if part_of is None else np.array(part_of)
    return times_of_frames(as_ticks(ticks), part_of, 1 / 10, 10).round(6).tolist()


@pytest.mark.parametrize(
    ("decoding", "pause", "expected"),
    [
        ([0, 1, 2, 0, 1], None, [0, 0, 0, 1, 1]),
        ([0, 1, 2, 99, 100], None, [0, 0, 0, 0, 0]),
        ([0, 1, 2, 99, 100], 10, [0, 0, 0, 1, 1]),
        ([5, None, 6, None, 1], 10, [0, 0, 0, 0, 1]),
        ([None, None], 10, [0, 0]),
        ([100, 101, 0, 1, 90], 10, [0, 0, 1, 1, 2]),
    ],
)
def test_a_part_begins_where_the_clock_jumps(decoding, pause, expected):
    assert parts(as_ticks(decoding), pause).tolist() == expected


def test_the_next_part_begins_a_usual_step_after_the_last_frame():
    assert times([50, 52, 54, 7, 9], [0, 0, 0, 1, 1]) == [0, 0.2, 0.4, 0.6, 0.8]
    assert times([50, 52, 54, 50, 52], [0, 0, 0, 1, 1]) == [0, 0.2, 0.4, 0.6, 0.8]


def test_frames_without_a_stamp_stand_between_the_others():
    assert times([0, None, 4, None]) == [0, 0.2, 0.4, 0.5]
    assert times([None, None, None]) == [0, 0.1, 0.2]


def test_stamps_that_stand_twice_and_go_backward_are_mistakes():
    assert times([0, 1, 2, 1, 4]) == [0, 0.1, 0.2, 0.3, 0.4]
    assert times([0, 0, 1, 1, 2]) == [0, 0, 0.1, 0.1, 0.2]  # doubled, but in order: they are meant


def test_an_avi_shows_a_frame_when_the_decoder_gives_it():
    assert ticks_of_avi(as_ticks([0, 24, 48, 72]), 2).tolist() == [48, 72, 96, 120]
    assert ticks_of_avi(as_ticks([0, 3, 4, 5]), 0).tolist() == [0, 3, 4, 5]
    assert ticks_of_avi(as_ticks([0]), 2).tolist() == [0]


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 99)), min_size=1, max_size=20),
    st.lists(st.integers(0, 1), min_size=20, max_size=20),
)
def test_times_begin_at_0_and_never_go_backward(ticks, begins):
    part_of = np.cumsum(begins[: len(ticks)])
    found = times_of_frames(as_ticks(ticks), part_of, 0.1, 10)
    assert found[0] == 0
    assert (np.diff(found) >= 0).all()
