"""From official lists to shards that timm trains on: frame folders, mirror labels, subsets, several labels."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from media import frame_number, numbered_frames, write_video
from PIL import Image
from timm.data import MultiLabelTarget, create_dataset, create_loader
from timm.task import MultiLabelClassificationEvaluator

import eval_video
import train_image
from preprocess.__main__ import main
from preprocess.config.schema import config_from
from preprocess.run.pipeline import read_dataset
from preprocess.worker.messages import Job
from preprocess.worker.video import make_samples
from shards.check import check_directory
from shards.format import MANIFEST_NAME, read_manifest
from shards.layouts import untile
from shards.read import decode_array, iter_samples
from shards.timm_reader import ShardReader

GESTURES = ("Swiping Left", "Swiping Right", "Stop Sign")
TILE = 64


def convert(folder: Path, config: dict) -> Path:
    """Run the command on ``folder``; returns the output directory."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"encoding": {"format": "png"}, "samples_per_shard": 4, **config}), encoding="utf-8")
    arguments = ["--config", str(path), "--source", str(folder), "--output", str(folder / "out"), "--workers", "1"]
    assert main(arguments) == 0
    return folder / "out"


def samples_of(directory: Path, split: str):
    manifest = read_manifest(directory)
    for name in manifest.split(split).filenames:
        yield from iter_samples(directory / name)


@pytest.fixture(scope="module")
def gestures(tmp_path_factory) -> Path:
    """Four videos of each gesture as folders of frames, with a subset of two gestures; one folder is missing."""
    root = tmp_path_factory.mktemp("jester")
    (root / "jester-v1-labels.csv").write_text("\n".join(GESTURES), encoding="utf-8")
    (root / "mini.txt").write_text("Swiping Left\nStop Sign\n", encoding="utf-8")
    rows = [f"{10 * label + number};{name}" for label, name in enumerate(GESTURES) for number in range(4)]
    (root / "jester-v1-train.csv").write_text("\n".join([*rows, "99;Stop Sign"]), encoding="utf-8")
    (root / "jester-v1-validation.csv").write_text(rows[0], encoding="utf-8")
    for row in rows:
        folder = root / "20bn-jester-v1" / row.partition(";")[0]
        folder.mkdir(parents=True)
        for number, frame in enumerate(numbered_frames(12, width=TILE, height=TILE), start=1):
            Image.fromarray(frame).save(folder / f"{number:05d}.jpg", quality=95)
    config = {
        "annotations": {"format": "jester"},
        "flip_labels": {"Swiping Left": "Swiping Right"},
        "subsets": {"mini": {"classes": "mini.txt"}},
        "layouts": {"grid": {"frames": 4, "tile": TILE}},
        "splits": {
            "train": {"mode": "train", "views": 4, "crop": "center", "flip": True},
            "validation": {"mode": "test"},
        },
    }
    return convert(root, config) / "grid"


def test_frame_folders_are_videos_like_any_other(gestures):
    assert check_directory(gestures).problems == []
    for sample in samples_of(gestures, "train"):
        meta = sample.metadata
        assert (meta["num_frames"], meta["decoder"]) == (12, "folder")
        assert meta["times_seconds"] == [pytest.approx(index / 12, abs=1e-4) for index in meta["frames"]]
        tiles = untile(decode_array(sample, ""), read_manifest(gestures).layout, meta["order"])
        shown = [frame_number(tile[:, ::-1] if meta["flip"] else tile) for tile in tiles]
        assert shown == meta["frames"]


