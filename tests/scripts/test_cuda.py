"""Training and evaluation on a GPU: precisions, memory layouts, compilation, resuming, and out-of-memory errors.

Without a CUDA device these tests are skipped. ``TEST_DEVICE=cpu`` runs those that do not need CUDA on the CPU.
"""

import csv
import math
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from multi_label_images import write_multi_label_images
from places import ROOT
from super_images import layout, write_super_images
from timm.utils import load_checkpoint_metadata

import eval_video
import train_image
from superimage.training.command_line import parse_flags
from superimage.training.experiment import experiment_directory
from superimage.training.flags import GROUPS
from superimage.training.grid import find_super_images
from superimage.training.loop import train_epoch
from superimage.training.train import build

DEVICE = os.environ.get("TEST_DEVICE", "cuda")
SMALL = ["--model", "test_resnet", "--batch-size", "8", "--workers", "0", "--warmup-epochs", "0", "--device", DEVICE]
SMALL += ["--opt", "adamw", "--lr", "0.003", "--smoothing", "0", "--epochs", "2"]
HALF, BRAIN = ("--amp",), ("--amp", "--amp-dtype", "bfloat16")
SWIN, UNIFORMER = ("--model", "sifar_swin_tiny_w6_3x3_96_ape", "--batch-size", "4"), ("--model", "uniformer_xxs")
WITHOUT_CUDA = DEVICE == "cuda" and not torch.cuda.is_available()
pytestmark = pytest.mark.usefixtures("as_if_alone")
on_device = pytest.mark.skipif(WITHOUT_CUDA, reason="torch finds no CUDA device here")
on_cuda = pytest.mark.skipif(DEVICE != "cuda" or WITHOUT_CUDA, reason="torch finds no CUDA device here")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"), train=40, validation=10)


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Super images of 288 px, for models with this fixed size."""
    return write_super_images(tmp_path_factory.mktemp("large"), train=16, validation=6, grid=layout(tile=96))


def command(data, output, *flags, experiment="run"):
    return [*SMALL, "--data-dir", str(data), "--output", str(output), "--experiment", experiment, *flags]


def rows(run) -> list[dict]:
    with open(run / "summary.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def trained(data, output, *flags, experiment="run") -> Path:
    """Train; returns the directory. Checks that the losses and weights are finite."""
    assert train_image.main(command(data, output, *flags, experiment=experiment)) == 0
    run = output / experiment
    assert all(math.isfinite(float(row[loss])) for row in rows(run) for loss in ("train_loss", "eval_loss"))
    weights = load_checkpoint_metadata(str(run / "last.pth.tar"))["state_dict"]
    assert all(torch.isfinite(value).all() for value in weights.values())
    return run


def one_line_of(capsys, program: str) -> str:
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{program}:")]
    assert len(lines) == 1, lines
    return lines[0]


@on_device
@pytest.mark.parametrize(
    "flags",
    [
        (),
        HALF,
        BRAIN,
        ("--channels-last",),
        (*BRAIN, "--channels-last", "--pin-mem", "--workers", "2"),
        (*HALF, "--clip-grad", "1", "--grad-accum-steps", "2", "--model-ema", "--model-ema-warmup"),
        ("--model-ema", "--model-ema-force-cpu", "--clip-grad", "0.1", "--clip-mode", "agc", "--opt", "lamb"),
        ("--mixup", "0.4", "--cutmix", "1", "--reprob", "0.5", "--tile-order", "random", "--drop-path", "0.1"),
        (*HALF, "--mixup", "0.4", "--mixup-mode", "elem", "--bce-loss", "--grad-checkpointing", "--workers", "2"),
        (*BRAIN, "--torchcompile", "--channels-last", "--model-ema"),
    ],
    ids=" ".join,
)
def test_a_run_with_these_flags_learns(data, tmp_path, flags):
    """The loss falls within eight of ten updates, in training and in validation."""
    run = trained(data, tmp_path, *flags, "--epochs", "4")
    assert load_checkpoint_metadata(str(run / "last.pth.tar"))["epoch"] == 3
    if "--mixup" not in flags and "--tile-order" not in flags:
        assert float(rows(run)[-1]["train_loss"]) < float(rows(run)[0]["train_loss"])


@on_device
@pytest.mark.parametrize("precision", [(), HALF, BRAIN], ids=["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("model", [SWIN, UNIFORMER], ids=["swin", "uniformer"])
def test_our_own_models_in_every_precision(large, tmp_path, model, precision):
    trained(large, tmp_path, *model, *precision, "--epochs", "1", "--lr", "1e-4", "--channels-last", "--model-ema")


@on_device
def test_multi_label(tmp_path):
    data = write_multi_label_images(tmp_path / "data", train=24, validation=10)
    run = trained(data, tmp_path, *BRAIN, "--mixup", "0.2", "--eval-metric", "map")
    assert 0 < float(rows(run)[-1]["eval_map"]) <= 100
    evaluated(run, data, tmp_path / "scores", "--device", DEVICE)


def evaluated(run, data, output, *flags) -> list[dict]:
    """The rows of predictions.csv."""
    flags = ["--output", str(output), "--workers", "0", *flags]
    assert eval_video.main(["--checkpoint", str(run / "last.pth.tar"), "--data-dir", str(data), *flags]) == 0
    with open(output / "predictions.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def largest_difference(left: list[dict], right: list[dict]) -> float:
    """The largest difference between the probabilities of two evaluations, which predict the same classes."""
    assert [(row["video"], row["predicted"]) for row in left] == [(row["video"], row["predicted"]) for row in right]
    return max(abs(float(a["probability"]) - float(b["probability"])) for a, b in zip(left, right))


@on_device
@pytest.mark.parametrize("model", [(), SWIN, UNIFORMER], ids=["resnet", "swin", "uniformer"])
def test_the_device_predicts_what_the_cpu_predicts(data, large, tmp_path, model):
    """Tolerance: 1e-4 of a probability in float32, and 1e-2 with convolutions in TF32, which is torch's default."""
    images = large if model else data
    run = trained(images, tmp_path, *model, "--epochs", "3", "--lr", "3e-4")
    cpu = evaluated(run, images, tmp_path / "cpu", "--device", "cpu")
    torch.backends.cuda.matmul.allow_tf32 = False  # training turns TF32 on in its process
    with torch.backends.cudnn.flags(allow_tf32=True):
        assert largest_difference(evaluated(run, images, tmp_path / "tf32", "--device", DEVICE), cpu) < 1e-2
    with torch.backends.cudnn.flags(allow_tf32=False):
        assert largest_difference(evaluated(run, images, tmp_path / "full", "--device", DEVICE), cpu) < 1e-4


