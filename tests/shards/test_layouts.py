"""Layouts: inverses and permutations for every grid, and the papers' orders from their equations."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from shards.layouts import BLACK, MEAN_COLOR, ORDERS, PADS, Layout, clip_order, grid_for, reorder, tile, untile

PAPERS = (4, 8, 9, 12, 14, 16, 32, 64)
FIXED = [order for order in ORDERS if order != "random"]


def layout(frames, rows, columns, **options):
    return Layout(name="test", frames=frames, rows=rows, columns=columns, **{"tile": 2, **options})


def clip(frames, side=2):
    """A clip in which every pixel has a different value."""
    return np.random.default_rng(frames).integers(0, 256, (frames, side, side, 3), np.uint8)


@st.composite
def layouts(draw):
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    order = draw(st.sampled_from(ORDERS))
    pad = draw(st.sampled_from(PADS))
    full = order == "nested" or pad == "none"
    frames = rows * columns if full else draw(st.integers(1, rows * columns))
    side = draw(st.integers(1, 5))
    groups = draw(st.sampled_from([n for n in range(1, frames + 1) if frames % n == 0])) if order == "nested" else None
    return layout(frames, rows, columns, order=order, pad=pad, tile=side, groups=groups)


@given(layouts(), st.integers(0, 1000))
def test_untile_is_the_inverse_of_tile(spec, seed):
    order = clip_order(spec, np.random.default_rng(seed))
    frames = clip(spec.frames, spec.tile)
    image = tile(frames, spec, order)
    assert image.shape == (spec.rows * spec.tile, spec.columns * spec.tile, 3)
    assert np.array_equal(untile(image, spec, order), frames)


@given(layouts(), st.integers(0, 1000))
def test_every_order_is_a_permutation_of_the_frames(spec, seed):
    order = clip_order(spec, np.random.default_rng(seed))
    assert sorted(order.tolist()) == list(range(spec.frames))


@given(layouts(), st.integers(0, 1000))
def test_reorder_is_tile_in_the_other_order(spec, seed):
    rng = np.random.default_rng(seed)
    old, new = clip_order(spec, rng), rng.permutation(spec.frames)
    frames = clip(spec.frames, spec.tile)
    assert np.array_equal(reorder(tile(frames, spec, old), spec, old, new), tile(frames, spec, new))


@given(layouts(), st.integers(0, 1000))
def test_a_super_image_is_what_pasting_by_hand_makes(spec, seed):
    order = clip_order(spec, np.random.default_rng(seed))
    frames = clip(spec.frames, spec.tile)
    sheet = Image.new(
        "RGB", (spec.columns * spec.tile, spec.rows * spec.tile), BLACK if spec.pad == "black" else MEAN_COLOR
    )
    for cell in range(spec.cells):
        shown = frames[order[cell]] if cell < spec.frames else frames[-1]
        if cell < spec.frames or spec.pad == "last":
            sheet.paste(Image.fromarray(shown), (cell % spec.columns * spec.tile, cell // spec.columns * spec.tile))
    assert np.array_equal(tile(frames, spec, order), np.asarray(sheet))


@given(st.integers(1, 400))
def test_the_grid_rule_is_the_smallest_of_its_two_shapes_that_fits(frames):
    """SIFAR 3.2."""
    m = math.ceil(math.sqrt(frames))
    rows, columns = grid_for(frames)
    assert (rows, columns) in ((m - 1, m), (m, m))
    assert rows * columns >= frames
    assert (rows == m) == (frames > (m - 1) * m)


@pytest.mark.parametrize(
    ("frames", "grid"),
    [
        (4, (2, 2)),
        (8, (3, 3)),
        (9, (3, 3)),
        (12, (3, 4)),
        (14, (4, 4)),
        (16, (4, 4)),
        (32, (6, 6)),
        (64, (8, 8)),
        (1, (1, 1)),
    ],
)
def test_the_papers_grids(frames, grid):
    """SIFAR 3.2: 8 in 3x3, 12 in 3x4, 14 and 16 in 4x4."""
    assert grid_for(frames) == grid


@pytest.mark.parametrize("frames", PAPERS)
def test_strips_and_grids_of_any_shape_hold_the_papers_clips(frames):
    shapes = [(rows, frames // rows) for rows in range(1, frames + 1) if frames % rows == 0]
    assert (1, frames) in shapes
    assert (frames, 1) in shapes
    for rows, columns in shapes:
        for order in ("row_major", "column_major", "snake", "reverse"):
            spec = layout(frames, rows, columns, order=order, pad="none")
            assert np.array_equal(untile(tile(clip(frames), spec), spec), clip(frames))


def flatten_row_major(images):
    """Flatten eq. 2-4 word for word: image z_k goes to row floor(z_k / m), column z_k % m of an m x m image."""
    m = math.isqrt(len(images))
    grid = np.empty((m, m), object)
    for z, image in enumerate(images):
        grid[z // m, z % m] = image
    return np.block([[grid[row, column] for column in range(m)] for row in range(m)])


def flatten_nested(images, groups):
    """Flatten eq. 5-10 word for word: I_n = i_{(n-1)q+1} ... i_{nq}, q = K/N; I'' = f(f(I_1), ..., f(I_N))."""
    q = len(images) // groups
    return flatten_row_major([flatten_row_major(images[n * q : (n + 1) * q]) for n in range(groups)])


@pytest.mark.parametrize(
    ("frames", "groups"), [(4, 1), (4, 4), (9, 9), (16, 4), (16, 1), (36, 4), (36, 9), (64, 4), (64, 16)]
)
def test_nested_is_the_papers_equations(frames, groups):
    m = math.isqrt(frames)
    numbers = [np.full((1, 1), number) for number in range(frames)]
    order = clip_order(layout(frames, m, m, order="nested", groups=groups))
    assert np.array_equal(order.reshape(m, m), flatten_nested(numbers, groups))


def test_nested_of_16_worked_out_by_hand():
    """Flatten Fig. 2b: 1 2 5 6 / 3 4 7 8 / 9 10 13 14 / 11 12 15 16; sqrt(16) groups is the default."""
    for groups in (None, 4):
        order = clip_order(layout(16, 4, 4, order="nested", groups=groups)) + 1
        assert order.tolist() == [1, 2, 5, 6, 3, 4, 7, 8, 9, 10, 13, 14, 11, 12, 15, 16]


@pytest.mark.parametrize(("frames", "blocks"), [(4, (1, 2)), (9, (1, 3)), (16, (2, 2)), (36, (2, 3)), (64, (2, 4))])
def test_sqrt_groups_fill_blocks_row_by_row(frames, blocks):
    """If sqrt(T) is not a square number, the blocks are wide, and as square as the grid allows."""
    m = math.isqrt(frames)
    order = clip_order(layout(frames, m, m, order="nested")).reshape(m, m)
    rows, columns = blocks
    for number in range(m):
        top, left = number // (m // columns) * rows, number % (m // columns) * columns
        block = order[top : top + rows, left : left + columns]
        assert block.reshape(-1).tolist() == list(range(number * m, (number + 1) * m))


@pytest.mark.parametrize(
    ("order", "rows"),
    [
        ("row_major", [[0, 1, 2], [3, 4, 5]]),
        ("column_major", [[0, 2, 4], [1, 3, 5]]),
        ("snake", [[0, 1, 2], [5, 4, 3]]),
        ("reverse", [[5, 4, 3], [2, 1, 0]]),
    ],
)
def test_orders_worked_out_by_hand(order, rows):
    assert clip_order(layout(6, 2, 3, order=order)).reshape(2, 3).tolist() == rows


def test_pads_stay_last_whatever_the_order():
    """5 frames in 2x3, column by column: 0 2 4 / 1 3 and a pad."""
    spec = layout(5, 2, 3, order="column_major")
    assert clip_order(spec).tolist() == [0, 2, 4, 1, 3]
    assert (tile(clip(5), spec)[2:, 4:] == MEAN_COLOR).all()


def test_the_default_pad_is_zero_after_normalisation():
    """SIFAR's code pads with 0 after normalization. 8 bits allow an error of half of 1/255."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    assert (np.abs((np.array(MEAN_COLOR) / 255 - mean) / std) < 0.5 / 255 / 0.224).all()


