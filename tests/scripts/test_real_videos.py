"""The README's commands on real UCF101 clips with their official lists, each in its own process."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from places import ROOT
from timm.data import create_dataset

from shards.check import check_directory
from shards.format import read_manifest
from shards.read import decode_array, iter_samples


def run(*words):
    done = subprocess.run([sys.executable, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def shards(shared, tmp_path_factory):
    output = tmp_path_factory.mktemp("ucf")
    message = run(
        *("-m", "preprocess", "--config", "configs/preprocess/ucf101_sifar_3x3.yaml"),
        *("--source", shared / "clips" / "ucf3", "--output", output, "--workers", 2),
        *("--set", "annotations.videos=videos", "--set", "samples_per_shard=18"),
    )
    assert "108 of 108 videos: 0 failed, 0 missing" in message
    return output / "sifar-3x3"


def test_two_training_views_and_three_test_crops(shards):
    report = check_directory(shards)
    assert report.problems == []
    manifest = read_manifest(shards)
    assert manifest.class_names == ["BabyCrawling", "Punch", "PushUps"]
    assert manifest.image_size == (672, 672)
    counts = {name: split.num_samples for name, split in manifest.splits.items()}
    assert counts["train"] == 2 * 72
    assert counts["validation"] == 3 * 36
    assert report.labels["train"] == {0: 48, 1: 48, 2: 48}


def test_the_three_crops_are_centre_and_both_ends_of_the_long_side(shards):
    manifest = read_manifest(shards)
    for view, left in enumerate((40, 0, 80)):  # 320x240 frames
        name = manifest.split(f"validation_v{view:02d}").filenames[0]
        for sample in iter_samples(shards / name):
            assert sample.metadata["crop"] == [left, 0, 240, 240]


def test_timm_sees_the_same_pictures(shards):
    dataset = create_dataset("wds/ucf3", root=str(shards), split="validation_v00")
    name = read_manifest(shards).split("validation_v00").filenames[0]
    for (image, label), sample in zip(dataset, iter_samples(shards / name)):
        assert label == sample.label
        np.testing.assert_array_equal(np.asarray(image), decode_array(sample, name))


def test_train_and_evaluate(shards, tmp_path):
    message = run(
        *("train_image.py", "--config", "configs/train/ucf101_small.yaml", "--data-dir", shards, "--output", tmp_path),
        *("--experiment", "e", "--model", "test_resnet", "--img-size", 96, "--epochs", 1, "--workers", 0),
    )
    checkpoint = tmp_path / "e" / "model_best.pth.tar"
    assert str(checkpoint) in message
    run("eval_video.py", "--checkpoint", checkpoint, "--data-dir", shards, "--output", tmp_path / "eval")
    results = json.loads((tmp_path / "eval" / "results.json").read_text(encoding="utf-8"))
    assert results["num_videos"] == 36
    assert results["views_per_video"] == 3
    assert 0 <= results["top1"] <= results["top5"] == 100
    with Image.open(tmp_path / "eval" / "confusion.png") as picture:
        picture.load()
