"""Whole evaluations of a small trained model: files, each video once, orders, bad input."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from super_images import layout, write_super_images
from timm import create_model
from timm.data import create_dataset, create_loader

import eval_video
import train_image
from shards.format import read_manifest
from shards.pads import pad_mask

VIDEOS, VIEWS = 10, 3
pytestmark = pytest.mark.usefixtures("as_if_alone")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"), train=40, validation=VIDEOS)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A directory with the checkpoint of a model that distinguishes brightening and darkening."""
    output = tmp_path_factory.mktemp("runs")
    flags = ["--model", "test_resnet", "--epochs", "6", "--warmup-epochs", "0", "--batch-size", "8", "--workers", "0"]
    flags += ["--opt", "adamw", "--lr", "0.003", "--device", "cpu", "--output", str(output), "--experiment", "run"]
    assert train_image.main(["--data-dir", str(data), *flags]) == 0
    return output / "run"


def evaluate(run, data, output, *flags) -> int:
    checkpoint = run if run.suffix == ".tar" else run / "last.pth.tar"
    flags = ["--output", str(output), "--device", "cpu", "--workers", "0", *flags]
    return eval_video.main(["--checkpoint", str(checkpoint), "--data-dir", str(data), *flags])


def results_of(output) -> dict:
    return json.loads((output / "results.json").read_text(encoding="utf-8"))


def test_every_video_once_and_all_files(run, data, tmp_path, capsys):
    assert evaluate(run, data, tmp_path) == 0
    results = results_of(tmp_path)
    expected = {"top1": 100.0, "top5": 100.0, "mean_class": 100.0, "num_videos": VIDEOS, "views_per_video": VIEWS}
    assert {name: results[name] for name in expected} == expected
    assert (results["split"], results["order"], results["epoch"], results["weights"]) == (
        "validation",
        "normal",
        6,
        "weights",
    )
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["video"] for row in rows] == [f"validation_{index:03d}" for index in range(VIDEOS)]
    assert all(row["label_name"] == row["predicted_name"] and row["correct"] == "1" for row in rows)
    with Image.open(tmp_path / "confusion.png") as image:
        assert image.format == "PNG"
    out = capsys.readouterr().out.splitlines()
    assert [line.split() for line in out] == [
        ["split", "order", "num_videos", "views_per_video", "top1", "top5", "mean_class"],
        ["validation", "normal", "10", "3", "100.00", "100.00", "100.00"],
    ]


def test_the_scores_are_those_of_timms_reader(run, data, tmp_path):
    """The probabilities equal those of timm's model, reader and loader, averaged by hand, with zero pads."""
    assert evaluate(run, data, tmp_path) == 0
    model = create_model("test_resnet", num_classes=2, checkpoint_path=str(run / "last.pth.tar")).eval()
    logits, pads = [], torch.from_numpy(pad_mask(read_manifest(data).layout, 48, 48))
    for view in range(VIEWS):
        dataset = create_dataset("wds/any", root=str(data), split=f"validation_v{view:02d}", batch_size=4)
        loader = create_loader(dataset, (3, 48, 48), 4, num_workers=0, crop_pct=1.0, device=torch.device("cpu"))
        with torch.no_grad():
            logits.append(torch.cat([model(images.masked_fill(pads, 0)) for images, _ in loader]))
    expected = torch.stack(logits).mean(0).softmax(-1).max(-1).values.numpy()
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        seen = [float(row["probability"]) for row in csv.DictReader(file)]
    assert np.allclose(seen, expected, atol=2e-5)


def test_reversed_time_turns_each_class_into_its_mirror(run, data, tmp_path):
    assert evaluate(run, data, tmp_path / "reverse", "--order", "reverse") == 0
    assert results_of(tmp_path / "reverse")["top1"] == 0.0
    assert evaluate(run, data, tmp_path / "random", "--order", "random", "--seed", "3") == 0
    assert 0.0 < results_of(tmp_path / "random")["top1"] < 100.0


def test_workers_and_batches_change_nothing(run, data, tmp_path):
    order = ["--order", "random"]
    assert evaluate(run, data, tmp_path / "a", *order) == 0
    assert evaluate(run, data, tmp_path / "b", *order, "--workers", "2", "--batch-size", "7") == 0
    for name in ("results.json", "predictions.csv", "confusion.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_one_view_alone(run, data, tmp_path):
    assert evaluate(run, data, tmp_path, "--split", "validation_v01", "--average", "probabilities") == 0
    assert (results_of(tmp_path)["num_videos"], results_of(tmp_path)["views_per_video"]) == (VIDEOS, 1)


def test_the_same_inputs_are_found_done(run, data, tmp_path, caplog, capsys):
    assert evaluate(run, data, tmp_path) == 0
    before = (tmp_path / "results.json").stat().st_mtime_ns
    first = capsys.readouterr().out
    assert evaluate(run, data, tmp_path) == 0
    assert "already evaluated" in caplog.text
    assert capsys.readouterr().out == first
    assert (tmp_path / "results.json").stat().st_mtime_ns == before
    assert evaluate(run, data, tmp_path, "--order", "reverse") == 0
    assert "was computed with other values of order and will be replaced" in caplog.text
    assert results_of(tmp_path)["order"] == "reverse"


def test_averaged_weights_are_used_and_told(data, tmp_path):
    flags = ["--model", "test_resnet", "--epochs", "1", "--warmup-epochs", "0", "--batch-size", "8", "--workers", "0"]
    flags += ["--device", "cpu", "--model-ema", "--output", str(tmp_path), "--experiment", "ema"]
    assert train_image.main(["--data-dir", str(data), *flags]) == 0
    assert evaluate(tmp_path / "ema", data, tmp_path / "a") == 0
    assert evaluate(tmp_path / "ema", data, tmp_path / "b", "--no-ema") == 0
    assert (results_of(tmp_path / "a")["weights"], results_of(tmp_path / "b")["weights"]) == ("average", "weights")
    assert (tmp_path / "a" / "predictions.csv").read_text(encoding="utf-8") != (
        tmp_path / "b" / "predictions.csv"
    ).read_text(encoding="utf-8")


def test_bare_weights_need_their_model_named(run, data, tmp_path, capsys):
    content = torch.load(run / "last.pth.tar", weights_only=False)
    bare = tmp_path / "bare.pth.tar"
    torch.save({"state_dict": content["state_dict"]}, bare)
    assert evaluate(bare, data, tmp_path / "a") == 2
    assert "give --model" in capsys.readouterr().err
    assert evaluate(bare, data, tmp_path / "a", "--model", "test_resnet") == 0
    assert results_of(tmp_path / "a")["top1"] == 100.0
    shutil.copy(run / "args.yaml", tmp_path)
    assert evaluate(bare, data, tmp_path / "b") == 0
    assert results_of(tmp_path / "b")["top1"] == 100.0


def refused(capsys, run, data, output, *flags) -> str:
    """The error message, in one line, of an evaluation that is refused and writes nothing."""
    capsys.readouterr()
    assert evaluate(run, data, output, *flags) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("eval_video:")]
    assert len(lines) == 1
    assert not Path(output).exists()
    return lines[0]


