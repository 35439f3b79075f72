"""Multi-label data: its targets, and training on it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from multi_label_images import COLOURS, labels_of, sample, write_multi_label_images
from multi_label_runs import SMALL, VIDEOS, VIEWS, command, logits_and_targets, rows, timms_loader, trained, unsure
from places import ROOT
from timm.data import create_loader
from timm.loss import create_classification_loss
from timm.utils import load_checkpoint_metadata

import train_image
from preprocess.config.schema import load_config
from shards.check import check_directory
from shards.format import RECORDS_DIR
from shards.read import ShardError
from shards.records import Record, Tar
from shards.timm_reader import ShardReader
from superimage.evaluation.metrics import mean_average_precision
from superimage.training.command_line import parse_flags
from superimage.training.data import build_mixup, open_split
from superimage.training.flags import GROUPS, check_values
from superimage.training.grid import find_super_images
from superimage.training.model import build_loss, build_model
from superimage.training.train import adapt

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


@pytest.fixture(scope="module")
def one_label(tmp_path_factory):
    """The same tars with a single-label manifest, so that only the first label counts."""
    return write_multi_label_images(tmp_path_factory.mktemp("one"), multi_label=False)


def parsed(data, *flags):
    args, explicit = parse_flags(GROUPS, [*SMALL, "--data-dir", str(data), *flags], prog="test")
    manifest = find_super_images(args, explicit)
    return adapt(args, explicit, manifest), manifest


# With workers, timm's reader distributes whole shards and repeats samples. Without, it reads each sample once.
@pytest.mark.parametrize(("dataset", "workers"), [("", 0), ("", 2), ("wds/any", 0)])
def test_targets_are_those_of_timms_reader(data, dataset, workers):
    args, manifest = parsed(data, "--dataset", dataset, "--batch-size", "4")
    split = open_split(args, manifest, training=False)
    loader = create_loader(split, (3, 48, 48), 4, num_workers=workers, crop_pct=1.0, device=torch.device("cpu"))
    ours, theirs = samples_of(loader), samples_of(timms_loader(data, "validation"))
    if workers:  # each worker has its own samples, and their batches alternate
        ours, theirs = sorted(ours), sorted(theirs)
    assert ours == theirs
    labels = [np.frombuffer(target, np.float32).tolist() for _, target in samples_of(loader)]
    expected = [[float(label in labels_of(index)) for label in range(4)] for index in range(VIDEOS)] * VIEWS
    assert sorted(labels) == sorted(expected)


def samples_of(loader) -> list[tuple[bytes, bytes]]:
    batches = [pair for images, targets in loader for pair in zip(images.numpy(), targets.numpy())]
    return [(image.tobytes(), target.tobytes()) for image, target in batches]


def test_without_the_manifests_word_a_label_is_an_int(one_label):
    labels = [label for _, label in ShardReader(one_label, split="validation_v00")]
    assert labels == [labels_of(index)[0] for index in range(VIDEOS)]
    assert {type(label) for label in labels} == {int}


@pytest.mark.parametrize("names", [["red", "green"], ["red"]])
def test_a_label_outside_the_classes_names_the_shard(tmp_path, names):
    data = write_multi_label_images(tmp_path, train=8, validation=4)
    info = json.loads((data / "_info.json").read_text(encoding="utf-8"))
    info["superimage"]["class_names"] = names
    (data / "_info.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(ShardError, match=rf"train-v00-000000\.tar: sample .* not a list of 0 to {len(names) - 1}"):
        list(ShardReader(data, split="train"))


def test_it_learns_and_tells_the_mean_average_precision(run, data):
    summary = rows(run)
    assert {"eval_loss", "eval_map"} <= summary[0].keys()
    assert not {"eval_top1", "eval_top5"} & summary[0].keys()
    assert float(summary[-1]["eval_map"]) > 95
    assert float(summary[-1]["train_loss"]) < 0.5 * float(summary[0]["train_loss"])
    best = load_checkpoint_metadata(str(run / "model_best.pth.tar"))
    assert best["metric"] == max(float(row["eval_map"]) for row in summary)


def test_validation_is_the_metric_of_the_models_own_logits(run, unsure_run, data):
    for directory in (run, unsure_run):
        logits, targets = logits_and_targets(directory, data, "validation")
        seen = rows(directory)[-1]
        assert float(seen["eval_map"]) == pytest.approx(mean_average_precision(logits, targets), abs=1e-3)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(torch.tensor(logits), torch.tensor(targets))
        assert float(seen["eval_loss"]) == pytest.approx(loss.item(), abs=1e-4)


def test_a_run_that_was_cut_goes_on_to_the_same_end(data, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert train_image.main(command(data, tmp_path, experiment="whole")) == 0
    shutil.copytree(whole, cut)
    # As if the run had stopped after its fourth epoch: the fifth and sixth are trained again.
    (cut / "last.pth.tar").write_bytes((cut / "checkpoint-3.pth.tar").read_bytes())
    assert train_image.main(command(data, tmp_path, "--resume", "auto", experiment="cut")) == 0
    ends = [load_checkpoint_metadata(str(path / "last.pth.tar")) for path in (cut, whole)]
    assert ends[0]["epoch"] == ends[1]["epoch"] == 5
    assert all(torch.equal(ends[0]["state_dict"][name], ends[1]["state_dict"][name]) for name in ends[0]["state_dict"])
    assert rows(cut) == rows(whole)


def test_two_ranks_see_every_sample_once(data, tmp_path):
    """42 views, batches of 4: the ranks have about 22 and 20 views. The metric covers all of them."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*torchrun, "train_image.py", *command(data, tmp_path, "--epochs", "1", "--lr", "0.0003")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, capture_output=True, timeout=240, cwd=ROOT, env=environment, text=True)
    assert done.returncode == 0, done.stderr
    logits, targets = logits_and_targets(tmp_path / "run", data, "validation")
    expected = mean_average_precision(logits, targets)
    assert float(rows(tmp_path / "run")[0]["eval_map"]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("flags", [[], ["--smoothing", "0.1"], ["--bce-sum"], ["--bce-pos-weight", "3"]])
@pytest.mark.parametrize("mixing", [[], ["--mixup", "0.8"]])
def test_the_loss_is_the_one_timm_makes_for_multi_label_targets(data, flags, mixing):
    args, _ = parsed(data, *flags, *mixing)
    options = {"bce_sum": args.bce_sum, "pos_weight": args.bce_pos_weight, "smoothing": args.smoothing}
    timms = create_classification_loss(multi_label=True, soft_targets=bool(mixing), **options)
    logits, targets = torch.randn(5, 4), torch.tensor([[0.0, 1, 1, 0]] * 5)
    assert torch.equal(build_loss(args)(logits, targets), timms(logits, targets))


@pytest.mark.parametrize("flags", [["--mixup", "0.8"], ["--cutmix", "1"], ["--mixup", "0.2", "--mixup-mode", "elem"]])
def test_mixed_targets_are_those_of_both_samples(data, flags):
    """A target is ``lam`` times one sample's labels plus ``1 - lam`` times the other's."""
    args, manifest = parsed(data, *flags)
    images = np.zeros((2, 3, 48, 48), np.uint8)
    pair = np.array([[1, 1, 0, 0], [0, 1, 1, 0]], np.float32)
    _, mixed = build_mixup(args, 4, manifest)(list(zip(images, pair)))
    assert mixed[:, 3].tolist() == [0, 0]
    assert mixed[:, 1].tolist() == pytest.approx([1, 1])
    assert (mixed[:, 0] + mixed[:, 2]).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    "flags", [["--mixup", "0.4", "--cutmix", "1"], ["--bce-loss", "--amp", "--amp-dtype", "bfloat16", "--model-ema"]]
)
def test_it_trains_mixed_averaged_and_in_lower_precision(data, tmp_path, flags):
    flags = [*flags, "--epochs", "2", "--smoothing", "0.1", "--eval-metric", "loss", "--val-split", "validation_v00"]
    assert train_image.main(command(data, tmp_path, *flags)) == 0
    best = load_checkpoint_metadata(str(tmp_path / "run" / "model_best.pth.tar"))
    assert best["metric"] == min(float(row["eval_loss"]) for row in rows(tmp_path / "run"))