def test_a_mirrored_view_carries_the_label_of_what_it_shows(gestures):
    mirror = {"Swiping Left": "Swiping Right", "Swiping Right": "Swiping Left", "Stop Sign": "Stop Sign"}
    seen = set()
    for sample in samples_of(gestures, "train"):
        own = GESTURES[int(sample.metadata["video"]) // 10]
        red_is_left = decode_array(sample, "")[TILE - 8, 8, 0] > 128
        assert red_is_left != sample.metadata["flip"]
        assert GESTURES[sample.label] == (mirror[own] if sample.metadata["flip"] else own)
        assert sample.metadata["label_names"] == [GESTURES[sample.label]]
        seen.add((own, sample.metadata["flip"]))
    assert len(seen) == 6  # each gesture both ways


@pytest.mark.parametrize("split", ["train_mini", "train_mini_v02"])
def test_a_subset_is_a_split_of_the_same_tars(gestures, split):
    """Swiping Left is in the subset: so are mirrored videos of Swiping Right, and its own mirrored ones are not."""
    manifest = read_manifest(gestures)
    assert manifest.class_names_of(split) == ["Swiping Left", "Stop Sign"]
    assert manifest.class_names_of("train") == list(GESTURES)
    assert manifest.for_split(split).class_names == ["Swiping Left", "Stop Sign"]
    assert manifest.num_views["train_mini"] == manifest.num_views["train"] == 4
    full = list(samples_of(gestures, split.replace("_mini", "")))
    expected = sorted(
        ["Swiping Left", "Stop Sign"].index(name) for name in map(name_of, full) if name != "Swiping Right"
    )
    assert set(manifest.split(split).filenames) <= set(manifest.split("train").filenames)
    timms = [target for _, target in create_dataset("wds/", root=str(gestures), split=split, is_training=False)]
    ours = [target for _, target in ShardReader(gestures, split=split)]
    assert timms == ours
    assert sorted(ours) == expected
    assert len(ours) == manifest.split(split).num_samples


def name_of(sample):
    return sample.metadata["label_name"]


def test_training_on_a_subset_reads_whole_batches_of_its_own_samples(gestures):
    reader = ShardReader(gestures, split="train_mini", is_training=True, batch_size=3)
    labels = [label for _, label in reader]
    assert len(labels) == len(reader) == read_manifest(gestures).split("train_mini").num_samples // 3 * 3
    assert set(labels) == {0, 1}


def test_check_counts_a_subsets_samples(gestures, tmp_path):
    for path in gestures.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(gestures)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    manifest = json.loads((tmp_path / MANIFEST_NAME).read_text(encoding="utf-8"))
    split = manifest["splits"]["train_mini"]
    split["shard_lengths"][0] += 1
    split["num_samples"] += 1
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(manifest), encoding="utf-8")
    assert any("train_mini in the manifest" in problem for problem in check_directory(tmp_path).problems)


def test_missing_videos_are_reported_and_can_be_refused(gestures, capsys):
    source = gestures.parents[1]
    command = ["--config", str(source / "config.yaml"), "--source", str(source), "--output", str(source / "other")]
    assert main([*command, "--require-complete"]) == 2
    error = capsys.readouterr().err
    assert "train: 12 videos, 1 missing" in error
    assert "20bn-jester-v1/99 (listed at" in error
    assert "--require-complete" in error
    assert not (source / "other").exists()
    rows = [line.split("\t") for line in (source / "out" / "missing.tsv").read_text(encoding="utf-8").splitlines()]
    assert rows == [
        ["split", "path", "listed_at"],
        ["train", str(source / "20bn-jester-v1" / "99"), f"{source / 'jester-v1-train.csv'}:13"],
    ]


COLOURS = {0: (230, 20, 20), 1: (20, 230, 20), 2: (20, 20, 230)}


