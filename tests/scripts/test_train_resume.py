"""Resuming after kills, damaged files, a full disk and Ctrl-C, without losing finished epochs."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conversion import default_interrupts, needs_mount
from places import ROOT
from super_images import write_super_images
from timm.models import create_model, load_checkpoint
from timm.utils import load_checkpoint_metadata

import train_image
from superimage.training.interruption import command_to_go_on
from superimage.training.saver import Saver
from superimage.training.stored import BEST, LAST, checkpoint_files, damage, newest_whole, read_checkpoint
from superimage.training.summary import read_rows, repair_summary

SMALL = ["--model", "test_resnet", "--batch-size", "8", "--workers", "0", "--warmup-epochs", "0"]
SMALL += ["--opt", "adamw", "--lr", "0.003", "--device", "cpu"]
pytestmark = pytest.mark.usefixtures("as_if_alone")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"), train=16, validation=4)


@pytest.fixture(scope="module")
def three_epochs(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("runs")
    assert train_image.main(command(data, output, "--epochs", "3")) == 0
    return output / "run"


@pytest.fixture
def run(three_epochs, tmp_path):
    """A copy to damage, without the hard links that the trainer makes."""
    return Path(shutil.copytree(three_epochs, tmp_path / "run"))


def command(data, output, *flags, experiment="run"):
    return [*SMALL, "--data-dir", str(data), "--output", str(output), "--experiment", experiment, *flags]


def epochs(run) -> list[str]:
    with open(run / "summary.csv", newline="", encoding="utf-8") as file:
        return [row["epoch"] for row in csv.DictReader(file)]


def one_line_of(capsys) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train_image:")]
    assert len(lines) == 1
    return lines[0]


def missing(path):
    path.unlink()


def empty(path):
    path.write_bytes(b"")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def zeroed(path):
    """As after a power failure: the file has the right length, but a page of the weights is zero."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4096] = bytes(4096)
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [missing, empty, cut, zeroed])
def test_a_lost_last_checkpoint_costs_at_most_the_epochs_after_the_newest_whole_one(run, data, tmp_path, caplog, spoil):
    for name in (LAST, "checkpoint-2.pth.tar"):
        spoil(run / name)
    kept = (run / "checkpoint-0.pth.tar").read_bytes()
    assert train_image.main(command(data, tmp_path, "--epochs", "4", "--resume", "auto")) == 0
    assert f"resumes from {run / 'checkpoint-1.pth.tar'}" in caplog.text
    assert epochs(run) == ["0", "1", "2", "3"]
    assert load_checkpoint_metadata(str(run / LAST))["epoch"] == 3
    assert (run / "checkpoint-0.pth.tar").read_bytes() == kept
    assert all(damage(path) is None for path in checkpoint_files(run))


def test_the_file_that_timms_saver_had_not_renamed_yet_counts(run, data, tmp_path):
    """timm removes the last checkpoint before it renames the new one. The kill comes in between."""
    shutil.move(run / LAST, run / "tmp.pth.tar")
    (run / "checkpoint-2.pth.tar").unlink()
    (run / BEST).unlink()
    assert newest_whole(run)[0] == run / "tmp.pth.tar"
    assert train_image.main(command(data, tmp_path, "--epochs", "4", "--resume", "auto")) == 0
    assert epochs(run) == ["0", "1", "2", "3"]


