"""No flag breaks the grid of tiles, and the loaders give the same samples as timm's."""

import argparse

import pytest
import torch
from PIL import Image
from super_images import layout, write_super_images
from timm.data import create_dataset, create_loader

from shards.format import read_manifest
from shards.pads import pad_mask
from superimage.training.command_line import parse_flags
from superimage.training.data import build_loaders
from superimage.training.device_env import DeviceEnv
from superimage.training.flags import GROUPS
from superimage.training.grid import find_super_images, fit_to_grid, geometric_operations
from superimage.training.model import build_model

CPU = DeviceEnv(device=torch.device("cpu"), rank=0, world_size=1, distributed=False)
STRIP = layout(name="strip", rows=1, columns=8)


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("square"))


@pytest.fixture(scope="module")
def strip(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("strip"), grid=STRIP)


def fitted(root, *argv):
    args, explicit = parse_flags(GROUPS, ["--data-dir", str(root), "--model", "test_resnet", *argv], prog="test")
    return fit_to_grid(args, explicit, find_super_images(args, explicit))


def test_the_manifest_sets_what_is_not_given(square, strip):
    args, notes = fitted(square)
    assert (args.input_size, args.num_classes, args.crop_pct, args.hflip) == ([3, 48, 48], 2, 1.0, 0.0)
    assert (args.scale, args.ratio) == ([1.0, 1.0], [1.0, 1.0])
    assert len(notes) == 8
    assert "super images: --hflip 0.0" in notes
    args, notes = fitted(strip, "--mean", "0.5", "--img-size", "16", "--allow-grid-breaking")
    assert (args.mean, args.input_size, args.img_size, args.ratio) == ([0.5], None, 16, [8.0, 8.0])
    assert len(notes) == 6


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--hflip", "0.5"], "--hflip 0.5 mirrors the rows"),
        (["--vflip", "0.1"], "--vflip 0.1 mirrors the columns"),
        (["--scale", "0.08", "1"], "crops tiles away"),
        (["--ratio", "0.75", "1.33"], "crops tiles away"),
        (["--crop-pct", "0.9"], "cuts the outer tiles"),
        (["--train-crop-mode", "rkrr"], "shifts the grid"),
        (["--img-size", "32", "--aa", "original"], r"--aa original moves pixels across tiles \(Rotate, ShearX"),
        (["--aa", "rand-m9-mstd0.5"], "Rotate, ShearX, ShearY, TranslateXRel"),
        (["--aa", "augmix-m5-w4-d2"], "Rotate"),
        (["--input-size", "3", "48", "96"], "has another aspect ratio"),
        (["--num-classes", "3"], "the data has 2 classes"),
        (["--class-map", "map.txt"], "classes of super images are fixed"),
    ],
)
def test_what_breaks_the_grid_is_refused(square, argv, message):
    with pytest.raises(ValueError, match=message):
        fitted(square, *argv)


@pytest.mark.parametrize(
    "argv",
    [
        ["--aa", "3a"],
        ["--aa", "rand-m9-t3a"],
        ["--color-jitter", "0.8", "--grayscale-prob", "0.2", "--reprob", "0.5", "--mixup", "0.8", "--cutmix", "1"],
        ["--scale", "1", "1", "--ratio", "1", "1", "--hflip", "0", "--crop-pct", "1"],
        ["--input-size", "3", "96", "96"],
        ["--no-aug", "--hflip", "0.5"],  # without augmentation it is not used
        ["--allow-grid-breaking", "--hflip", "0.5", "--crop-pct", "0.9"],
    ],
)
def test_what_leaves_it_whole_is_not(square, argv):
    args, _ = fitted(square, *argv)
    given, explicit = parse_flags(GROUPS, argv, prog="test")
    assert all(getattr(args, name) == getattr(given, name) for name in explicit)


def test_an_unknown_policy_is_refused():
    assert geometric_operations("3a") == []
    with pytest.raises(ValueError, match="timm has no such policy"):
        geometric_operations("v9")


@pytest.mark.parametrize("argv", [["--shuffle-size", "9"], ["--allow-grid-breaking"]])
def test_flags_for_grids_are_refused_elsewhere(tmp_path, argv):
    args, explicit = parse_flags(GROUPS, ["--data-dir", str(tmp_path), *argv], prog="test")
    with pytest.raises(ValueError, match="has no effect here"):
        find_super_images(args, explicit)


