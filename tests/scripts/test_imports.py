"""The import rule: preprocess -> shards <- scripts -> models, evaluation; nothing points back."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

OURS = ("preprocess", "shards", "models", "evaluation", "training", "train_image", "eval_video")
ALLOWED = {
    "preprocess": {"preprocess", "shards"},
    "shards": {"shards"},
    "models": {"models"},
    "evaluation": {"evaluation"},
    "training": {"training", "shards", "models"},
    "train_image": {"training", "shards", "models"},
    "eval_video": {"training", "evaluation", "shards", "models"},
}
DOORS = {
    "ray": {"preprocess/run/ray_session.py"},
    "av": {"preprocess/decode/pyav.py", "preprocess/decode/pyav_frame.py", "preprocess/decode/streams.py"},
    "ffmpeg": {"preprocess/decode/ffmpeg_cli.py", "preprocess/decode/ffmpeg_process.py"},
    "simplejpeg": {"preprocess/render.py"},
    "imageio_ffmpeg": {"preprocess/decode/ffmpeg_cli.py", "preprocess/decode/ffmpeg_process.py"},
    "tarfile": {"shards/read.py", "shards/write.py"},
}


def sources() -> list[Path]:
    files = []
    for name in OURS:
        path = ROOT / name
        files += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return [file for file in files if file.exists()]


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports, those inside functions included."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules.add(node.module)
    return modules


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    room = path.relative_to(ROOT).parts[0].removesuffix(".py")
    ours = {module.split(".")[0] for module in imported_modules(path)} & set(OURS)
    assert ours <= ALLOWED[room]


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_dependency_has_one_door(library):
    users = {
        str(path.relative_to(ROOT))
        for path in sources()
        if library in {module.split(".")[0] for module in imported_modules(path)}
    }
    assert users <= DOORS[library]
    assert users, f"{library}: nobody uses it, so this row of DOORS is out of date"


@pytest.mark.parametrize("module", ["preprocess", "preprocess.__main__", "shards", "shards.__main__"])
def test_neither_torch_nor_ray_is_imported(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'ray', 'timm'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
