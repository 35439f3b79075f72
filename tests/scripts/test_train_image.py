"""Small runs of the trainer: files, resuming, more than one process, bad input."""

import csv
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
import yaml
from places import ROOT
from super_images import write_super_images
from timm.models import create_model
from timm.utils import load_checkpoint_metadata

import train_image
from shards.format import read_manifest
from superimage.training.command_line import parse_flags
from superimage.training.data import build_loaders
from superimage.training.device_env import DeviceEnv
from superimage.training.flags import GROUPS
from superimage.training.grid import find_super_images, fit_to_grid
from superimage.training.loop import Experiment, validate
from superimage.training.model import build_model, build_schedule, learning_rate

SMALL = ["--model", "test_resnet", "--batch-size", "8", "--workers", "0", "--warmup-epochs", "0"]
SMALL += ["--opt", "adamw", "--lr", "0.003", "--device", "cpu"]
pytestmark = pytest.mark.usefixtures("as_if_alone")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"), train=36, validation=7)


def command(data, output, *flags, experiment="run"):
    return [*SMALL, "--data-dir", str(data), "--output", str(output), "--experiment", experiment, *flags]


def subprocess_options():
    return {"cwd": ROOT, "env": {**os.environ, "OMP_NUM_THREADS": "1"}, "text": True}