def changed_manifest(data, copy, change):
    shutil.copytree(data, copy)
    info = json.loads((copy / "_info.json").read_text(encoding="utf-8"))
    change(info)
    (copy / "_info.json").write_text(json.dumps(info), encoding="utf-8")
    return copy


def without_a_shard(info):
    split = info["splits"]["validation"]
    split["num_samples"] -= split["shard_lengths"].pop(4)
    split["filenames"].pop(4)


def with_a_shard_twice(info):
    split = info["splits"]["validation"]
    split["num_samples"] += split["shard_lengths"][0]
    split["filenames"].append(split["filenames"][0])
    split["shard_lengths"].append(split["shard_lengths"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_a_shard, "4 of 10 videos do not have views [0, 1, 2]: validation_004 has [0, 2]; validation_005"),
        (with_a_shard_twice, "video validation_000: view 0 occurs twice"),
        (lambda info: info["superimage"]["class_names"].reverse(), "was trained on other classes"),
        (lambda info: info["superimage"]["class_names"].append("third"), "was trained on other classes"),
        (lambda info: info["superimage"]["views"].pop("validation"), "has no number of views"),
    ],
)
def test_data_that_does_not_add_up_is_refused(run, data, tmp_path, capsys, change, message):
    copy = changed_manifest(data, tmp_path / "copy", change)
    assert message in refused(capsys, run, copy, tmp_path / "out")


def test_a_cut_shard_is_refused_by_name(run, data, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    shard = copy / "validation-v01-000000.tar"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    for workers in ("0", "2"):
        assert str(shard) in refused(capsys, run, copy, tmp_path / "out", "--workers", workers)


def test_another_size_or_model_or_file_is_refused(run, data, tmp_path, capsys):
    larger = write_super_images(tmp_path / "larger", train=8, grid=layout(tile=32))
    out = tmp_path / "out"
    assert "trained on images of 48x48 pixels, but the images here have 96x96" in refused(capsys, run, larger, out)
    assert "does not fit test_vit" in refused(capsys, run, data, out, "--model", "test_vit")
    assert "no such file" in refused(capsys, run / "none.pth.tar", data, out)
    assert "no manifest of super images" in refused(capsys, run, tmp_path, out)
    assert "split 'test' is not in the manifest" in refused(capsys, run, data, out, "--split", "test")
    broken = tmp_path / "broken.pth.tar"
    broken.write_bytes((run / "last.pth.tar").read_bytes()[:5000])
    assert "not a checkpoint" in refused(capsys, broken, data, out)
    broken.write_bytes(b"")
    assert "not a checkpoint" in refused(capsys, broken, data, out)
    assert "--order" in refused(capsys, run, data, out, "--order", "sideways")
    assert "s3://bucket/eval: must be a local path" in refused(capsys, run, data, "s3://bucket/eval")


def test_a_checkpoint_that_holds_code_is_not_run(data, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",))

    evil = tmp_path / "evil.pth.tar"
    torch.save({"state_dict": {}, "args": Evil()}, evil)
    assert "not a checkpoint" in refused(capsys, evil, data, tmp_path / "out")
    assert not (tmp_path / "ran").exists()


def test_images_that_training_made_smaller_are_made_so_again(data, tmp_path):
    flags = ["--model", "test_resnet", "--epochs", "6", "--warmup-epochs", "0", "--batch-size", "8", "--workers", "0"]
    flags += ["--opt", "adamw", "--lr", "0.003", "--device", "cpu", "--img-size", "24"]
    assert train_image.main(["--data-dir", str(data), *flags, "--output", str(tmp_path), "--experiment", "half"]) == 0
    assert evaluate(tmp_path / "half", data, tmp_path / "out") == 0
    with open(tmp_path / "half" / "summary.csv", newline="", encoding="utf-8") as file:
        seen = float(list(csv.DictReader(file))[-1]["eval_top1"])
    assert results_of(tmp_path / "out")["top1"] == pytest.approx(seen, abs=100 / VIDEOS)
