"""The package installed by pip and used outside the checkout: the four commands and the configurations."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

pytestmark = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("pip", "setuptools"))), reason="needs pip and setuptools in this environment"
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder that contains only the installed package. Its requirements come from this environment."""
    folder = tmp_path_factory.mktemp("installed")
    source = tmp_path_factory.mktemp("source") / "src"
    subprocess.run(
        ["git", "-c", "safe.directory=*", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(source)], check=True
    )
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(folder), str(source)], check=True)
    return folder


def run(installed: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(installed / "bin" / words[0]), *words[1:]]
    environment = {**os.environ, "PYTHONPATH": str(installed)}  # takes precedence over an installed checkout
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.mark.parametrize("command", ["preprocess", "shards", "train", "eval"])
def test_each_command_prints_its_help(installed, tmp_path, command):
    done = run(installed, f"superimage-{command}", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_the_configurations_come_along(installed, tmp_path):
    done = run(installed, "superimage-preprocess", "--list", cwd=tmp_path)
    assert "ucf101_sifar_3x3" in done.stdout
    assert done.stderr.startswith("next: superimage-preprocess --config NAME")
    done = run(installed, "superimage-train", "--config", "sifar_k400_b1", cwd=tmp_path)
    assert "did you mean 'sifar_k400_b12'" in done.stderr
    # The configuration is found. The directory is missing.
    done = run(installed, "superimage-train", "--config", "sifar_k400_b12", "--data-dir", "nowhere", cwd=tmp_path)
    assert "--data-dir nowhere: no such directory" in done.stderr


def test_no_folder_of_a_common_name_is_installed(installed):
    names = {path.name for path in installed.iterdir() if path.suffix not in (".dist-info", ".egg-info")}
    assert names - {"bin", "__pycache__"} == {"preprocess", "shards", "superimage", "train_image.py", "eval_video.py"}