@on_device
def test_validation_while_training_and_the_evaluation_after_it_agree(data, tmp_path):
    run = trained(data, tmp_path, "--val-split", "validation_v01", "--channels-last")
    scores = evaluated(run, data, tmp_path / "scores", "--device", DEVICE, "--split", "validation_v01")
    share = 100 * sum(row["correct"] == "1" for row in scores) / len(scores)
    assert share == pytest.approx(float(rows(run)[-1]["eval_top1"]))


@on_device
@pytest.mark.parametrize("flags", [(), (*HALF, "--model-ema", "--model-ema-decay", "0.5")], ids=["plain", "scaler"])
def test_a_resumed_run_ends_near_the_whole_one(data, tmp_path, flags):
    """The weights may differ by 1e-2 of the largest value of a tensor, since GPUs add in varying order."""
    whole = trained(data, tmp_path, *flags, experiment="whole")
    (tmp_path / "cut").mkdir()
    shutil.copy(whole / "checkpoint-0.pth.tar", tmp_path / "cut" / "last.pth.tar")
    cut = trained(data, tmp_path, *flags, "--resume", "auto", experiment="cut")
    assert rows(cut)[-1]["epoch"] == "1"
    ends = [load_checkpoint_metadata(str(run / "last.pth.tar")) for run in (whole, cut)]
    for part in ("state_dict", "state_dict_ema") if flags else ("state_dict",):
        for name, value in ends[0][part].items():
            near = 1e-2 * max(float(value.abs().max()), 1e-3)
            assert torch.allclose(value.float(), ends[1][part][name].float(), rtol=0, atol=near), name
    if flags and DEVICE == "cuda":
        assert ends[0]["amp_scaler"] == ends[1]["amp_scaler"]


