"""The Makefile's errors if something is missing, and the pinned versions."""

import configparser
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from places import ROOT

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=False)


def fake_python(path: Path, *, fails_on: str) -> Path:
    """A fake Python that answers --version, and fails if its code contains a certain word."""
    path.write_text(
        f'#!/bin/sh\ncase "$*" in --version) echo "Python 3.8.1";; *{fails_on}*) exit 1;; esac\n', encoding="utf-8"
    )
    path.chmod(0o755)
    return path


@needs_make
def test_help_names_every_target():
    message = make("help").stdout
    for target in ("demo", "quick", "test", "lint", "clean"):
        assert f"make {target} " in message


@needs_make
def test_no_python_is_said(tmp_path):
    done = make("demo", f"VENV={tmp_path}/venv", "PYTHON=no-such-python")
    assert done.returncode != 0
    assert "no no-such-python here; name a Python >= 3.10: make PYTHON=" in done.stderr


@needs_make
@pytest.mark.parametrize(
    ("missing", "message"),
    [("version_info", "Python 3.8.1 is too old, 3.10"), ("ensurepip", "apt install python3-venv")],
)
def test_a_python_that_does_not_do_is_said(tmp_path, missing, message):
    python = fake_python(tmp_path / "python", fails_on=missing)
    done = make("demo", f"VENV={tmp_path}/venv", f"PYTHON={python}")
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "venv").exists()


def test_every_requirement_has_its_pin():
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    texts = [
        config["options"]["install_requires"],
        *(config["options.extras_require"][extra] for extra in ("test", "dev")),
    ]
    required = {canonical(line) for text in texts for line in text.strip().splitlines()}
    pinned = {
        canonical(line) for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if "==" in line
    }
    assert required - pinned == set()


def canonical(requirement: str) -> str:
    """``Ray >= 2.40`` -> ``ray``."""
    return re.match(r"[\w.-]+", requirement.strip()).group().lower().replace("_", "-")
