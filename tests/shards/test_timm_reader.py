"""Our reader compared with timm's, and what timm's reader lacks."""

import pytest
import torch
from shard_samples import sample, write_directory
from timm.data import IterableImageDataset, create_dataset, create_loader

from shards.read import ShardError
from shards.timm_reader import ShardReader

LENGTHS = {"train": [7, 6, 7], "validation": [5, 4]}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_directory(tmp_path_factory.mktemp("shards"), LENGTHS)


def loader_of(dataset, workers=0, batch_size=4, **options):
    return create_loader(
        dataset,
        input_size=(3, 48, 48),
        batch_size=batch_size,
        num_workers=workers,
        device=torch.device("cpu"),
        crop_pct=1.0,
        persistent_workers=False,
        **options,
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_sample_for_sample_the_pixels_and_labels_of_timm(directory, workers):
    theirs = create_dataset("wds/tiny", root=str(directory), split="validation", batch_size=4)
    ours = IterableImageDataset(directory, reader=ShardReader(directory, split="validation", batch_size=4))
    # With workers, timm distributes whole shards and repeats samples. Without, it reads each sample once.
    expected = list(loader_of(theirs))
    got = list(loader_of(ours, workers))
    assert torch.equal(torch.cat([target for _, target in got]), torch.cat([target for _, target in expected]))
    assert torch.equal(torch.cat([image for image, _ in got]), torch.cat([image for image, _ in expected]))
    assert len(loader_of(ours, workers)) == len(got)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_training_reads_whole_batches_none_twice(directory, workers):
    reader = ShardReader(directory, split="train", is_training=True, batch_size=3, shuffle_size=4)
    loader = loader_of(IterableImageDataset(directory, reader=reader), workers, 3, is_training=True, no_aug=True)
    batches = list(loader)
    assert len(batches) == len(loader) == 6
    pixels = torch.cat([images for images, _ in batches]).flatten(1)
    assert len(torch.unique(pixels, dim=0)) == 18


def epoch(directory, number, seed=42):
    reader = ShardReader(directory, split="train", is_training=True, batch_size=2, seed=seed)
    reader.set_epoch(number)
    return [(image.getpixel((0, 0)), label) for image, label in reader]


def test_epochs_differ_and_repeat_by_seed(directory):
    assert epoch(directory, 0) == epoch(directory, 0)
    assert epoch(directory, 0) != epoch(directory, 1)
    assert epoch(directory, 0) != epoch(directory, 0, seed=1)
    assert sorted(epoch(directory, 0)) == sorted(epoch(directory, 3))


def test_the_same_epoch_reaches_workers_that_persist(directory):
    reader = ShardReader(directory, split="train", is_training=True, batch_size=4)
    dataset = IterableImageDataset(directory, reader=reader)
    loader = create_loader(
        dataset, (3, 48, 48), 4, is_training=True, no_aug=True, num_workers=2, device=torch.device("cpu")
    )
    orders = []
    for number in (0, 1, 0):
        dataset.set_epoch(number)
        orders.append(torch.cat([images for images, _ in loader]))
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


def test_a_damaged_shard_stops_the_run(tmp_path):
    directory = write_directory(tmp_path, LENGTHS)
    victim = directory / "train-v00-000001.tar"
    victim.write_bytes(victim.read_bytes()[:5000])
    with pytest.raises(ShardError, match=r"train-v00-000001\.tar"):
        list(ShardReader(directory, split="train"))


def test_an_unknown_split_and_a_directory_without_shards(directory, tmp_path):
    with pytest.raises(ValueError, match="'test' is not in the manifest"):
        ShardReader(directory, split="test")
    with pytest.raises(ValueError, match="no manifest"):
        ShardReader(tmp_path, split="train")


def test_file_names_are_the_keys(directory):
    keys = ShardReader(directory, split="validation").filenames()
    assert keys == [sample(number).key for number in range(20, 29)]