@on_cuda
def test_a_checkpoint_of_cuda_is_evaluated_where_there_is_none(data, tmp_path):
    run = trained(data, tmp_path, *HALF, "--model-ema")
    words = ["eval_video.py", "--checkpoint", str(run / "last.pth.tar"), "--data-dir", str(data)]
    done = without_cuda([*words, "--output", str(tmp_path / "out"), "--workers", "0"])
    assert done.returncode == 0, done.stderr
    assert "on cpu" in done.stderr
    resumed = without_cuda(
        ["train_image.py", *command(data, tmp_path, "--epochs", "3", "--resume", "auto"), "--device", "cpu"]
    )
    assert resumed.returncode == 0, resumed.stderr


def without_cuda(words, **variables) -> subprocess.CompletedProcess:
    """Run a script with all CUDA devices hidden."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **variables}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True)


def test_cuda_on_a_machine_without_it_is_one_line(data, tmp_path):
    words = ["--data-dir", str(data), "--output", str(tmp_path / "out"), "--device", "cuda"]
    for script, more in (("train_image", ["--experiment", "run"]), ("eval_video", ["--checkpoint", str(tmp_path)])):
        done = without_cuda([f"{script}.py", *words, *more])
        assert done.returncode == 2, done.stderr
        lines = [line for line in done.stderr.splitlines() if line.startswith(f"{script}:")]
        assert lines == [f"{script}: --device cuda: torch finds no CUDA device here; leave --device out, or give cpu"]
        assert "Traceback" not in done.stderr


@on_cuda
def test_a_device_that_is_not_there_is_one_line(data, tmp_path, capsys):
    assert train_image.main(command(data, tmp_path, "--device", "cuda:99")) == 2
    assert "--device cuda:99:" in one_line_of(capsys, "train_image")


@pytest.fixture
def little_memory():
    """Limit the GPU memory of this process to what is reserved now plus 96 MB."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + (96 << 20)) / total))
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.cuda.empty_cache()


@on_cuda
def test_too_little_gpu_memory_is_one_line_with_flags_that_help(large, tmp_path, capsys, request):
    run = trained(large, tmp_path, *UNIFORMER, "--epochs", "1")
    capsys.readouterr()
    request.getfixturevalue("little_memory")
    flags = ("--model", "resnet50", "--batch-size", "16")
    assert train_image.main(command(large, tmp_path, *flags, experiment="big")) == 2
    line = one_line_of(capsys, "train_image")
    assert "CUDA out of memory" in line
    assert "Lower --batch-size 16, or give --amp or --grad-checkpointing" in line
    words = ["--checkpoint", str(run / "last.pth.tar"), "--data-dir", str(large), "--output", str(tmp_path / "out")]
    torch.cuda.set_per_process_memory_fraction(1e-5)
    assert eval_video.main([*words, "--workers", "0", "--batch-size", "16"]) == 2
    assert "Lower --batch-size 16" in one_line_of(capsys, "eval_video")


@on_cuda
@pytest.mark.parametrize("flags", [(), BRAIN, ("--clip-grad", "1", "--mixup", "0.2", "--model-ema")], ids=" ".join)
def test_an_epoch_does_not_wait_for_each_of_its_steps(data, tmp_path, flags):
    """torch reports each operation that waits for the GPU. There must be fewer of them than steps."""
    args, explicit = parse_flags(GROUPS, command(data, tmp_path, *flags), prog="test")
    run = build(args, explicit, find_super_images(args, explicit), experiment_directory(args))
    train_epoch(run, 0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            train_epoch(run, 1)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    waits = [f"{warning.filename}:{warning.lineno}" for warning in caught if "synchroniz" in str(warning.message)]
    assert len(run.train_loader) == 5
    assert len(waits) < 5, waits


def torchrun(processes: int, words) -> subprocess.CompletedProcess:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    return subprocess.run(
        [*launcher, *words], cwd=ROOT, capture_output=True, text=True, timeout=240, env={**os.environ}
    )


@on_cuda
def test_torchrun_on_the_gpus_of_this_machine(data, tmp_path):
    count = torch.cuda.device_count()
    words = ["train_image.py", *command(data, tmp_path, *BRAIN, "--model-ema", "--grad-accum-steps", "2", "--sync-bn")]
    done = torchrun(count, words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("top1") == 1
    assert len(rows(tmp_path / "run")) == 2
    more = torchrun(count + 1, ["train_image.py", *command(data, tmp_path, experiment="more")])
    assert more.returncode != 0
    assert f"process {count} of this node, counted from 0, has no CUDA device: torch sees {count}" in more.stderr
    assert f"torchrun --nproc-per-node {count}" in more.stderr