@pytest.mark.parametrize("order", FIXED)
def test_fixed_orders_ask_no_generator(order):
    spec = layout(16, 4, 4, order=order)
    assert np.array_equal(clip_order(spec), clip_order(spec, np.random.default_rng(1)))


def test_random_orders_differ_and_need_a_generator():
    spec = layout(16, 4, 4, order="random")
    assert not np.array_equal(clip_order(spec, np.random.default_rng(1)), clip_order(spec, np.random.default_rng(2)))
    with pytest.raises(ValueError, match="needs a random generator"):
        clip_order(spec)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((7, 2, 4), {"pad": "none"}, "7 frames do not fill 2x4 with pad=none; use pad=mean or 8 frames"),
        ((9, 2, 4), {}, "9 frames do not fit in 2x4 = 8 cells"),
        ((8, 2, 4), {"order": "zigzag"}, "must be one of row_major"),
        ((8, 2, 4), {"pad": "white"}, "must be one of mean"),
        ((8, 2, 4), {"groups": 2}, "is only for order=nested"),
        ((8, 2, 4), {"order": "nested"}, "8 is not a square number; give groups"),
        ((8, 3, 3), {"order": "nested", "groups": 2}, "needs a full grid"),
        ((16, 4, 4), {"order": "nested", "groups": 3}, "groups that divide it"),
        ((6, 2, 3), {"order": "nested", "groups": 0}, "groups that divide it"),
        ((0, 1, 1), {}, "each must be at least 1"),
    ],
)
def test_layouts_that_cannot_be(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        layout(*arguments, **options)


def test_arrays_of_another_shape_are_refused():
    spec = layout(4, 2, 2)
    with pytest.raises(ValueError, match="needs"):
        tile(clip(5), spec)
    with pytest.raises(ValueError, match="has"):
        untile(np.zeros((4, 6, 3), np.uint8), spec)
    with pytest.raises(ValueError, match="not a permutation"):
        tile(clip(4), spec, np.array([0, 1, 1, 2]))
