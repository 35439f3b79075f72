"""An epoch reads the right views, orders of tiles, pads and number of samples."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from PIL import Image
from places import ROOT
from super_images import encoded, layout, write_super_images
from torch.utils.data import DataLoader, IterableDataset

import train_image
from shards.epochs import epoch_splits
from shards.format import read_manifest
from shards.layouts import reorder, tile, untile
from shards.pads import fill_pads_of_image, pad_mask
from shards.timm_reader import ShardReader, random_order
from superimage.training.batches import counted
from superimage.training.command_line import parse_flags
from superimage.training.data import build_loaders
from superimage.training.device_env import DeviceEnv
from superimage.training.flags import GROUPS
from superimage.training.grid import find_super_images, fit_to_grid
from superimage.training.losses import LossWatch
from superimage.training.model import build_model

CPU = DeviceEnv(device=torch.device("cpu"), rank=0, world_size=1, distributed=False)
SMALL = ["--model", "test_resnet", "--batch-size", "8", "--workers", "0", "--warmup-epochs", "0", "--epochs", "1"]
SMALL += ["--opt", "adamw", "--lr", "0.003", "--device", "cpu", "--experiment", "run"]
VIEWS, VIDEOS = 3, 16
pytestmark = pytest.mark.usefixtures("as_if_alone")


def numbered(video, view, num_views, index, grid, rng):
    """Frame t of a video has one color: red is the video number, green ``10 * t``, blue the view number."""
    frames = np.zeros((grid.frames, grid.tile, grid.tile, 3), np.uint8)
    frames[..., 0] = index
    frames[..., 1] = (10 * np.arange(grid.frames))[:, None, None]
    frames[..., 2] = view
    order = np.arange(grid.frames)
    metadata = {"video": video, "label": index % 2, "view": view, "num_views": num_views, "order": order.tolist()}
    return encoded(tile(frames, grid, order), metadata)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    views = {"train": VIEWS, "validation": 1}
    return write_super_images(
        tmp_path_factory.mktemp("data"), train=VIDEOS, validation=6, views=views, make_sample=numbered
    )


def read(data, epoch, **options):
    reader = ShardReader(data, split="train", is_training=True, batch_size=4, **options)
    reader.set_epoch(epoch)
    return [np.asarray(image) for image, _ in reader]


def videos_and_views(images):
    return Counter((int(image[0, 0, 0]), int(image[0, 0, 2])) for image in images)


@pytest.mark.parametrize("epoch", range(5))
def test_an_epoch_is_one_pass_over_the_videos_and_reads_the_next_view(data, epoch):
    assert videos_and_views(read(data, epoch, views="cycle")) == Counter(
        (video, epoch % VIEWS) for video in range(VIDEOS)
    )
    assert videos_and_views(read(data, epoch, views="2")) == Counter((video, 2) for video in range(VIDEOS))
    everything = Counter((video, view) for video in range(VIDEOS) for view in range(VIEWS))
    assert videos_and_views(read(data, epoch, views="all")) == everything


@pytest.mark.parametrize("views", ["3", "-1", "first", ""])
def test_a_view_that_is_not_there_is_refused(data, views):
    with pytest.raises(ValueError, match="split train has views 0 to 2; give cycle, all or one of them"):
        epoch_splits(read_manifest(data), "train", views)


@pytest.mark.parametrize(("flags", "batches"), [([], 2), (["--views", "all"], 6), (["--views", "1"], 2)])
def test_the_trainer_cycles_by_default(data, flags, batches):
    loader, _ = loaders(data, *flags)
    assert len(loader) == len(list(loader)) == batches


def loaders(data, *flags):
    words = [*SMALL, "--data-dir", str(data), *flags]
    args, explicit = parse_flags(GROUPS, words, prog="test")
    args, _ = fit_to_grid(args, explicit, find_super_images(args, explicit))
    return build_loaders(args, CPU, build_model(args), read_manifest(data))


def test_a_resumed_run_reads_the_view_whose_turn_it_is(data, tmp_path):
    words = [*SMALL, "--epochs", "3", "--data-dir", str(data), "--output", str(tmp_path)]
    assert train_image.main(words) == 0
    rows = (tmp_path / "run" / "summary.csv").read_text(encoding="utf-8")
    for name in ("last", "checkpoint-2", "model_best"):
        (tmp_path / "run" / f"{name}.pth.tar").unlink()
    assert train_image.main([*words, "--resume", "auto"]) == 0
    assert (tmp_path / "run" / "summary.csv").read_text(encoding="utf-8") == rows


def orders(images):
    """The position in time of each tile, by the number of the video."""
    return {
        int(image[0, 0, 0]): tuple(
            image[y : y + 16, x : x + 16, 1][0, 0] // 10 for y in (0, 16, 32) for x in (0, 16, 32)
        )[:8]
        for image in images
    }


def test_a_random_order_is_drawn_anew_in_each_epoch(data):
    stored = orders(read(data, 0, views="0"))
    assert set(stored.values()) == {tuple(range(8))}
    drawn = [orders(read(data, epoch, views="0", tile_order="random")) for epoch in (0, 1, 0)]
    assert drawn[0] == drawn[2]
    assert all(drawn[0][video] != drawn[1][video] for video in range(VIDEOS))
    assert len(set(drawn[0].values())) == VIDEOS
    assert all(sorted(order) == list(range(8)) for order in drawn[0].values())


def test_the_order_is_of_seed_epoch_and_key():
    draws = {
        tuple(random_order(16, seed=seed, epoch=epoch, key=key))
        for seed in (0, 1)
        for epoch in (0, 1)
        for key in ("a_v00", "b_v00")
    }
    assert len(draws) == 8


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (1, 3), (2, 1), (2, 2), (4, 1)])
def test_ranks_and_workers_draw_the_same_orders(data, ranks, workers):
    expected = orders(read(data, 1, views="0", tile_order="random"))
    drawn = {}
    for rank in range(ranks):
        options = {"split": "train", "is_training": True, "batch_size": 2, "views": "0", "tile_order": "random"}
        reader = ShardReader(data, **options)
        reader._rank, reader._num_ranks = rank, ranks
        reader.set_epoch(1)
        loader = DataLoader(Arrays(reader), batch_size=None, num_workers=workers)
        drawn |= orders([image.numpy() for image in loader])
    assert drawn == expected


class Arrays(IterableDataset):
    """The images of a reader as arrays."""

    def __init__(self, reader):
        self.reader = reader

    def __iter__(self):
        return (np.asarray(image).copy() for image, _ in self.reader)


def test_flattens_configuration_draws_it_in_the_loader():
    path = ROOT / "configs/train/flatten_k400_xxs_16f_random.yaml"
    args, _ = parse_flags(GROUPS, ["--config", str(path)], prog="test")
    assert args.tile_order == "random"


@pytest.mark.parametrize("size", [48, 24, 50])
@pytest.mark.parametrize("mean", [["0.5", "0.5", "0.5"], ["0.485", "0.456", "0.406"]])
def test_pads_are_exactly_zero_whatever_the_mean_and_frames_are_not(data, mean, size):
    flags = ["--mean", *mean, "--std", "0.5", "0.5", "0.5", "--img-size", str(size)]
    mask = torch.from_numpy(pad_mask(layout(), size, size))
    assert mask.sum() == (size // 3) ** 2
    for loader in loaders(data, *flags):
        for images, _ in loader:
            assert (images[..., mask] == 0).all()
            assert (images[..., : size // 3, : size // 3] != 0).all()


def test_black_pads_stay_black(tmp_path):
    black = write_super_images(tmp_path, grid=layout(pad="black"))
    # Color jitter would brighten black pads too.
    values = ["--mean", "0.5", "0.5", "0.5", "--std", "0.5", "0.5", "0.5", "--no-aug"]
    images, _ = next(iter(loaders(black, *values)[0]))
    assert images[..., 32:, 32:].max() == -1


def test_only_the_pads_get_the_color():
    grid = layout()
    frames = np.full((8, 16, 16, 3), 200, np.uint8)
    image = Image.fromarray(tile(frames, grid, np.arange(8)))
    fill_pads_of_image(image, grid, (1, 2, 3))
    pixels = np.asarray(image)
    assert (pixels[32:, 32:] == (1, 2, 3)).all()
    assert (untile(pixels, grid, np.arange(8)) == frames).all()
    assert (reorder(pixels, grid, np.arange(8), np.arange(8)[::-1])[:32] == 200).all()


@pytest.mark.parametrize("lengths", [[4, 4], [4, 4, 4, 4]])
def test_samples_that_are_missing_or_too_many_end_the_epoch_with_the_numbers(lengths):
    batches = counted([range(length) for length in lengths], expected=12, count=len, name="--train-split train", rank=1)
    with pytest.raises(
        ValueError, match=rf"rank 1 received {sum(lengths)} of the 12 samples .*/dev/shm has .*--shm-size"
    ):
        list(batches)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--mixup", "0.2", "--batch-size", "7"], "--batch-size 7: mixup and CutMix mix pairs"),
        (["--cutmix", "1", "--batch-size", "3"], "--batch-size 3: mixup and CutMix mix pairs"),
        (["--lr", "1e30", "--opt", "sgd"], "the loss is nan at batch 2 of 2 of epoch 1: lower --lr"),
    ],
)
def test_what_cannot_train_is_found_at_the_start_or_at_the_step(data, tmp_path, capsys, flags, message):
    assert train_image.main([*SMALL, "--data-dir", str(data), "--output", str(tmp_path), *flags]) == 2
    assert message in capsys.readouterr().err.strip().splitlines()[-1]


def test_no_checkpoint_is_written_if_the_last_update_makes_weights_infinite(data, tmp_path, capsys):
    flags = [
        "--batch-size",
        "16",
        "--lr",
        "3e38",
        "--weight-decay",
        "1e6",
        "--opt",
        "sgd",
    ]  # one batch, whose loss is computed before its update
    assert train_image.main([*SMALL, *flags, "--data-dir", str(data), "--output", str(tmp_path)]) == 2
    assert "weights such as" in capsys.readouterr().err.strip().splitlines()[-1]
    assert not list(tmp_path.glob("run/*.tar"))


def test_a_scaler_gets_as_many_steps_as_it_has_halvings_in_however_short_epochs():
    watch, steps = LossWatch(scales=True), [f"batch {batch} of epoch {epoch}" for epoch in range(8) for batch in (1, 2)]
    watch.see(math.nan, "the first")
    watch.see(1.0, "the second")
    for step in steps[:-1]:
        watch.see(math.nan, step)
    with pytest.raises(ValueError, match="the loss is nan at batch 1 of epoch 0: lower --lr"):
        watch.see(math.inf, steps[-1])


def test_an_empty_validation_split_is_found_before_anything_is_written(tmp_path, capsys):
    empty = write_super_images(tmp_path / "data", validation=0)
    assert train_image.main([*SMALL, "--data-dir", str(empty), "--output", str(tmp_path / "out")]) == 2
    assert "--val-split validation: no samples" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
