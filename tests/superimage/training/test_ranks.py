"""Training with more than one rank: a folder of images on two ranks, lost ranks, and variables that make a run wait."""

import csv
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from places import ROOT
from super_images import write_super_images

from superimage.training.device_env import explain_ranks, lost_ranks

SMALL = ["--model", "test_resnet", "--batch-size", "8", "--workers", "0", "--warmup-epochs", "0", "--epochs", "1"]
SMALL += ["--opt", "adamw", "--lr", "0.003", "--device", "cpu", "--experiment", "run"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_super_images(tmp_path_factory.mktemp("data"), train=16, validation=6)


def write_folders(root):
    """Twelve images to train on and seven to validate on, of two classes by their brightness."""
    for split, count in (("train", 12), ("validation", 7)):
        for index in range(count):
            path = root / split / f"class{index % 2}" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(index).integers(0, 255, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(path)
    return root


def test_two_ranks_validate_each_image_of_a_folder_once(tmp_path):
    """Seven images on two ranks: the sampler repeats one, which counts once."""
    root = write_folders(tmp_path / "images")
    flags = [*SMALL, "--data-dir", str(root), "--num-classes", "2", "--img-size", "32", "--batch-size", "2"]
    flags += ["--output", str(tmp_path), "--no-aug"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 240}
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*torchrun, "train_image.py", *flags], env=environment, **options)
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "run" / "summary.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    sevenths = float(row["eval_top1"]) * 7 / 100
    assert sevenths == pytest.approx(round(sevenths), abs=1e-3)


def test_a_rank_whose_others_have_ended_says_so_in_one_line():
    message = lost_ranks(
        RuntimeError("[/third_party/gloo/gloo/transport/tcp/pair.cc:545] Read error: reset by peer. X")
    )
    assert message.startswith("rank 0 ends because another rank has ended (Read error: reset by peer")
    assert lost_ranks(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_a_run_by_hand_says_which_variables_make_it_wait(data, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    slurm = {"SLURM_NTASKS": "2", "SLURM_PROCID": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    words = [sys.executable, "train_image.py", *SMALL, "--data-dir", str(data), "--output", str(tmp_path)]
    log = tmp_path / "log"
    with open(log, "wb") as stream:
        process = subprocess.Popen(words, cwd=ROOT, stderr=stream, env={**os.environ, **slurm})
    try:
        deadline = time.monotonic() + 200
        while "waiting for other processes" not in log.read_text(encoding="utf-8") and time.monotonic() < deadline:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.5)
        line = next(line for line in log.read_text(encoding="utf-8").splitlines() if "waiting for" in line)
    finally:
        process.kill()
        process.wait()
    assert f"SLURM_NTASKS=2 SLURM_PROCID=0 MASTER_ADDR=127.0.0.1 MASTER_PORT={port}" in line
    assert "env -u SLURM_NTASKS python train_image.py" in line


def test_without_a_place_to_meet_the_run_ends_with_the_variables(data, tmp_path):
    words = [sys.executable, "train_image.py", *SMALL, "--data-dir", str(data), "--output", str(tmp_path)]
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MASTER_", "SLURM_"))}
    own |= {"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=200, env=own)
    assert done.returncode == 2, done.stderr
    assert "SLURM_NTASKS=2 SLURM_PROCID=1 say that 2 processes train together" in done.stderr.splitlines()[-1]


def test_the_variables_are_those_that_are_read():
    message = explain_ranks({"WORLD_SIZE": "4", "SLURM_NTASKS": "2", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"})
    assert "4 processes" in message
    assert "has no rank, since RANK is not set" in message
    assert "env -u WORLD_SIZE -u SLURM_NTASKS" in message
