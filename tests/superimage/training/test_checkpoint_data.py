"""Both scripts compare a checkpoint's training data with the data; mean and std come from the right source."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from super_images import layout, write_super_images
from timm.models import create_model
from timm.utils import load_checkpoint_metadata

import eval_video
import train_image
from shards.format import read_manifest
from superimage.evaluation.checkpoint import load_trained
from superimage.training.comparison import all_differences, class_difference, grid_differences, other_differences

SMALL = ["--batch-size", "8", "--workers", "0", "--warmup-epochs", "0", "--opt", "adamw", "--lr", "0.003"]
SMALL += ["--device", "cpu", "--epochs", "1"]
IMAGENET = [0.485, 0.456, 0.406]
HALF = [0.5, 0.5, 0.5]
pytestmark = pytest.mark.usefixtures("as_if_alone")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"), train=16, validation=4, sampling={"kind": "uniform"})


def train(data, output, *flags, model="test_resnet", experiment="run") -> int:
    words = ["--model", model, *SMALL, "--data-dir", str(data), "--output", str(output), "--experiment", experiment]
    return train_image.main([*words, *flags])


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs")
    assert train(data, output) == 0
    return output / "run"


@pytest.fixture
def alone(run, tmp_path):
    """The checkpoint, copied out of its directory."""
    (tmp_path / "copy").mkdir()
    return Path(shutil.copy(run / "last.pth.tar", tmp_path / "copy" / "model.pth.tar"))


def evaluate(checkpoint, data, output, *flags) -> int:
    words = ["--checkpoint", str(checkpoint), "--data-dir", str(data), "--output", str(output), "--device", "cpu"]
    return eval_video.main([*words, "--workers", "0", *flags])


def one_line_of(capsys, program) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{program}:")]
    assert len(lines) == 1
    return lines[0]


def changed(data, copy, **section):
    shutil.copytree(data, copy)
    info = json.loads((copy / "_info.json").read_text(encoding="utf-8"))
    info["superimage"] |= section
    (copy / "_info.json").write_text(json.dumps(info), encoding="utf-8")
    return copy


def test_a_checkpoint_carries_the_whole_section_and_the_input(run, data, alone):
    content = torch.load(alone, weights_only=False)
    assert content["superimage"] == read_manifest(data).for_split("train").superimage
    assert content["input"]["mean"] == tuple(IMAGENET)
    assert content["input"]["input_size"] == (3, 48, 48)
    assert load_checkpoint_metadata(str(alone)).keys() == content.keys()  # without code, as timm's tools read it


def test_all_that_an_evaluation_needs_is_in_the_checkpoint(alone, data):
    trained, of_data = load_trained(alone, None), load_trained(alone, read_manifest(data))
    assert trained.superimage == read_manifest(data).for_split("train").superimage
    assert trained.input == of_data.input
    assert trained.spec == of_data.spec
    image = torch.rand(1, 3, 48, 48)
    assert torch.equal(trained.model.eval()(image), of_data.model.eval()(image))


@pytest.mark.parametrize("lacking", [["args"], ["model_spec", "input"]], ids=["no flags", "an older trainer"])
def test_a_model_is_made_from_its_specification_or_from_the_flags(alone, data, tmp_path, lacking):
    content = torch.load(alone, weights_only=False)
    torch.save({name: value for name, value in content.items() if name not in lacking}, tmp_path / "other.pth.tar")
    trained, other = (load_trained(path, read_manifest(data)) for path in (alone, tmp_path / "other.pth.tar"))
    assert other.input == trained.input
    assert dataclasses.replace(other.spec, num_classes=2) == trained.spec
    image = torch.rand(1, 3, 48, 48)
    assert torch.equal(trained.model.eval()(image), other.model.eval()(image))


def test_classes_in_another_order_are_refused_by_name(alone, data, tmp_path, capsys):
    other = changed(data, tmp_path / "other", class_names=["darker", "brighter"])
    assert evaluate(alone, other, tmp_path / "out") == 2
    line = one_line_of(capsys, "eval_video")
    assert "class 0 is 'brighter' in the checkpoint and 'darker' in the data (2 of 2 classes differ)" in line
    assert train(other, tmp_path, "--initial-checkpoint", str(alone), experiment="a") == 2
    line = one_line_of(capsys, "train_image")
    assert "class 0 is 'brighter' in the checkpoint" in line
    assert f"give --pretrained --pretrained-path {alone}" in line
    assert train(other, tmp_path, "--pretrained", "--pretrained-path", str(alone), experiment="b") == 0
    other = changed(data, tmp_path / "digest", digest="another", class_names=["darker", "brighter"])
    assert train(other, tmp_path, "--resume", str(alone), "--epochs", "2", experiment="c") == 2
    assert "class 0 is 'brighter' in the checkpoint" in one_line_of(capsys, "train_image")


@pytest.mark.parametrize("place", ["alone", "in place"])
def test_another_order_of_tiles_is_refused_unless_it_is_permitted(run, alone, tmp_path, capsys, caplog, place):
    column = write_super_images(tmp_path / "column", train=8, validation=4, grid=layout(order="column_major"))
    checkpoint = alone if place == "alone" else run / "last.pth.tar"
    assert evaluate(checkpoint, column, tmp_path / "out") == 2
    line = one_line_of(capsys, "eval_video")
    assert "layout.order is 'row_major' in the checkpoint and 'column_major' in the data" in line
    assert evaluate(checkpoint, column, tmp_path / "out", "--allow-other-layout") == 0
    assert "layout.order is 'row_major' in the checkpoint and 'column_major' in the data" in caplog.text
    caplog.clear()
    assert train(column, tmp_path, "--initial-checkpoint", str(alone), experiment="tuned") == 0
    assert "layout.order is 'row_major' in the checkpoint and 'column_major' in the data" in caplog.text


def test_what_else_differs_is_said(alone, data, tmp_path, caplog):
    other = changed(data, tmp_path / "other", sampling={"kind": "dense"}, mean=HALF)
    assert evaluate(alone, other, tmp_path / "out") == 0
    assert "sampling.kind is 'uniform' in the checkpoint and 'dense' in the data" in caplog.text
    assert f"mean is {IMAGENET} in the checkpoint and {HALF} in the data" in caplog.text


def test_weights_that_say_nothing_are_told(alone, data, tmp_path, caplog):
    bare = tmp_path / "bare.pth"
    torch.save(torch.load(alone, weights_only=False)["state_dict"], bare)
    assert evaluate(bare, data, tmp_path / "out", "--model", "test_resnet") == 0
    assert "so class names and layout are not compared" in caplog.text
    assert train(data, tmp_path, "--initial-checkpoint", str(bare)) == 0
    assert "classes and layout are not compared" in caplog.text


def test_comparison_by_name_and_value():
    assert class_difference(["a", "b"], ("a", "b")) == ""
    assert class_difference(["a"], ["a", "b"]) == (
        "the checkpoint has 1 classes, the data has 2 ('b' is only in the data)"
    )
    section = {"layout": layout().to_dict(), "class_names": ["a"], "mean": (0.5,), "std": [1.0]}
    older = {name: value for name, value in section["layout"].items() if name not in ("groups", "pad")}
    assert grid_differences(section, {**section, "layout": older}) == []
    assert other_differences(section, {**section, "mean": [0.5]}) == []
    assert all_differences(section, section) == "other videos, or another conversion"
    strip = {**section, "layout": layout(rows=1, columns=8).to_dict()}
    assert "layout.rows is 3 in the checkpoint and 1 in the data" in all_differences(section, strip)


def mean_of(path) -> list[float]:
    return list(load_checkpoint_metadata(str(path))["input"]["mean"])


def test_mean_and_std_are_the_flag_then_the_weights_then_the_manifest(data, tmp_path, caplog):
    """test_vit's pretrained configuration has 0.5, the manifest ImageNet's."""
    weights = tmp_path / "vit.pth"
    torch.save(create_model("test_vit", img_size=48).state_dict(), weights)
    begun = ["--pretrained", "--pretrained-path", str(weights)]
    assert create_model("test_vit").pretrained_cfg["mean"] == (0.5, 0.5, 0.5)
    for flags, expected in (([], IMAGENET), (begun, HALF), ([*begun, "--mean", "0.1", "0.2", "0.3"], [0.1, 0.2, 0.3])):
        name = f"run{len(flags)}"
        assert train(data, tmp_path, *flags, model="test_vit", experiment=name) == 0
        saved = load_checkpoint_metadata(str(tmp_path / name / "last.pth.tar"))
        assert list(saved["input"]["mean"]) == saved["args"].mean == expected
        assert list(saved["input"]["std"]) == saved["args"].std == ([0.229, 0.224, 0.225] if not flags else HALF)
    assert f"super images: --mean {HALF} from the model's pretrained configuration" in caplog.text


def test_a_resumed_or_tuned_model_keeps_the_mean_of_its_checkpoint(data, tmp_path):
    assert train(data, tmp_path, "--mean", "0.1", "0.2", "0.3") == 0
    last = tmp_path / "run" / "last.pth.tar"
    assert train(data, tmp_path, "--resume", "auto", "--epochs", "2") == 0
    assert load_checkpoint_metadata(str(last))["epoch"] == 1
    assert mean_of(last) == [0.1, 0.2, 0.3]
    for number, flags in enumerate((["--initial-checkpoint"], ["--pretrained", "--pretrained-path"])):
        assert train(data, tmp_path, *flags, str(last), experiment=f"tuned{number}") == 0
        assert mean_of(tmp_path / f"tuned{number}" / "last.pth.tar") == [0.1, 0.2, 0.3]


def test_the_evaluation_takes_the_mean_of_the_checkpoint_and_of_the_flag_before_it(alone, data, tmp_path):
    assert evaluate(alone, data, tmp_path / "a") == 0
    assert evaluate(alone, data, tmp_path / "b", "--mean", "0.5", "0.5", "0.5") == 0
    results = [json.loads((tmp_path / name / "results.json").read_text(encoding="utf-8")) for name in "ab"]
    assert [each["mean"] for each in results] == [IMAGENET, HALF]
    predictions = [(tmp_path / name / "predictions.csv").read_text(encoding="utf-8") for name in "ab"]
    assert predictions[0] != predictions[1]
