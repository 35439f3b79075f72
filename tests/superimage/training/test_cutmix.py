"""CutMix on super images: the same box in every tile, and everything else as in timm."""

import logging
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from super_images import layout, write_super_images
from timm.data import FastCollateMixup
from timm.data.mixup import cutmix_bbox_and_lam

import train_image
from shards.format import read_manifest
from superimage.training.command_line import parse_flags
from superimage.training.cutmix import TileMixup
from superimage.training.data import build_loaders, build_mixup
from superimage.training.device_env import DeviceEnv
from superimage.training.flags import GROUPS
from superimage.training.grid import find_super_images, fit_to_grid
from superimage.training.model import build_model

CPU = DeviceEnv(device=torch.device("cpu"), rank=0, world_size=1, distributed=False)
MODES = ("batch", "pair", "elem", "half")
GRIDS = ((1, 1), (3, 3), (1, 8), (4, 1), (2, 3))
CUTS = {"cutmix": {"cutmix_alpha": 1.0}, "minmax": {"cutmix_minmax": (0.2, 0.8)}}
BATCH, CLASSES = 6, 6


def samples(shape, *, seed=0, as_torch=False):
    """BATCH pairs of noise uint8 (3, *shape) and a class, each class different."""
    noise = np.random.default_rng(seed).integers(0, 256, (BATCH, 3, *shape), dtype=np.uint8)
    return [(torch.from_numpy(image) if as_torch else image, label) for label, image in enumerate(noise)]


def flat(value, shape):
    """An image with one value in every pixel."""
    return np.full((3, *shape), value, np.uint8)


def collate(kind, seed, batch, mode, **options):
    """The result of collate with this seed, and the next random number, which shows how many were drawn."""
    np.random.seed(seed)
    mixing = {"mixup_alpha": 0.0, "label_smoothing": 0.0, "num_classes": CLASSES, "mode": mode, **options}
    images, target = kind(**mixing)(batch)
    return images, target, np.random.rand()


def tiles_of(images, rows, columns):
    """Slice (B, C, rows*h, columns*w) into (B, C, h, w) for each cell."""
    h, w = images.shape[-2] // rows, images.shape[-1] // columns
    return [images[..., y * h : y * h + h, x * w : x * w + w] for y in range(rows) for x in range(columns)]


def assert_equal(left, right):
    assert torch.equal(left[0], right[0])
    assert torch.equal(left[1], right[1])
    assert left[2] == right[2]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("mode", MODES)
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), grid=st.sampled_from(GRIDS), size=st.tuples(*[st.integers(5, 20)] * 2))
def test_the_box_is_the_same_in_every_tile_and_its_share_is_the_weight(mode, cut, seed, grid, size):
    (rows, columns), (h, w) = grid, size
    sheet = (rows * h, columns * w)
    batch = [(flat(label, sheet), label) for label in range(BATCH)]
    options = {"rows": rows, "columns": columns, **CUTS[cut]}
    images, target, _ = collate(TileMixup, seed, batch, mode, **options)
    assert images.shape == (BATCH // 2 if mode == "half" else BATCH, 3, *sheet)
    assert images.dtype == torch.uint8
    first, *others = tiles_of(images, rows, columns)
    assert all(torch.equal(first, other) for other in others)
    for label, (tile, weights) in enumerate(zip(first, target)):
        changed = tile != label
        assert torch.equal(tile[changed], torch.full_like(tile[changed], BATCH - 1 - label))
        ys, xs = np.nonzero(changed[0].numpy())
        box = np.zeros((h, w), bool)
        if len(ys):
            box[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
        assert all(np.array_equal(channel, box) for channel in changed.numpy())
        expected = torch.zeros(CLASSES)
        expected[label], expected[BATCH - 1 - label] = 1 - box.mean(), box.mean()
        torch.testing.assert_close(weights.float(), expected)


@pytest.mark.parametrize("as_torch", [False, True], ids=["numpy", "torch"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [*CUTS.values(), {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "prob": 0.7}])
def test_one_tile_is_mixed_as_timm_does(options, mode, as_torch):
    for seed in range(20):
        batch = [samples((13, 17), seed=seed, as_torch=as_torch) for _ in range(2)]
        ours = collate(TileMixup, seed, batch[0], mode, rows=1, columns=1, **options)
        assert_equal(ours, collate(FastCollateMixup, seed, batch[1], mode, **options))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("mode", MODES)
def test_mixup_alone_is_timms_on_any_grid(mode, grid):
    rows, columns = grid
    options = {"mixup_alpha": 0.8, "label_smoothing": 0.1, "prob": 0.8}
    for seed in range(5):
        batch = [samples((rows * 7, columns * 5), seed=seed) for _ in range(2)]
        ours = collate(TileMixup, seed, batch[0], mode, rows=rows, columns=columns, **options)
        assert_equal(ours, collate(FastCollateMixup, seed, batch[1], mode, **options))


@pytest.mark.parametrize("as_torch", [False, True], ids=["numpy", "torch"])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [*CUTS.values(), {"mixup_alpha": 0.8, "cutmix_alpha": 1.0, "prob": 0.7}])
def test_each_cell_is_what_timm_makes_of_that_cell_alone(options, mode, as_torch):
    """Alternating mixup and CutMix, compared with timm on the images of each cell, with the same seed."""
    rows, columns = 2, 3
    for seed in range(10):
        sheets = samples((rows * 11, columns * 9), seed=seed, as_torch=as_torch)
        cells = [[] for _ in range(rows * columns)]
        for image, label in sheets:
            for cell, tile in zip(cells, tiles_of(image, rows, columns)):
                cell.append((tile.clone() if as_torch else tile.copy(), label))
        images, target, after = collate(TileMixup, seed, sheets, mode, rows=rows, columns=columns, **options)
        for cell, mixed in zip(cells, tiles_of(images, rows, columns)):
            assert_equal((mixed, target, after), collate(FastCollateMixup, seed, cell, mode, **options))


def test_the_box_is_drawn_by_timm_at_the_size_of_a_tile():
    rows, columns, h, w = 3, 3, 16, 12
    batch = [(flat(label, (rows * h, columns * w)), label) for label in range(BATCH)]
    for seed in range(20):
        _, target, _ = collate(TileMixup, seed, batch, "batch", rows=rows, columns=columns, cutmix_alpha=1.0)
        np.random.seed(seed)
        np.random.rand()  # whether to mix at all
        _, lam = cutmix_bbox_and_lam((h, w), np.random.beta(1.0, 1.0))
        assert target[0, 0].item() == pytest.approx(lam)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"))


def fitted(root, *argv):
    args, explicit = parse_flags(GROUPS, ["--data-dir", str(root), "--model", "test_resnet", *argv], prog="test")
    return fit_to_grid(args, explicit, find_super_images(args, explicit))


@pytest.mark.parametrize(
    ("argv", "tile"),
    [
        (["--cutmix", "1"], "--cutmix 1.0 cuts the same box out of every tile of 16x16"),
        (["--cutmix", "1", "--img-size", "96"], "--cutmix 1.0 cuts the same box out of every tile of 32x32"),
        (["--cutmix-minmax", "0.2", "0.8"], "--cutmix-minmax [0.2, 0.8] cuts the same box out of every tile of 16x16"),
    ],
)
def test_it_is_said_at_the_start(data, argv, tile):
    assert f"super images: {tile}" in fitted(data, *argv)[1]
    assert not any("cutmix" in note for note in fitted(data, "--mixup", "0.8")[1])


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--cutmix", "1", "--input-size", "3", "64", "64"], r"64x64 pixels are not 3x3 whole tiles.*multiple of 3"),
        (["--cutmix-minmax", "0.2", "0.8", "--img-size", "50"], "50x50 pixels are not 3x3 whole tiles"),
        (["--cutmix-minmax", "0.8", "0.2"], "tiles of 16x16 pixels have no such box"),
        (["--cutmix-minmax", "0.5", "0.55"], "tiles of 16x16 pixels have no such box"),
        (["--cutmix-minmax", "0.5", "1.5"], "both from 0 to 1"),
    ],
)
def test_what_cannot_be_cut_alike_is_refused(data, argv, message):
    with pytest.raises(ValueError, match=message):
        fitted(data, *argv)