def test_timms_reader_trains_on_the_same_labels(data, tmp_path):
    assert train_image.main(command(data, tmp_path, "--dataset", "wds/any")) == 0
    assert float(rows(tmp_path / "run")[-1]["eval_map"]) > 95


def test_the_log_names_what_multi_label_data_changes(data, tmp_path, caplog):
    assert train_image.main(command(data, tmp_path, "--epochs", "1")) == 0
    notes = [line for line in caplog.messages if line.startswith("multi-label data:")]
    assert [line.partition(": ")[2] for line in notes] == [
        "--bce-loss True",
        "--eval-metric map",
        "targets are multi-hot, and map is the mean average precision in percent",
    ]
    assert any("map " in line and "top1" not in line for line in caplog.messages if line.startswith("epoch 1/1"))


def test_one_label_trains_as_if_there_were_no_list(one_label, tmp_path, caplog):
    """The same super images and classes, first with the list of labels in KEY.json and then without."""
    bare = write_multi_label_images(tmp_path / "bare", make_sample=without_list, multi_label=False)
    for name, directory in (("with", one_label), ("bare", bare)):
        assert train_image.main(command(directory, tmp_path, "--epochs", "2", experiment=name)) == 0
    assert rows(tmp_path / "with") == rows(tmp_path / "bare")
    assert {"eval_top1", "eval_top5"} <= rows(tmp_path / "with")[0].keys()
    assert "multi-label" not in caplog.text


