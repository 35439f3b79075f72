"""With a /dev/shm of 64 MB, as in Docker, runs use fewer workers or stop with the sizes. No batch is lost.

Each run has its own mount namespace with a tmpfs of that size.
"""

import csv
import os
import shlex
import subprocess
import sys

import pytest
from places import ROOT
from super_images import write_super_images

from superimage.training.shared_memory import LoaderPlan, fit_plan

# 32 images of 672 px are 43 MB.
TRAIN = ["--model", "test_resnet", "--img-size", "672", "--batch-size", "32", "--workers", "2", "--epochs", "1"]
TRAIN += ["--warmup-epochs", "0", "--opt", "adamw", "--lr", "0.001", "--device", "cpu", "--checkpoint-hist", "1"]
# As if other processes fill /dev/shm after the check at the start.
UNCHECKED = (
    "import sys, runpy; from superimage.training import shared_memory; shared_memory.free_bytes = lambda: 1 << 40; "
)
UNCHECKED += "script = sys.argv.pop(1); sys.argv[0] = script; runpy.run_path(script, run_name='__main__')"
MOUNT = "mount -t tmpfs -o size=64m tmpfs /dev/shm"


@pytest.fixture(scope="module")
def unshare():
    words = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    try:
        subprocess.run([*words, "sh", "-c", MOUNT], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no mount namespace here: {error}")
    return words


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"), train=64, validation=24)


def run(unshare, words):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    line = f"{MOUNT} && exec {shlex.join(map(str, words))}"
    options = {"capture_output": True, "text": True, "timeout": 400, "cwd": ROOT, "env": environment}
    return subprocess.run([*unshare, "sh", "-c", line], **options)


def torchrun(ranks):
    alone = [sys.executable]
    if ranks == 1:
        return alone
    return [*alone, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_trainer_takes_fewer_workers_and_trains_on_everything(unshare, data, tmp_path, ranks):
    flags = [*TRAIN, "--data-dir", data, "--output", tmp_path, "--experiment", "run"]
    done = run(unshare, [*torchrun(ranks), "train_image.py", *flags])
    assert done.returncode == 0, done.stderr
    assert "/dev/shm has 67.1 MB" in done.stderr
    assert "--shm-size" in done.stderr
    with open(tmp_path / "run" / "summary.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    # 24 videos with three views: 72 samples.
    assert float(row["eval_top1"]) * 72 / 100 == pytest.approx(round(float(row["eval_top1"]) * 72 / 100), abs=1e-3)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_batch_without_room_ends_training_with_the_numbers(unshare, data, tmp_path, ranks):
    flags = [*TRAIN, "--data-dir", data, "--output", tmp_path, "--experiment", "run"]
    driver = tmp_path / "driver.py"
    driver.write_text(UNCHECKED, encoding="utf-8")
    done = run(unshare, [*torchrun(ranks), driver, "train_image.py", *flags])
    assert done.returncode != 0
    message = [line for line in done.stderr.splitlines() if line.startswith("train_image: ")]
    lost = [line for line in message if "ends because another rank has ended" not in line]
    assert lost, done.stderr
    assert all("/dev/shm has 67.1 MB" in line and "--workers 0" in line for line in lost)
    assert all("--shm-size" in line for line in lost)
    # torchrun adds its own traceback, which only contains its own files.
    assert 'train_image.py", line' not in done.stderr
    assert "training/" not in done.stderr


def test_the_evaluation_does_both_too(unshare, data, tmp_path):
    small = ["--workers", "0", "--batch-size", "8"]
    flags = ["--data-dir", data, "--output", tmp_path, "--experiment", "run"]
    trained = subprocess.run(
        list(map(str, [sys.executable, "train_image.py", *TRAIN, *small, *flags])), cwd=ROOT, capture_output=True
    )
    assert trained.returncode == 0, trained.stderr
    flags = ["--checkpoint", tmp_path / "run" / "last.pth.tar", "--data-dir", data, "--output", tmp_path / "out"]
    flags += ["--batch-size", "16", "--workers", "2", "--device", "cpu"]
    driver = tmp_path / "driver.py"
    driver.write_text(UNCHECKED, encoding="utf-8")
    lost = run(unshare, [sys.executable, driver, "eval_video.py", *flags])
    assert lost.returncode == 2
    (message,) = [line for line in lost.stderr.splitlines() if line.startswith("eval_video: ")]
    assert "/dev/shm has 67.1 MB" in message
    assert "Traceback" not in lost.stderr
    fitted = run(unshare, [sys.executable, "eval_video.py", *flags])
    assert fitted.returncode == 0, fitted.stderr
    assert "Going on with no loader workers" in fitted.stderr


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        (100, LoaderPlan(workers=2)),
        (40, LoaderPlan(workers=2, prefetch=1)),
        (25, LoaderPlan(workers=1, prefetch=1)),
        (15, LoaderPlan(workers=0)),
    ],
)
def test_the_plan_is_the_nearest_that_fits(free, expected):
    assert fit_plan(2, batch_bytes=10_000_000, free_bytes=free * 1_000_000, pinned=False) == expected
