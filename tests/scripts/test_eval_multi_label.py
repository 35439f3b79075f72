"""Evaluation of multi-label data: mAP over the views of each video, the files written, bad input."""

import csv
import json

import numpy as np
import pytest
import torch
from multi_label_images import COLOURS, labels_of, sample, write_multi_label_images
from multi_label_runs import VIDEOS, VIEWS, logits_and_targets, trained, unsure
from PIL import Image
from places import ROOT

import eval_video
from superimage.evaluation.metrics import average_precisions, mean_average_precision

pytestmark = pytest.mark.usefixtures("as_if_alone")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_multi_label_images(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return trained(data, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def unsure_run(data, tmp_path_factory):
    return unsure(data, tmp_path_factory.mktemp("unsure"))


def evaluate(run, data, output, *flags) -> dict:
    flags = ["--checkpoint", str(run / "last.pth.tar"), "--data-dir", str(data), "--output", str(output), *flags]
    assert eval_video.main([*flags, "--device", "cpu", "--workers", "0"]) == 0
    return json.loads((output / "results.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_an_evaluation_is_the_metric_of_the_averaged_views(unsure_run, data, tmp_path, capsys, average):
    results = evaluate(unsure_run, data, tmp_path, "--average", average)
    views = [logits_and_targets(unsure_run, data, f"validation_v{view:02d}") for view in range(VIEWS)]
    logits, targets = torch.tensor(np.stack([view[0] for view in views])).double(), views[0][1]
    scores = (logits.mean(0).sigmoid() if average == "logits" else logits.sigmoid().mean(0)).numpy()
    assert results["mAP"] == pytest.approx(mean_average_precision(scores, targets))
    assert results["mAP"] < 99
    each = average_precisions(scores, targets)
    assert [entry["name"] for entry in results["classes"]] == list(COLOURS)
    assert [entry["num_videos"] for entry in results["classes"]] == targets.sum(0).tolist()
    assert [entry["average_precision"] for entry in results["classes"][:3]] == pytest.approx(each[:3].tolist())
    assert results["classes"][3]["average_precision"] is None
    assert np.isnan(each[3])
    assert (results["num_videos"], results["views_per_video"]) == (VIDEOS, VIEWS)
    header, numbers = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header == ["split", "order", "num_videos", "views_per_video", "mAP"]
    assert numbers[-1] == f"{results['mAP']:.2f}"
    with open(tmp_path / "predictions.csv", newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert [row["labels"] for row in table] == ["; ".join(map(str, labels_of(index))) for index in range(VIDEOS)]
    assert table[2]["label_names"] == "red; green"
    for row, video in zip(table, scores):
        best = [int(label) for label in row["predicted"].split("; ")]
        assert best == np.argsort(-video).tolist()
        assert [float(value) for value in row["probabilities"].split("; ")] == pytest.approx(video[best], abs=2e-6)


def test_an_evaluation_is_found_done_without_a_confusion_matrix(run, data, tmp_path, caplog):
    first = evaluate(run, data, tmp_path)
    assert first["mAP"] > 95
    assert {path.name for path in tmp_path.iterdir()} == {"results.json", "predictions.csv", "average_precision.png"}
    with Image.open(tmp_path / "average_precision.png") as image:
        assert image.format == "PNG"
    before = (tmp_path / "results.json").stat().st_mtime_ns
    assert evaluate(run, data, tmp_path) == first
    assert "already evaluated" in caplog.text
    assert (tmp_path / "results.json").stat().st_mtime_ns == before
    (tmp_path / "average_precision.png").unlink()
    assert evaluate(run, data, tmp_path) == first
    assert (tmp_path / "average_precision.png").exists()


def test_a_video_with_other_labels_in_another_view_is_refused(run, tmp_path, capsys):
    data = write_multi_label_images(tmp_path / "data", train=8, make_sample=other_in_the_last_view)
    flags = ["--checkpoint", str(run / "last.pth.tar"), "--data-dir", str(data), "--output", str(tmp_path / "out")]
    assert eval_video.main([*flags, "--device", "cpu", "--workers", "0"]) == 2
    assert "video validation_000: class [0] in one view, [1] in view 2; convert it again" in capsys.readouterr().err


def other_in_the_last_view(video, view, num_views, index, *rest):
    return sample(video, view, num_views, index + (view == 2), *rest)


def test_the_configuration_of_an_evaluation(unsure_run, data, tmp_path):
    config = ["--config", str(ROOT / "configs/eval/multi_label.yaml")]
    assert evaluate(unsure_run, data, tmp_path, *config)["average"] == "probabilities"