def without_list(*arguments):
    made = sample(*arguments)
    del made.metadata["labels"]
    return made


@pytest.mark.parametrize(
    ("multi_label", "flags", "message"),
    [
        (True, ["--eval-metric", "top1"], "multi-label data is measured by map or loss"),
        (False, ["--eval-metric", "map"], "single-label data is measured by top1 or top5 or loss"),
        (True, ["--val-split", "validation_few"], "--val-split validation_few is single-label"),
        (True, ["--train-split", "validation_few"], "--val-split validation is multi-label"),
    ],
)
def test_what_does_not_fit_is_refused(data, one_label, tmp_path, capsys, multi_label, flags, message):
    source = with_a_subset(data if multi_label else one_label, tmp_path / "data")
    assert train_image.main(command(source, tmp_path, "--batch-size", "2", *flags)) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train_image:")]
    assert message in line


def with_a_subset(data, copy):
    """A copy whose manifest has a subset ``few`` of its first validation shard."""
    shutil.copytree(data, copy)
    info = json.loads((copy / "_info.json").read_text(encoding="utf-8"))
    info["superimage"]["subsets"] = {"few": ["red", "green"]}
    first = {"filenames": ["validation-v00-000000.tar"], "shard_lengths": [4], "num_samples": 4}
    for name in ("validation_few", *(f"validation_few_v{view:02d}" for view in range(VIEWS))):
        info["splits"][name] = {"name": name, "alt_label": "few_label", **first}
    (copy / "_info.json").write_text(json.dumps(info), encoding="utf-8")
    return copy


def test_a_checkpoint_says_which_classes_and_labels_it_learnt(run):
    kept = json.loads((run / "superimage.json").read_text(encoding="utf-8"))
    assert (kept["multi_label"], kept["class_names"]) == (True, list(COLOURS))


def test_check_reads_every_label(tmp_path):
    """A label outside the classes that is not the first."""
    data = write_multi_label_images(tmp_path, train=8, validation=4)
    (data / RECORDS_DIR).mkdir()
    info = json.loads((data / "_info.json").read_text(encoding="utf-8"))
    info["superimage"]["class_names"] = ["red"]
    (tmp_path / "_info.json").write_text(json.dumps(info), encoding="utf-8")
    path = data / "train-v00-000000.tar"
    digest = info["superimage"]["digest"]
    Record(split="train", number=0, digest=digest, tars=(tar(path),), failures=()).write(data)
    problems = check_directory(data).problems
    assert any(f"{path}: sample 'train_002_v00' has labels [0, 1], not a list of 0 to 0" in line for line in problems)


def tar(path):
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Tar(name=path.name, sha256=digest, bytes=path.stat().st_size, samples=8)


@pytest.mark.parametrize(
    ("train", "preprocess", "classes"),
    [("charades_b14_16f", "charades_stam", 157), ("multi_moments_b12_16f", "multi_moments", 313)],
)
def test_a_configuration_takes_what_the_one_of_its_data_set_makes(train, preprocess, classes):
    """A training step with one sample at full size, on the meta device."""
    path = ROOT / f"configs/train/{train}.yaml"
    assert f"train_image.py --config configs/train/{path.name} " in path.read_text(encoding="utf-8")
    assert f"configs/preprocess/{preprocess}.yaml makes them" in path.read_text(encoding="utf-8")
    (layout,) = load_config(ROOT / f"configs/preprocess/{preprocess}.yaml").layouts.values()
    args, _ = parse_flags(GROUPS, ["--config", str(path), "--data-dir", "DIR"], prog="test")
    check_values(args)
    args.pretrained, args.input_size, args.num_classes = False, [3, *layout.image_size], classes
    args.bce_loss = True  # set by the manifest
    with torch.device("meta"):
        model = build_model(args).train()
        assert model.default_cfg["input_size"] == tuple(args.input_size)
        build_loss(args)(model(torch.empty(1, *args.input_size)), torch.empty(1, classes)).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
