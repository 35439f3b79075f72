"""Results with a failing picture, unusual class names, and results of other code; user errors are one line."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from conversion import default_interrupts
from PIL import Image
from places import ROOT
from super_images import write_super_images

import eval_video
import train_image
from superimage.evaluation import evaluate as evaluation_module
from superimage.evaluation import results
from superimage.evaluation.outputs import predictions_csv
from superimage.evaluation.plots import average_precision_png, confusion_png
from superimage.evaluation.versions import code_versions

NAMES = [
    "Ba$$in",
    "not utf-8 \udcff",
    "a\ttab",
    "歩く",
    "a^b_{",
    "\\frac{",
    "$x",
    "new\nline",
    "cr\rname",
    "☃\U000f0000",
]
NAMES += ["x" * 300]
TRAINING = ["--model", "test_resnet", "--epochs", "1", "--warmup-epochs", "0", "--batch-size", "8", "--workers", "0"]
TRAINING += ["--device", "cpu", "--lr", "0.01"]
pytestmark = pytest.mark.usefixtures("as_if_alone")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"), train=16, validation=4, class_names=NAMES)


@pytest.fixture(scope="module")
def checkpoint(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs")
    assert train_image.main([*TRAINING, "--data-dir", str(data), "--output", str(output), "--experiment", "run"]) == 0
    return output / "run" / "last.pth.tar"


def words(checkpoint, data, output, *flags):
    given = ["--checkpoint", str(checkpoint), "--data-dir", str(data), "--output", str(output)]
    return [*given, "--workers", "0", "--device", "cpu", *flags]


def evaluate(checkpoint, data, output, *flags) -> int:
    return eval_video.main(words(checkpoint, data, output, *flags))


def one_line_of(capsys) -> str:
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("eval_video:")]
    assert len(lines) == 1
    assert "Traceback" not in error
    return lines[0]


def test_any_class_name_that_training_took_is_evaluated(checkpoint, data, tmp_path, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(checkpoint, data, tmp_path) == 0
    assert "cannot be drawn" not in caplog.text
    with Image.open(tmp_path / "confusion.png") as picture:
        picture.load()
    rows = list(csv.DictReader(io.StringIO((tmp_path / "predictions.csv").read_bytes().decode(), newline="")))
    assert [row["label_name"] for row in rows] == ["Ba$$in", "not utf-8 \\udcff"] * 2


def test_every_name_is_in_a_row_that_is_read_again():
    labels, probabilities = np.arange(len(NAMES)), np.eye(len(NAMES))
    content = predictions_csv([f"v{label}" for label in labels], labels, probabilities, NAMES)
    rows = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    assert [row["predicted_name"] for row in rows] == [name.replace("\udcff", "\\udcff") for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_read_as_mathematics_or_warned_about(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures = [
            confusion_png(np.eye(2, dtype=int), [name, "other"], name),
            average_precision_png(np.array([50.0, 20.0]), [name, "other"], name),
        ]
    for picture in pictures:
        with Image.open(io.BytesIO(picture)) as image:
            image.load()


def test_mathematics_is_drawn_as_the_letters_that_it_is():
    def picture(name):
        return confusion_png(np.eye(2, dtype=int), [name, "other"], "title")

    assert picture("$x$") != picture("x")  # as mathematics, both would be drawn as an x
    assert picture("\t") == picture("#0")


def test_a_picture_that_fails_is_a_warning_and_the_next_run_draws_it(checkpoint, data, tmp_path, caplog, monkeypatch):
    def fail(*_):
        raise RuntimeError("no fonts\nat all")

    with monkeypatch.context() as patched:
        patched.setattr(results, "draw", fail)
        assert evaluate(checkpoint, data, tmp_path) == 0
    assert f"{tmp_path / 'confusion.png'} cannot be drawn (no fonts); results.json and predictions.csv" in caplog.text
    before = (tmp_path / "results.json").stat().st_mtime_ns
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.csv", "results.json"]
    assert evaluate(checkpoint, data, tmp_path) == 0
    assert "already evaluated" in caplog.text
    assert (tmp_path / "results.json").stat().st_mtime_ns == before
    again = tmp_path / "again"
    assert evaluate(checkpoint, data, again) == 0
    assert (tmp_path / "confusion.png").read_bytes() == (again / "confusion.png").read_bytes()


def test_a_picture_of_other_results_does_not_stay(checkpoint, data, tmp_path, monkeypatch):
    assert evaluate(checkpoint, data, tmp_path) == 0
    monkeypatch.setattr(results, "draw", None)
    assert evaluate(checkpoint, data, tmp_path, "--order", "reverse") == 0
    assert not (tmp_path / "confusion.png").exists()


def test_results_of_other_code_are_replaced(checkpoint, data, tmp_path, caplog, monkeypatch):
    assert evaluate(checkpoint, data, tmp_path) == 0
    versions = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["versions"]
    assert versions == code_versions()
    assert versions.keys() >= {"superimage", "timm", "torch", "sources"}
    monkeypatch.setattr(results, "code_versions", lambda: {**versions, "timm": "0"})
    assert evaluate(checkpoint, data, tmp_path) == 0
    assert "was computed with other values of versions and will be replaced" in caplog.text


def test_the_hash_of_the_sources_sees_every_change(tmp_path):
    for name in ("shards", "superimage"):
        shutil.copytree(ROOT / name, tmp_path / name)
    assert code_versions(tmp_path) == code_versions()
    with open(tmp_path / "shards" / "layouts.py", "a", encoding="utf-8") as file:
        file.write("#\n")
    assert code_versions(tmp_path)["sources"] != code_versions()["sources"]


def test_epochs_are_counted_as_training_counts_them(checkpoint, data, tmp_path, caplog):
    assert evaluate(checkpoint, data, tmp_path) == 0
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["epoch"] == 1
    assert "weights of epoch 1," in caplog.text


def test_damaged_results_are_replaced(checkpoint, data, tmp_path, caplog):
    assert evaluate(checkpoint, data, tmp_path) == 0
    (tmp_path / "results.json").write_bytes(b"")
    assert evaluate(checkpoint, data, tmp_path) == 0
    assert "is damaged" in caplog.text
    assert json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))["num_videos"] == 4


def not_yaml(folder):
    (folder / "args.yaml").write_text("model: [test_resnet", encoding="utf-8")


def a_list(folder):
    (folder / "args.yaml").write_text("- model", encoding="utf-8")


def not_json(folder):
    (folder / "args.yaml").write_text("model: test_resnet", encoding="utf-8")
    (folder / "superimage.json").write_text("{", encoding="utf-8")


def without_classes(folder):
    (folder / "args.yaml").write_text("model: test_resnet", encoding="utf-8")
    (folder / "superimage.json").write_text("{}", encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (not_yaml, "args.yaml: not YAML"),
        (a_list, "args.yaml: must be a mapping of flags to values"),
        (not_json, "superimage.json: not JSON"),
        (without_classes, "has no class_names, digest, layout"),
    ],
)
def test_damaged_files_beside_bare_weights_are_one_line(checkpoint, data, tmp_path, capsys, spoil, message):
    bare = tmp_path / "bare.pth"
    torch.save({"state_dict": torch.load(checkpoint, weights_only=False)["state_dict"]}, bare)
    spoil(tmp_path)
    assert evaluate(bare, data, tmp_path / "out") == 2
    assert message in one_line_of(capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batch-size", "0"], "--batch-size 0: must be at least 1"),
        (["--workers", "-1"], "--workers -1: must be at least 0"),
        (["--device", "toaster"], "--device toaster: "),
        (["--device", "cuda:99"], "--device cuda:99: "),
        (["--device", "meta"], "--device meta: "),
        (["--mean", "0.5", "0.5"], "--mean [0.5, 0.5]: one number or 3"),
        (["--std", "0"], "--std [0.0]: must be above 0"),
        (["--mean", "123.7", "116.3", "103.5"], "must be from 0 to 1; divide values of 8-bit pixels by 255"),
        (["--std", "nan"], "--std [nan]: must be from 0 to 1"),
        (["--config", "nowhere.yaml"], "nowhere.yaml"),
        (["--model-kwargs", "colour=red"], "the model has no option colour"),
        (["--model", "resnet10x"], "did you mean resnet10t"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(checkpoint, data, tmp_path, capsys, flags, message):
    assert evaluate(checkpoint, data, tmp_path / "out", *flags) == 2
    assert message in one_line_of(capsys)
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_refused_before_the_work(checkpoint, data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluation_module, "predict", None)  # nothing is evaluated
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        assert evaluate(checkpoint, data, output) == 2
        assert f"{tmp_path / 'file'} is not a directory" in one_line_of(capsys)


@pytest.mark.parametrize("content", [b"", b"PK", b"hello", bytes(999), b"\x80\x02}q\x00."])
def test_a_file_that_is_no_checkpoint_is_one_line(data, tmp_path, capsys, content):
    path = tmp_path / "x.pth.tar"
    path.write_bytes(content)
    assert evaluate(path, data, tmp_path / "out") == 2
    line = one_line_of(capsys)
    assert len(line) < 400
    assert str(path) in line


def test_ctrl_c_is_one_line(checkpoint, data, tmp_path):
    many = [*words(checkpoint, data, tmp_path / "out"), "--workers", "2", "--batch-size", "1"]
    # The evaluation waits in the loop over batches, as with a large dataset.
    code = "import sys, time, eval_video; from superimage.evaluation import predict; "
    code += "predict._add = lambda *_: (print('in the loop', file=sys.stderr, flush=True), time.sleep(60)); "
    code += "sys.exit(eval_video.main(sys.argv[1:]))"
    with default_interrupts():
        begun = subprocess.Popen(
            [sys.executable, "-c", code, *many], cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
    for line in begun.stderr:
        if line.startswith("in the loop"):
            break
    os.killpg(begun.pid, signal.SIGINT)
    message = begun.stderr.read()
    assert begun.wait() == 130, message
    assert "Traceback" not in message
    assert message.rstrip().splitlines()[-1].startswith("eval_video: interrupted; no results were written")
