"""timm's validate.py, inference.py and onnx_export.py with our models, by the commands in docs/models.md."""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from places import ROOT
from super_images import write_super_images

import superimage.models  # noqa: F401  registers the models
from shards.layouts import Layout

LINES = re.findall(r"^(python -c .*runpy.*)$", (ROOT / "docs/models.md").read_text(encoding="utf-8"), re.MULTILINE)
SCRIPTS = ("validate.py", "inference.py", "onnx_export.py")
# Packages that the scripts import but timm does not require.
NEEDED = {"validate.py": (), "inference.py": ("pandas",), "onnx_export.py": ("onnx", "onnxscript")}
MODEL = "sifar_swin_tiny_w6_3x3_96"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with the files of the commands: shards in DIR, pictures in IMAGES, a checkpoint."""
    root = tmp_path_factory.mktemp("scripts")
    (root / "DIR").mkdir()
    grid = Layout(name="sheet", frames=9, rows=3, columns=3, tile=96)
    write_super_images(root / "DIR", train=2, validation=2, grid=grid)
    for name in ("a", "b"):
        (root / "IMAGES" / name).mkdir(parents=True)
        Image.new("RGB", (288, 288)).save(root / "IMAGES" / name / f"{name}.png")
    torch.save({"state_dict": timm.create_model(MODEL, num_classes=2).state_dict()}, root / "model_best.pth.tar")
    return root


def test_the_document_has_a_line_for_each_script():
    assert [re.search(r"run_path\('([^']+)'", line)[1] for line in LINES] == list(SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_line_works(script, place):
    sources = os.environ.get("TIMM_SCRIPTS")
    if not sources or not (Path(sources) / script).is_file():
        pytest.skip(f"timm's {script} is not here: it is in timm's repository alone; TIMM_SCRIPTS names its directory")
    missing = [name for name in NEEDED[script] if find_spec(name) is None]
    if missing:
        pytest.skip(f"{script} needs {', '.join(missing)}: pip install them")
    words = shlex.split(next(line for line in LINES if f"'{script}'" in line))
    words[2] = words[2].replace(script, str(Path(sources).resolve() / script))
    device = () if script == "onnx_export.py" else ("--device", "cpu", "--workers", "0")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, *words[1:], *device], cwd=place, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    written = {"validate.py": '"top1"', "inference.py": MODEL, "onnx_export.py": "model.onnx"}[script]
    files = [str(path) for path in place.rglob("*")]
    assert written in done.stdout + " ".join(files)


def test_without_the_import_timm_knows_no_such_model():
    """Shows that the first half of the command is needed."""
    code = f"import timm, sys; sys.exit(timm.is_model({MODEL!r}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
