"""The plan before the work: what it promises is compared with what a conversion then does."""

import contextlib
import dataclasses
import json
import re
import shlex

import numpy as np
import pytest
from conversion import command
from PIL import Image
from places import ROOT
from timm.data import create_transform

from preprocess.__main__ import main
from preprocess.config.schema import load_config
from preprocess.report.dry_run import describe
from preprocess.report.estimate import Quantity, choose, estimate
from preprocess.report.training_advice import Readers, command_of_timm, safe_workers, splits_to_train_on
from preprocess.run.pipeline import prepare
from preprocess.worker.statistics import read_statistics
from shards.format import read_manifest

GOLDEN = json.loads((ROOT / "tests" / "support" / "golden" / "timm_train_flags.json").read_text(encoding="utf-8"))
TIMM_FLAGS = {**GOLDEN["flags"], **GOLDEN["later"]}


@pytest.fixture(scope="module")
def prepared(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    arguments = command(folder, video_folder, folder / "out")
    return prepare(load_config(arguments[1]), source=video_folder, output=folder / "out")


@pytest.fixture(scope="module")
def cost(prepared):
    """An estimate from every video, which leaves nothing to guess."""
    return estimate(prepared, num_samples=1000)


def test_an_estimate_without_lists_is_that_of_as_many_copies(numbered_video, capsys):
    words = ["--config", "kinetics400_sifar", "--dry-run", "--like", str(numbered_video)]
    assert main([*words, "--videos", "1000"]) == 0
    some = capsys.readouterr().out
    assert main([*words, "--videos", "100000"]) == 0
    many = capsys.readouterr().out
    assert "train: 1000 videos" in some
    assert "train: 100000 videos" in many
    megabytes, gigabytes = (float(re.search(r"sifar-3x3: ([\d.]+) [MG]B", text)[1]) for text in (some, many))
    assert gigabytes * 1000 / megabytes == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--like", "x.mp4"], "must be given together"),
        (["--dry-run", "--like", "x.mp4"], "must be given together"),
        (["--dry-run", "--like", "nowhere.mp4", "--videos", "5"], "--like nowhere.mp4: no such file"),
        (["--dry-run", "--like", "setup.cfg", "--videos", "0"], "--videos 0: must be at least 1"),
    ],
)
def test_flags_of_an_estimate_without_lists(words, message, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    status = None
    with contextlib.suppress(SystemExit):  # of argparse, whose status is 2
        status = main(words)
    assert status in (None, 2)
    assert message in capsys.readouterr().err


def test_an_estimate_from_all_videos_is_what_a_conversion_then_makes(cost, prepared, video_folder, tmp_path, local_ray):
    assert main(command(tmp_path, video_folder, tmp_path / "out")) == 0
    assert (cost.sampled, cost.failures) == (18, {})
    for layout, quantity in cost.bytes.items():
        made = [path.stat().st_size for path in (tmp_path / "out" / layout).glob("*.tar")]
        assert quantity.low == quantity.value == quantity.high
        assert quantity.value == pytest.approx(sum(made), abs=5120 * len(made))
        splits = read_manifest(tmp_path / "out" / layout).splits
        for name, size in cost.splits.items():
            assert size.batches * size.views == len(splits[name].filenames)
            assert size.videos * size.views == splits[name].num_samples
            assert (size.classes, size.missing) == (2, 0)
    spent = [
        video.statistics.cpu_seconds
        for shard in prepared.batches
        for video in read_statistics(tmp_path / "out", shard.split, shard.number).videos
    ]
    assert len(spent) == 18
    assert min(spent) > 0
    assert cost.cpu_seconds.value > 0


def test_an_estimate_from_some_videos_has_a_spread_and_never_less_than_nothing(prepared, cost):
    some = estimate(prepared, num_samples=8)
    assert some.sampled == 5 + 4
    for layout, quantity in some.bytes.items():
        assert 0 < quantity.low < quantity.value < quantity.high
        assert quantity.value == pytest.approx(cost.bytes[layout].value, rel=0.3)
    assert 0 <= some.cpu_seconds.low < some.cpu_seconds.value < some.cpu_seconds.high


def test_the_sample_is_drawn_from_every_split_and_is_the_same_each_time(prepared):
    chosen = choose(prepared, 9)
    assert {split: len(videos) for split, videos in chosen.items()} == {"train": 6, "validation": 4}
    assert choose(prepared, 9) == chosen
    for split, videos in chosen.items():
        assert set(videos) <= {video for shard in prepared.batches if shard.split == split for video in shard.videos}


def test_the_command_prints_the_plan_and_writes_nothing(video_folder, tmp_path, capsys):
    broken = tmp_path / "source"
    for path in video_folder.rglob("*.*"):
        target = broken / path.relative_to(video_folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    (broken / "train" / "left" / "empty.mp4").write_bytes(b"")
    arguments = [*command(tmp_path, broken, tmp_path / "out"), "--dry-run", "--sample", "100"]
    assert main([*arguments, "--train-ranks", "2", "--train-workers", "3"]) == 0
    text = capsys.readouterr().out
    assert "train: 13 videos of 2 classes, 0 missing; 2 views each, 8 shards of 3.2 samples" in text
    assert "1 failed (1 empty file)" in text
    assert "CPU-hours: " in text
    assert "memory of each worker: " in text
    assert "ranks x workers must divide 8" in text
    assert "not a multiple of 2 x 3 = 6" in text
    assert "torchrun --nproc-per-node 2 train_image.py --data-dir" in text
    assert not (tmp_path / "out").exists()


def test_too_few_shards_are_reported_with_a_number_that_helps(prepared, video_folder, tmp_path, capsys):
    arguments = command(tmp_path, video_folder, tmp_path / "out", changes={"samples_per_shard": 100})
    flags = ["--dry-run", "--sample", "1", "--train-ranks", "4", "--train-workers", "2"]
    assert main([*arguments, *flags]) == 0
    text = capsys.readouterr().out
    assert "train: 2 shards are too few for the 4 x 2 = 8 readers" in text
    remedy = next(word for word in text.split() if word.startswith("samples_per_shard="))
    assert main([*arguments, *flags, "--set", remedy]) == 0
    assert "warning" not in capsys.readouterr().out


def test_several_labels_a_video_are_reported(prepared, cost):
    output = dataclasses.replace(prepared.output, job=dataclasses.replace(prepared.job, multi_label=True))
    of_several = dataclasses.replace(prepared, output=output)
    lines, before = (
        set(describe(of_whom, cost, Readers(ranks=1, workers=2), shown_output="out"))
        for of_whom in (of_several, prepared)
    )
    assert before < lines
    (line,) = lines - before
    assert "timm's train.py only on the first of each" in line


def timm_command(prepared, layout):
    splits = splits_to_train_on(prepared.job.config)
    readers = Readers(ranks=2, workers=4)
    return command_of_timm("DIR", prepared.job.config.layouts[layout], splits, readers, num_classes=2, workers=4)


def flags_of(text):
    """``--flag a b --other`` -> ``{"--flag": ["a", "b"], "--other": []}``."""
    flags, words = {}, shlex.split(text)
    for word in words[words.index("train.py") + 1 :]:
        if word.startswith("--"):
            flags[word] = []
        else:
            flags[next(reversed(flags))].append(word)
    return flags


@pytest.mark.parametrize("layout", ["grid", "strip"])
def test_every_flag_for_timm_is_one_of_its_train_script(layout, prepared):
    flags = flags_of(timm_command(prepared, layout))
    assert set(flags) <= set(TIMM_FLAGS)
    for name, values in flags.items():
        known = TIMM_FLAGS[name]
        if known["type"] == "bool":
            assert values == []
        elif isinstance(known["nargs"], int):
            assert len(values) == known["nargs"]
        else:
            assert len(values) == 1 or known["nargs"] == "+"


@pytest.mark.parametrize("layout", ["grid", "strip"])
@pytest.mark.parametrize("is_training", [True, False])
def test_with_the_flags_for_timm_its_transforms_leave_each_pixel_where_it_is(layout, is_training, prepared):
    flags = flags_of(timm_command(prepared, layout))
    size = tuple(int(value) for value in flags["--input-size"])
    assert size[1:] == prepared.job.config.layouts[layout].image_size
    transform = create_transform(
        input_size=size,
        is_training=is_training,
        no_aug="--no-aug" in flags,
        crop_pct=float(flags["--crop-pct"][0]),
        mean=tuple(map(float, flags["--mean"])),
        std=tuple(map(float, flags["--std"])),
        interpolation="bicubic",
        normalize=False,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (*size[1:], 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(transform(Image.fromarray(pixels))).transpose(1, 2, 0), pixels)


@pytest.mark.parametrize(
    ("counts", "ranks", "workers", "expected"),
    [([48, 48], 8, 4, 3), ([64], 8, 4, 4), ([2], 8, 4, None), ([96], 32, 4, 3), ([7], 1, 8, 7)],
)
def test_the_workers_that_are_safe_divide_the_shards(counts, ranks, workers, expected):
    assert safe_workers(counts, Readers(ranks=ranks, workers=workers)) == expected


def test_shards_that_are_too_small_are_said(cost, prepared):
    slow = dataclasses.replace(cost, cpu_seconds=Quantity(value=60.0, low=60.0, high=60.0), start_seconds=0.3)
    quick = dataclasses.replace(slow, cpu_seconds=Quantity(value=0.6, low=0.6, high=0.6))
    readers = Readers(ranks=1, workers=1)
    assert "small shards" not in "\n".join(describe(prepared, slow, readers, shown_output="out"))
    lines = "\n".join(describe(prepared, quick, readers, shown_output="out"))
    assert "75% of the time is spent on starts; raise samples_per_shard (now 3)" in lines