@pytest.mark.parametrize("spoil", [missing, empty, cut])
@pytest.mark.parametrize("flags", [["--resume", "auto"], []])
def test_epochs_without_a_whole_checkpoint_are_never_begun_again(run, data, tmp_path, capsys, spoil, flags):
    for path in checkpoint_files(run):
        spoil(path)
    before = {path: path.read_bytes() for path in run.iterdir()}
    assert train_image.main(command(data, tmp_path, "--epochs", "4", *flags)) == 2
    message = (
        "3 epochs in summary.csv, but no undamaged checkpoint" if flags else "exists: resume from it by --resume auto"
    )
    assert message in one_line_of(capsys)
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_an_experiment_is_not_overwritten_from_the_checkpoint_of_another(run, data, tmp_path, capsys):
    flags = ["--epochs", "4", "--resume", str(run / LAST)]
    assert train_image.main(command(data, tmp_path, *flags, experiment="more")) == 0
    before = {path: path.read_bytes() for path in run.iterdir()}
    flags[-1] = str(tmp_path / "more" / "checkpoint-3.pth.tar")
    assert train_image.main(command(data, tmp_path, *flags)) == 2
    assert "exists: resume from it by --resume auto" in one_line_of(capsys)
    assert {path: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize(("spoil", "why"), [(empty, "the file is empty"), (cut, "the file is cut off")])
def test_a_damaged_checkpoint_by_name_is_one_line(run, data, tmp_path, capsys, spoil, why):
    spoil(run / LAST)
    for flag, name in (("--resume", "a"), ("--initial-checkpoint", "b")):
        flags = ["--epochs", "4", flag, str(run / LAST)]
        assert train_image.main(command(data, tmp_path, *flags, experiment=name)) == 2
        assert f"{flag} {run / LAST}: not a checkpoint ({why})" in one_line_of(capsys)
    flags = ["--epochs", "4", "--pretrained", "--pretrained-path", str(run / LAST)]
    assert train_image.main(command(data, tmp_path, *flags, experiment="c")) == 2
    assert f"not a checkpoint ({why})" in one_line_of(capsys)


def test_a_lost_best_checkpoint_is_made_anew_or_forgotten(run, data, tmp_path):
    empty(run / BEST)
    assert train_image.main(command(data, tmp_path, "--epochs", "3", "--resume", "auto")) == 0
    best = read_checkpoint(run / BEST, "best")
    metrics = [read_checkpoint(run / f"checkpoint-{epoch}.pth.tar", "")["metric"] for epoch in range(3)]
    assert best["metric"] == max(metrics)
    assert best["epoch"] == metrics.index(max(metrics))


def test_resuming_neither_needs_nor_reads_the_weights_that_the_run_began_from(data, tmp_path, capsys):
    weights = tmp_path / "begin.pth"
    torch.save(create_model("test_resnet").state_dict(), weights)
    flags = ["--pretrained", "--pretrained-path", str(weights)]
    assert train_image.main(command(data, tmp_path, *flags, "--epochs", "1")) == 0
    weights.unlink()
    assert train_image.main(command(data, tmp_path, *flags, "--epochs", "2", "--resume", "auto")) == 0
    weights.write_bytes(b"no weights any more")
    assert train_image.main(command(data, tmp_path, *flags, "--epochs", "3", "--resume", "auto")) == 0
    assert epochs(tmp_path / "run") == ["0", "1", "2"]
    flags = ["--initial-checkpoint", str(tmp_path / "gone.pth")]
    assert train_image.main(command(data, tmp_path, *flags, "--epochs", "4", "--resume", "auto")) == 0
    assert epochs(tmp_path / "run") == ["0", "1", "2", "3"]


def test_a_saver_that_is_killed_anywhere_leaves_a_last_checkpoint(three_epochs, data, tmp_path):
    """Kill a process at its n-th disk operation, for every n until it finishes."""
    script = f"""
import os, sys
sys.path.insert(0, {str(ROOT)!r})
import train_image
calls = 0
def dying(real):
    def call(*args, **kwargs):
        global calls
        name = os.fspath(args[0]) if not isinstance(args[0], int) else ""
        if "pth.tar" in name:
            calls += 1
            if calls == int(sys.argv[1]):
                os._exit(9)
        return real(*args, **kwargs)
    return call
for name in ("replace", "unlink", "remove", "link"):
    setattr(os, name, dying(getattr(os, name)))
sys.exit(train_image.main(sys.argv[2:]))
"""
    flags = command(data, tmp_path, "--epochs", "4", "--resume", "auto", "--checkpoint-hist", "2")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for number in range(1, 20):
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        shutil.copytree(three_epochs, tmp_path / "run")
        done = subprocess.run([sys.executable, "-c", script, str(number), *flags], cwd=ROOT, env=environment)
        assert damage(tmp_path / "run" / LAST) is None
        if done.returncode == 0:
            break
        assert done.returncode == 9
    assert number >= 4
    assert done.returncode == 0


def test_a_row_that_was_not_written_comes_from_the_checkpoint(run, data, tmp_path):
    whole = (run / "summary.csv").read_bytes()
    for left in (whole[: whole.index(b"\n2,") + 1], whole[:-9], b""):
        (run / "summary.csv").write_bytes(left)
        assert train_image.main(command(data, tmp_path, "--epochs", "3", "--resume", "auto")) == 0
        assert (run / "summary.csv").read_bytes().splitlines()[-1] == whole.splitlines()[-1]
    (run / "summary.csv").write_bytes(whole)
    repair_summary(run / "summary.csv", 2, None)
    assert [row[0] for row in read_rows(run / "summary.csv")] == ["epoch", "0", "1"]


def test_a_disk_without_hard_links_gets_copies(monkeypatch, data, tmp_path):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert train_image.main(command(data, tmp_path, "--epochs", "2")) == 0
    paths = checkpoint_files(tmp_path / "run")
    assert [path.stat().st_nlink for path in paths] == [1] * len(paths)
    assert all(damage(path) is None for path in paths)
    assert not list((tmp_path / "run").glob(".*"))


@needs_mount
def test_a_full_disk_is_one_line_and_destroys_nothing(data, tmp_path):
    """Two checkpoints of 4.6 MB fit. Then the disk is enlarged, and the same command resumes."""
    (tmp_path / "out").mkdir()
    words = [sys.executable, "train_image.py", *command(data, tmp_path / "out", "--epochs", "4", "--resume", "auto")]
    script = [sys.executable, str(ROOT / "tests/faults/small_disk.py"), str(tmp_path / "out"), "12000", *words]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", *script], capture_output=True, text=True, cwd=ROOT, timeout=240
    )
    assert done.returncode == 0, done.stderr
    first, second = json.loads(done.stdout)["runs"]
    assert first["status"] == 2
    line = first["stderr"].splitlines()[-1]
    assert "the checkpoint of epoch 3 cannot be written" in line
    assert "No space left on device" in line
    assert "Traceback" not in first["stderr"]
    sizes = {name: size for name, size in first["files"].items() if name.endswith(".tar")}
    assert set(sizes) == {f"run/{name}" for name in (LAST, BEST, "checkpoint-0.pth.tar", "checkpoint-1.pth.tar")}
    assert min(sizes.values()) > 4_000_000
    assert not [name for name in first["files"] if "partial" in name or "tmp" in name]
    assert second["status"] == 0, second["stderr"]
    assert "run/checkpoint-3.pth.tar" in second["files"]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_ctrl_c_is_one_line_and_the_command_that_goes_on(data, tmp_path, workers):
    flags = command(data, tmp_path, "--epochs", "500", "--workers", workers)
    words = [sys.executable, "train_image.py", *flags]
    with default_interrupts():
        begun = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for line in begun.stderr:
        if line.startswith("epoch 2/"):
            break
    os.killpg(begun.pid, signal.SIGINT)  # a terminal sends it to the loader's workers too
    message = [line for line in begun.stderr.read().splitlines() if line and not line.startswith("epoch ")]
    assert begun.wait() == 130, message
    assert message[0] == "train_image: interrupted; finished epochs are kept. To resume:"
    assert message[1].split()[:2] == ["python", "train_image.py"]
    assert len(message) == 2, message
    again = [*message[1].split()[1:], "--epochs", "4", "--workers", "0"]
    before = load_checkpoint_metadata(str(tmp_path / "run" / LAST))["epoch"]
    flags = [word if word != "4" or before < 3 else str(before + 2) for word in again]
    assert subprocess.run([sys.executable, *flags], cwd=ROOT, capture_output=True).returncode == 0
    assert epochs(tmp_path / "run") == [str(epoch) for epoch in range(max(4, before + 2))]


def test_the_command_that_goes_on_names_the_experiment_once():
    words = ["--lr", "1", "--resume", "a b.tar", "--experiment=old", "--output", "my runs"]
    assert command_to_go_on(words, experiment="e", world_size=1) == (
        "python train_image.py --lr 1 --output 'my runs' --experiment e --resume auto"
    )
    assert command_to_go_on([], experiment="e", world_size=2).startswith("torchrun --nproc-per-node 2 train_image.py")


def test_timms_own_tools_read_a_checkpoint(three_epochs):
    model = create_model("test_resnet", num_classes=2)
    load_checkpoint(model, str(three_epochs / LAST))
    content = torch.load(three_epochs / LAST, weights_only=False)
    assert all(torch.equal(value, content["state_dict"][name]) for name, value in model.state_dict().items())
    saver = Saver(model, torch.optim.SGD(model.parameters()), checkpoint_dir=str(three_epochs), extras={})
    assert saver.load_state_dict_from_checkpoint(str(three_epochs / LAST))