def rows(directory):
    with open(directory / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def checkpoint(path):
    return load_checkpoint_metadata(str(path))


def same(left, right) -> bool:
    """Whether nested containers of tensors and numbers are bit-identical."""
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def test_it_learns_and_writes_what_timm_writes(data, tmp_path, capsys):
    assert train_image.main(command(data, tmp_path, "--epochs", "6", "--smoothing", "0")) == 0
    run = tmp_path / "run"
    result = capsys.readouterr().out
    assert result.startswith("top1 100.0000, epoch ")
    assert result.strip().endswith(str(run / "model_best.pth.tar"))
    summary = rows(run)
    assert [row["epoch"] for row in summary] == list("012345")
    assert float(summary[-1]["train_loss"]) < 0.5 * float(summary[0]["train_loss"])
    assert yaml.safe_load((run / "args.yaml").read_text(encoding="utf-8"))["input_size"] == [3, 48, 48]
    assert checkpoint(run / "last.pth.tar")["epoch"] == 5
    assert len(list(run.glob("checkpoint-*.pth.tar"))) == 6


KILLED = [
    *["--epochs", "4", "--workers", "2", "--model-ema", "--model-ema-decay", "0.9", "--drop", "0.2"],
    *["--mixup", "0.4", "--cutmix", "1", "--sched-on-updates", "--clip-grad", "1", "--reprob", "0.3"],
    *["--grad-accum-steps", "3", "--resume", "auto"],
]


def test_a_killed_run_goes_on_to_the_same_weights(data, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    script = [sys.executable, "train_image.py"]
    begun = subprocess.Popen([*script, *command(data, cut, *KILLED)], stderr=subprocess.PIPE, **subprocess_options())
    for line in begun.stderr:
        if line.startswith("epoch 2/4"):
            break
    # The checkpoint is written after that line. The result must be the same if the kill comes before or after it.
    begun.send_signal(signal.SIGKILL)
    begun.stderr.close()
    begun.wait()
    assert (cut / "run" / "last.pth.tar").exists()
    assert checkpoint(cut / "run" / "last.pth.tar")["epoch"] < 3
    for output in (cut, whole):
        subprocess.run([*script, *command(data, output, *KILLED)], check=True, **subprocess_options())
    ends = [checkpoint(output / "run" / "last.pth.tar") for output in (cut, whole)]
    for part in ("epoch", "state_dict", "state_dict_ema", "optimizer", "metric"):
        assert same(ends[0][part], ends[1][part]), part
    assert rows(cut / "run") == rows(whole / "run")
    bests = [checkpoint(output / "run" / "model_best.pth.tar")["epoch"] for output in (cut, whole)]
    assert bests[0] == bests[1]


def test_a_finished_run_is_recognised_and_left_alone(data, tmp_path, capsys, caplog):
    flags = command(data, tmp_path, "--epochs", "2", "--resume", "auto")
    assert train_image.main(flags) == 0
    first = capsys.readouterr().out
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.pth.tar")}
    before[tmp_path / "run" / "summary.csv"] = (tmp_path / "run" / "summary.csv").read_bytes()
    assert train_image.main(flags) == 0
    assert capsys.readouterr().out == first
    assert "already trained" in caplog.text
    assert {path: path.read_bytes() for path in before} == before
    assert train_image.main([*flags, "--epochs", "3"]) == 0
    assert "--epochs was 2 when this experiment began; now 3" in caplog.text
    assert [row["epoch"] for row in rows(tmp_path / "run")] == ["0", "1", "2"]


def one_line_of(capsys) -> str:
    """The error message of the last run, in one line."""
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("train_image:")]
    assert len(lines) == 1, error
    return lines[0]


def test_two_experiments_do_not_share_a_directory(data, tmp_path, capsys):
    assert train_image.main(command(data, tmp_path, "--epochs", "1")) == 0
    assert train_image.main(command(data, tmp_path, "--epochs", "1")) == 2
    assert "resume from it by --resume auto, or give another --experiment" in one_line_of(capsys)
    other = write_super_images(tmp_path / "other", train=16)
    assert train_image.main(command(other, tmp_path, "--epochs", "2", "--resume", "auto")) == 2
    assert "was trained on super images of digest test-small-3x3-36" in one_line_of(capsys)


def test_resume_from_another_experiment(data, tmp_path, capsys):
    assert train_image.main(command(data, tmp_path, "--epochs", "1")) == 0
    last = str(tmp_path / "run" / "last.pth.tar")
    assert train_image.main(command(data, tmp_path, "--epochs", "2", "--resume", last, experiment="more")) == 0
    assert [row["epoch"] for row in rows(tmp_path / "more")] == ["1"]
    capsys.readouterr()
    assert train_image.main(command(data, tmp_path, "--epochs", "1", "--resume", last, experiment="none")) == 2
    assert "has no epochs left of 1; raise --epochs" in one_line_of(capsys)
    flags = ["--model", "test_vit", "--resume", last]
    assert train_image.main(command(data, tmp_path, *flags, experiment="wrong")) == 2
    assert "not a checkpoint of this model" in one_line_of(capsys)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--model", "resnet10x"], "timm has no such model; did you mean resnet10t"),
        (["--opt", "adamww"], "adamww"),
        (["--sched", "plateau"], "could not be resumed"),
        (["--sched", "sideways"], "Unknown scheduler"),
        (["--batch-size", "100"], "100"),
        (["--train-split", "test"], "split 'test' is not in the manifest; it has train, train_v00, validation"),
        (["--device", "cuda:9"], "no CUDA device here"),
        (["--resume", "nothing.pth.tar"], "no such checkpoint"),
        (["--model-kwargs", "colour=red"], "--model-kwargs {'colour': 'red'}: the model has no option colour"),
        (["--initial-checkpoint", "nothing.pth.tar"], "--initial-checkpoint nothing.pth.tar: no such file"),
        (["--lr", "1e30", "--opt", "sgd"], "the loss is"),
        (["--output", "s3://bucket/train"], "s3://bucket/train: must be a local path"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(data, tmp_path, capsys, monkeypatch, flags, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert train_image.main(command(data, tmp_path, "--epochs", "1", *flags)) == 2
    assert message in one_line_of(capsys)


def test_weights_of_another_model_are_one_line_too(data, tmp_path, capsys):
    other = tmp_path / "vit.pth"
    torch.save(create_model("test_vit").state_dict(), other)
    assert train_image.main(command(data, tmp_path, "--epochs", "1", "--initial-checkpoint", str(other))) == 2
    assert "Missing key(s)" in one_line_of(capsys)


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_cut_shard_ends_the_run_by_its_name(data, tmp_path, capsys, workers, split):
    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    shard = broken / f"{split}-v00-000001.tar"
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    assert train_image.main(command(broken, tmp_path, "--epochs", "2", "--workers", workers)) == 2
    line = one_line_of(capsys)
    assert str(shard) in line
    assert "python -m shards check" in line


def test_on_two_processes(data, tmp_path):
    """Seven validation samples on two ranks: no rank waits for the other, and no sample is counted twice."""
    flags = ["--epochs", "2", "--batch-size", "4", "--val-split", "validation_v00", "--model-ema"]
    flags = command(data, tmp_path, *flags)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*torchrun, "train_image.py", *flags]
    done = subprocess.run(words, capture_output=True, timeout=240, **subprocess_options())
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("top1") == 1
    saved, seen = checkpoint(tmp_path / "run" / "last.pth.tar"), rows(tmp_path / "run")[-1]
    alone = validated_alone(data, saved["state_dict_ema"])
    assert float(seen["eval_loss"]) == pytest.approx(alone["loss"], rel=1e-4)
    assert float(seen["eval_top1"]) == pytest.approx(alone["top1"])
    # 36 samples: two ranks take four batches of 4 each, so 4 samples are left over in each epoch.
    assert {int(state["step"]) for state in saved["optimizer"]["state"].values()} == {2 * 4}


def validated_alone(data, weights):
    argv = [*SMALL, "--data-dir", str(data), "--val-split", "validation_v00"]
    args, explicit = parse_flags(GROUPS, argv, prog="test")
    args, _ = fit_to_grid(args, explicit, find_super_images(args, explicit))
    device_env = DeviceEnv(device=torch.device("cpu"), rank=0, world_size=1, distributed=False)
    model = build_model(args)
    model.load_state_dict(weights)
    _, loader = build_loaders(args, device_env, model, read_manifest(data))
    experiment = Experiment.__new__(Experiment)
    experiment.args, experiment.device_env = args, device_env
    experiment.model, experiment.ema, experiment.validation_loader = model, None, loader
    return validate(experiment)


def test_all_kinds_of_flags_together(data, tmp_path):
    flags = ["--epochs", "1", "--amp", "--amp-dtype", "bfloat16", "--mixup", "0.2", "--cutmix-minmax", "0.2", "0.8"]
    flags += ["--bce-loss", "--bce-target-thresh", "0.2", "--reprob", "0.5", "--aa", "3a", "--channels-last"]
    flags += ["--grad-checkpointing", "--drop-path", "0.1", "--clip-grad", "0.1", "--clip-mode", "agc", "--gp", "max"]
    flags += ["--model-ema", "--model-ema-warmup", "--model-ema-force-cpu", "--eval-metric", "loss", "--sched", "poly"]
    flags += [
        "--layer-decay",
        "0.9",
        "--opt-betas",
        "0.9",
        "0.9",
        "--mixup-mode",
        "elem",
        "--model-kwargs",
        "act_layer=gelu",
    ]
    assert train_image.main(command(data, tmp_path, *flags)) == 0
    saved = checkpoint(tmp_path / "run" / "model_best.pth.tar")
    assert saved["metric"] == float(rows(tmp_path / "run")[0]["eval_loss"])
    assert all(torch.isfinite(value).all() for value in saved["state_dict"].values())


def test_accumulated_gradients_are_those_of_the_larger_batch(data, tmp_path):
    flags = ["--epochs", "1", "--model", "test_vit", "--opt", "momentum", "--lr", "0.1", "--color-jitter", "0"]
    big = ["--batch-size", "12"]
    small = ["--batch-size", "6", "--grad-accum-steps", "2"]
    assert train_image.main(command(data, tmp_path, *flags, *big, experiment="big")) == 0
    assert train_image.main(command(data, tmp_path, *flags, *small, experiment="small")) == 0
    ends = [checkpoint(tmp_path / name / "last.pth.tar")["state_dict"] for name in ("big", "small")]
    for name, value in ends[0].items():
        assert torch.allclose(value, ends[1][name], rtol=1e-3, atol=1e-5), name


def test_the_learning_rate_scales_as_timms():
    def rate(*argv, world_size=1):
        return learning_rate(parse_flags(GROUPS, argv, prog="test")[0], world_size)

    assert rate("--lr", "0.3") == 0.3
    assert rate("--batch-size", "64", "--grad-accum-steps", "2", world_size=4) == pytest.approx(0.1 * 512 / 256)
    assert rate("--batch-size", "1024", "--opt", "adamw") == pytest.approx(0.1 * 2)
    assert rate("--batch-size", "1024", "--opt", "adamw", "--lr-base-scale", "linear") == pytest.approx(0.1 * 4)


def test_the_schedule_is_timms_cosine():
    argv = ["--epochs", "10", "--warmup-epochs", "0", "--cooldown-epochs", "3"]
    args, _ = parse_flags(GROUPS, argv, prog="test")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    _, num_epochs = build_schedule(args, optimizer, 5, 7)
    assert num_epochs == 13
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5)  # half-way through a cosine schedule


def test_tensorboard_is_asked_for_by_name_when_it_is_missing(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train_image.main(command(data, tmp_path, "--epochs", "1", "--log-tensorboard")) == 2
    assert "pip install tensorboard" in one_line_of(capsys)