def write_charades(root: Path) -> None:
    """Videos that show one, two or three coloured bars: each colour is a class, and a video has those it shows."""
    for folder in ("Charades", "Charades_v1_480"):
        (root / folder).mkdir()
    (root / "Charades/Charades_v1_classes.txt").write_text("c000 red\nc001 green\nc002 blue\n", encoding="utf-8")
    rng = np.random.default_rng(0)
    for split, count in (("train", 28), ("test", 14)):
        lines = ["id,subject,actions,length"]
        for number in range(count):
            classes = [label for label in COLOURS if (number % 7 + 1) >> label & 1]
            name = f"{split.upper()}{number}"
            frames = rng.integers(0, 60, (6, 48, 48, 3), np.uint8)
            for label in classes:
                top = int(rng.integers(16 * label, 16 * label + 6))
                frames[:, top : top + 10] = COLOURS[label]
            write_video(root / "Charades_v1_480" / f"{name}.mp4", frames, vcodec="libx264", preset="ultrafast", crf=10)
            lines.append(f'{name},"A, B",{";".join(f"c{label:03d} 0.00 9.90" for label in classes)},0.24')
        lines.append("EMPTY,C,,1.0")
        (root / f"Charades/Charades_v1_{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(scope="module")
def several_labels(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("charades")
    write_charades(root)
    config = {
        "annotations": {"format": "charades"},
        "layouts": {"grid": {"frames": 4, "tile": 16}},
        "splits": {"train": {"mode": "train", "crop": "center"}, "validation": {"mode": "test"}},
    }
    return convert(root, config) / "grid"


def loader(directory: Path, split: str, *, training: bool):
    """timm's own reader, data set and loader, as its train.py has them with ``--target-key labels``."""
    dataset = create_dataset(
        "wds/",
        root=str(directory),
        split=split,
        is_training=training,
        batch_size=7,
        target_key="labels",
        target_transform=MultiLabelTarget(3),
    )
    return create_loader(
        dataset,
        input_size=(3, 32, 32),
        batch_size=7,
        is_training=training,
        no_aug=True,
        crop_pct=1.0,
        num_workers=0,
        use_prefetcher=False,
        device=torch.device("cpu"),
    )


def test_timm_trains_on_several_labels_and_tells_the_mean_average_precision(several_labels):
    manifest = read_manifest(several_labels)
    assert manifest.superimage["multi_label"]
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(48, 3))

    def mean_average_precision():
        evaluator = MultiLabelClassificationEvaluator()
        with torch.no_grad():
            for images, targets in loader(several_labels, "validation", training=False):
                evaluator.update(model(images), targets)
        return evaluator.compute()["map"]

    before = mean_average_precision()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(15):
        for images, targets in loader(several_labels, "train", training=True):
            optimizer.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(model(images), targets).backward()
            optimizer.step()
    assert mean_average_precision() > max(before, 95)


def test_our_scripts_train_and_evaluate_on_several_labels(several_labels, tmp_path, monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])  # theirs would outlive the stream that pytest gives them
    flags = ["--model", "test_resnet", "--batch-size", "7", "--workers", "0", "--warmup-epochs", "0", "--device", "cpu"]
    flags += ["--opt", "adamw", "--lr", "0.01", "--epochs", "12", "--smoothing", "0", "--output", str(tmp_path)]
    assert train_image.main(["--data-dir", str(several_labels), *flags, "--experiment", "run"]) == 0
    flags = [
        "--checkpoint",
        str(tmp_path / "run" / "last.pth.tar"),
        "--output",
        str(tmp_path / "eval"),
        "--workers",
        "0",
    ]
    assert eval_video.main(["--data-dir", str(several_labels), *flags, "--device", "cpu"]) == 0
    results = json.loads((tmp_path / "eval" / "results.json").read_text(encoding="utf-8"))
    assert results["mAP"] > 95
    assert [(entry["name"], entry["num_videos"]) for entry in results["classes"]] == [
        ("red", 8),
        ("green", 8),
        ("blue", 8),
    ]


def test_several_labels_are_those_of_the_list(several_labels):
    for sample in samples_of(several_labels, "validation"):
        number = int(sample.metadata["video"].removeprefix("TEST"))
        expected = [label for label in COLOURS if (number % 7 + 1) >> label & 1]
        assert sample.metadata["labels"] == expected
        assert sample.label == expected[0]


def test_segments_are_samples_and_show_no_frame_outside(tmp_path):
    """40 numbered frames, cut in seconds into 0..10, 10..30, and 30..40."""
    write_video(tmp_path / "whole.mp4", numbered_frames(40, width=64, height=64), vcodec="libx264", preset="ultrafast")
    rate = 25
    cuts = ((0, 10), (10, 30), (30, 40))
    rows = [f"whole.mp4,part {number},{begin / rate},{end / rate}" for number, (begin, end) in enumerate(cuts)]
    for split in ("train", "validation"):
        (tmp_path / f"{split}.csv").write_text("\n".join(["path,label,start,end", *rows]), encoding="utf-8")
    config = {
        "annotations": {"format": "csv", "start_column": "start", "end_column": "end"},
        "layouts": {"grid": {"frames": 4, "tile": 64}},
        "splits": {"train": {"mode": "train", "crop": "center", "views": 2}, "validation": {"mode": "test"}},
    }
    settings = config_from({**config, "encoding": {"format": "png"}}, "test")
    dataset = read_dataset(settings, tmp_path)
    job = Job(config=settings, source=str(tmp_path), output="", class_names=dataset.class_names, digest="")
    for split, per_segment in (("train", 2), ("validation", 1)):
        converted = [make_samples(job, split, video) for video in dataset.splits[split]]
        samples = [sample for video in converted for sample in video.samples.values()]
        assert len(samples) == 3 * per_segment
        for sample in samples:
            begin, end = cuts[sample.label]
            assert begin <= min(sample.metadata["frames"]) <= max(sample.metadata["frames"]) < end
    middle = next(sample for sample in samples if sample.label == 1)
    assert middle.metadata["frames"] == [12, 17, 22, 27]  # 10 + 2.5, 7.5, 12.5, 17.5
    tiles = untile(decode_array(middle, ""), settings.layouts["grid"], middle.metadata["order"])
    assert [frame_number(tile) for tile in tiles] == [12, 17, 22, 27]