def test_any_size_will_do_without_cutmix(data):
    argv = ["--input-size", "3", "64", "64", "--mixup", "0.8", "--batch-size", "4", "--workers", "0"]
    args, _ = fitted(data, *argv)
    loader, _ = build_loaders(args, CPU, build_model(args), read_manifest(data))
    assert {images.shape for images, _ in loader} == {(4, 3, 64, 64)}


@pytest.mark.parametrize("grid", [layout(), layout(name="strip", rows=1, columns=8), layout(rows=4, columns=2)])
@pytest.mark.parametrize("scale", [1, 2])
def test_the_loader_cuts_by_the_manifest_at_the_size_that_is_trained(tmp_path, grid, scale):
    root = write_super_images(tmp_path, grid=grid, validation=1)
    height, width = (side // scale for side in grid.image_size)
    argv = ["--cutmix", "1", "--no-aug", "--batch-size", "4", "--workers", "0", "--smoothing", "0"]
    args, _ = fitted(root, *argv, "--input-size", "3", str(height), str(width))
    loader, _ = build_loaders(args, CPU, build_model(args), read_manifest(root))
    mixup = loader.mixup
    assert (type(mixup), mixup.rows, mixup.columns) == (TileMixup, grid.rows, grid.columns)
    shares = []
    for images, target in loader:
        assert images.shape[-2:] == (height, width)
        shares += (target.min(1).values * (height // grid.rows) * (width // grid.columns)).tolist()
    # Every label weight is a whole number of pixels of a tile.
    assert shares == pytest.approx(np.round(shares), abs=1e-3)
    assert max(shares) > 0


def test_plain_images_are_mixed_by_timm():
    args, _ = parse_flags(GROUPS, ["--cutmix", "1", "--model", "test_resnet"], prog="test")
    assert type(build_mixup(args, 2, None)) is FastCollateMixup


def test_a_run_with_cutmix(data, tmp_path, caplog):
    handlers, level = list(logging.root.handlers), logging.root.level
    argv = ["--data-dir", str(data), "--output", str(tmp_path), "--experiment", "run", "--model", "test_resnet"]
    argv += ["--batch-size", "8", "--workers", "0", "--epochs", "2", "--warmup-epochs", "0", "--device", "cpu"]
    try:
        assert train_image.main([*argv, "--opt", "adamw", "--lr", "0.003", "--mixup", "0.8", "--cutmix", "1"]) == 0
    finally:
        for handler in set(logging.root.handlers) - set(handlers):
            logging.root.removeHandler(handler)
        logging.root.setLevel(level)
    assert re.search(r"super images: --cutmix 1\.0 cuts the same box out of every tile of 16x16", caplog.text)
    assert len((tmp_path / "run" / "summary.csv").read_text(encoding="utf-8").splitlines()) == 3