def test_a_wrong_directory_is_told_the_right_one(square, tmp_path):
    def find(path):
        return find_super_images(argparse.Namespace(data_dir=str(path), dataset="", aa=None), set())

    with pytest.raises(ValueError, match="no such directory"):
        find(tmp_path / "nowhere")
    (tmp_path / "small-3x3").symlink_to(square)
    with pytest.raises(ValueError, match=r"give one of .*small-3x3"):
        find(tmp_path)
    (tmp_path / "half" / "_records").mkdir(parents=True)
    with pytest.raises(ValueError, match="conversion is incomplete"):
        find(tmp_path / "half")


def read_by_timm(root, split, **options):
    """(images float (N, 3, H, W), labels (N,)) from timm's reader and loader, each once, in order."""
    height, width = read_manifest(root).image_size
    dataset = create_dataset("wds/any", root=str(root), split=split, is_training=False, batch_size=4)
    options = {"input_size": (3, height, width), "batch_size": 4, "crop_pct": 1.0, **options}
    loader = create_loader(dataset, num_workers=0, device=torch.device("cpu"), persistent_workers=False, **options)
    images, labels = map(torch.cat, zip(*loader))
    # timm does not treat pads specially; ours are zero after normalization.
    return images.masked_fill(torch.from_numpy(pad_mask(read_manifest(root).layout, height, width)), 0), labels


def sorted_rows(images, labels):
    rows = torch.cat([images.flatten(1), labels[:, None].float()], 1)
    return rows[torch.argsort(rows.double() @ torch.linspace(1, 2, rows.shape[1], dtype=torch.float64))]


@pytest.mark.parametrize("name", ["square", "strip"])
@pytest.mark.parametrize("workers", [0, 2])
def test_loaders_give_timms_pixels_and_labels(name, workers, request):
    root = request.getfixturevalue(name)
    flags = ["--batch-size", "4", "--workers", str(workers), "--color-jitter", "0"]
    args, _ = fitted(root, *flags)
    train, validation = build_loaders(args, CPU, build_model(args), read_manifest(root))
    expected_images, expected_labels = read_by_timm(root, "validation")
    images, labels = (torch.cat(parts) for parts in zip(*validation))
    if workers == 0:  # two workers alternate, so they give the same samples in another order
        assert torch.equal(images, expected_images)
        assert torch.equal(labels, expected_labels)
    assert torch.equal(sorted_rows(images, labels), sorted_rows(expected_images, expected_labels))
    # Training with the default augmentation, except color jitter, gives the stored pixels too, in another order.
    images, labels = zip(*train)
    expected = sorted_rows(*read_by_timm(root, "train"))
    assert torch.equal(sorted_rows(torch.cat(images), torch.cat(labels)), expected)


def test_timms_reader_on_request(square):
    args, _ = fitted(square, "--dataset", "wds/any", "--workers", "0", "--batch-size", "4", "--shuffle-size", "3")
    train, _ = build_loaders(args, CPU, build_model(args), read_manifest(square))
    assert type(train.dataset.reader).__name__ == "ReaderWds"
    assert (train.dataset.reader.sample_shuffle_size, train.dataset.reader.sample_initial_size) == (3, 3)
    assert len(list(train)) == 6


def test_elsewhere_the_transforms_are_timms_own(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / split / "a").mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(tmp_path / split / "a" / "1.png")
    argv = ["--data-dir", str(tmp_path), "--model", "test_resnet", "--batch-size", "1", "--workers", "0"]
    args, explicit = parse_flags(GROUPS, argv, prog="test")
    assert find_super_images(args, explicit) is None
    train, validation = build_loaders(args, CPU, build_model(args), None)
    plain = {"input_size": (3, 160, 160), "batch_size": 1, "device": torch.device("cpu"), "persistent_workers": False}
    theirs = create_loader(
        create_dataset("", str(tmp_path), split="train"), is_training=True, interpolation="random", **plain
    )
    assert repr(train.dataset.transform) == repr(theirs.dataset.transform)
    theirs = create_loader(create_dataset("", str(tmp_path)), interpolation="bilinear", crop_pct=0.95, **plain)
    assert repr(validation.dataset.transform) == repr(theirs.dataset.transform)


@pytest.mark.parametrize(
    ("name", "size"),
    [("test_vit", (48, 48)), ("test_vit", (16, 128)), ("test_resnet", (48, 48)), ("test_maxvit", (64, 64))],
)
def test_a_model_takes_the_size_of_the_images(name, size):
    args, _ = parse_flags(GROUPS, ["--model", name, "--num-classes", "2"], prog="test")
    args.input_size = [3, *size]
    assert build_model(args)(torch.zeros(1, 3, *size)).shape == (1, 2)
