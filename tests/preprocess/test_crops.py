"""Which pixels: boxes that stay in the frame, and the papers' recipes worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.crops import TEST_CROP_COUNTS, TRAIN_CROPS, crop_for_test, crop_for_training

sides = st.integers(1, 4000)
recipes = st.sampled_from(TRAIN_CROPS)
seeds = st.integers(0, 2**32 - 1)


def draws(recipe, width, height, count=2000, flip=False):
    return [
        crop_for_training(width, height, recipe, flip=flip, rng=np.random.default_rng(seed)) for seed in range(count)
    ]


def assert_inside(crop, width, height):
    left, top, right, bottom = crop.box
    assert 0 <= left < right <= width + 1e-6
    assert 0 <= top < bottom <= height + 1e-6


@given(sides, sides, recipes, st.booleans(), seeds)
def test_training_crops_stay_in_the_frame(width, height, recipe, flip, seed):
    crop = crop_for_training(width, height, recipe, flip=flip, rng=np.random.default_rng(seed))
    assert_inside(crop, width, height)
    assert flip or not crop.flip


@given(sides, sides, st.sampled_from(TEST_CROP_COUNTS), st.floats(0.05, 1.0))
def test_test_crops_stay_in_the_frame_and_are_square(width, height, count, fraction):
    for number in range(count):
        crop = crop_for_test(width, height, number=number, num_crops=count, fraction=fraction)
        assert_inside(crop, width, height)
        assert crop.width == crop.height == pytest.approx(max(min(width, height) * fraction, 1), abs=0.5)
        assert crop.flip == (number >= 5)


def test_multiscale_has_ten_sizes_of_one_step_apart_and_thirteen_places():
    """Wang et al. 2016, SIFAR 4.1: of 320x240 the sizes 240, 210, 180, 158; 240x210 stands at quarters of 80 and 28."""
    crops = draws("multiscale", 320, 240)
    sizes = [240, 210, 180, 158]
    pairs = {(a, b) for i, a in enumerate(sizes) for j, b in enumerate(sizes) if abs(i - j) <= 1}
    assert {(crop.width, crop.height) for crop in crops} == pairs
    places = {(crop.left, crop.top) for crop in crops if (crop.width, crop.height) == (240, 210)}
    assert places == {
        *((0, 0), (80, 0), (0, 28), (80, 28), (40, 14)),
        *((0, 14), (80, 14), (40, 28), (40, 0)),
        *((20, 7), (60, 7), (20, 21), (60, 21)),
    }


def test_short_side_is_a_square_of_224_in_256_to_320():
    """STAM 4; the box is in pixels of the unscaled frame."""
    crops = draws("short_side", 640, 480)
    fractions = [crop.width / 480 for crop in crops]
    assert all(crop.width == crop.height for crop in crops)
    assert 224 / 320 <= min(fractions) < 0.702
    assert 0.873 < max(fractions) <= 224 / 256
    assert max(crop.left + crop.width for crop in crops) > 630
    assert min(crop.left for crop in crops) < 10


@pytest.mark.parametrize("recipe", TRAIN_CROPS)
def test_half_of_the_views_are_mirrored(recipe):
    assert 900 < sum(crop.flip for crop in draws(recipe, 320, 240, flip=True)) < 1100


def test_a_flip_changes_nothing_else():
    for plain, flipped in zip(draws("multiscale", 99, 77, 50), draws("multiscale", 99, 77, 50, flip=True)):
        assert plain.box == flipped.box


@pytest.mark.parametrize(
    ("size", "count", "expected"),
    [
        # SIFAR 4.1: top-left, center, bottom-right, which is along the long side when the short one is filled
        ((320, 240), 3, [(40, 0), (0, 0), (80, 0)]),
        ((240, 320), 3, [(0, 40), (0, 0), (0, 80)]),
        ((320, 240), 1, [(40, 0)]),
        ((240, 240), 3, [(0, 0)] * 3),
    ],
)
def test_test_crops_worked_out_by_hand(size, count, expected):
    crops = [crop_for_test(*size, number=number, num_crops=count) for number in range(count)]
    assert [(crop.left, crop.top) for crop in crops] == expected


def test_stam_takes_the_central_224_of_256():
    crop = crop_for_test(340, 256, number=0, num_crops=1, fraction=0.875)
    assert crop.box == (58, 16, 282, 240)


def test_five_crops_are_the_centre_and_the_corners_and_ten_mirror_them():
    five = [crop_for_test(340, 256, number=number, num_crops=5, fraction=0.875) for number in range(5)]
    assert [(crop.left, crop.top) for crop in five] == [(58, 16), (0, 0), (116, 0), (0, 32), (116, 32)]
    ten = [crop_for_test(340, 256, number=number, num_crops=10, fraction=0.875) for number in range(10)]
    assert [crop.box for crop in ten] == [crop.box for crop in five] * 2


def test_crops_that_do_not_exist():
    with pytest.raises(ValueError, match="1, 3, 5, 10"):
        crop_for_test(320, 240, number=0, num_crops=2)
    with pytest.raises(ValueError, match="multiscale, short_side, center"):
        crop_for_training(320, 240, "random", flip=False, rng=np.random.default_rng(0))
