"""The import rules of docs/architecture.md: no import points back, and each heavy dependency is used in one place."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

SCRIPTS = ("train_image", "eval_video")
PACKAGES = ("preprocess", "shards", "superimage")
# The other rooms of our code that the modules of each room may import.
CORE = {
    "preprocess.sampling": set(),
    "preprocess.crops": set(),
    "preprocess.views": {"annotations", "config", "crops", "decode", "reasons", "sampling"},
    "preprocess.plan": {"annotations"},
    "preprocess.render": {"config", "crops", "decode", "views"},
}
INSIDE_PREPROCESS = {
    "preprocess.annotations": set(),
    "preprocess.reasons": set(),
    "preprocess.decode": {"crops", "reasons"},
    "preprocess.config": {"annotations", "crops", "decode", "sampling"},
    **CORE,
    "preprocess.worker": {"annotations", "config", "crops", "decode", "plan", "reasons", "render", "views"},
    "preprocess.run": {"annotations", "config", "decode", "plan", "worker"},
    "preprocess.report": {
        "annotations",
        "config",
        "crops",
        "decode",
        "plan",
        "render",
        "run",
        "views",
        "worker",
    },
    "preprocess.flags": set(),
    "preprocess.commands": {"annotations", "config", "decode", "flags", "plan", "report", "run", "worker"},
    "preprocess.__main__": {"commands", "flags", "run"},
}
ALLOWED = {
    **{room: {"shards", *(f"preprocess.{name}" for name in names)} for room, names in INSIDE_PREPROCESS.items()},
    "shards": set(),
    "superimage.models": {"shards"},
    "superimage.training": {"shards", "superimage.models"},
    "superimage.evaluation": {"shards", "superimage.models", "superimage.training"},
    "train_image": {"superimage.training"},
    "eval_video": {"superimage.evaluation", "superimage.training"},
}
DOORS = {
    "ray": {"preprocess/run/ray_session.py"},
    "av": {
        "preprocess/decode/pyav.py",
        "preprocess/decode/packet_reader.py",
        "preprocess/decode/pyav_frame.py",
        "preprocess/decode/streams.py",
    },
    "ffmpeg": {"preprocess/decode/ffmpeg_cli.py", "preprocess/decode/ffmpeg_process.py"},
    "simplejpeg": {"preprocess/render.py"},
    "imageio_ffmpeg": {"preprocess/decode/ffmpeg_cli.py", "preprocess/decode/ffmpeg_process.py"},
    "jinja2": {"shards/page/render.py"},
    "tarfile": {"shards/read.py", "shards/write.py"},
}


def sources() -> list[Path]:
    return [
        *(path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))),
        *(ROOT / f"{script}.py" for script in SCRIPTS),
    ]


def dotted_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def room_of(module: str) -> str | None:
    """The room of a dotted name: ``preprocess.decode.pyav -> preprocess.decode``; None for other code."""
    rooms = [room for room in (*ALLOWED, *PACKAGES) if module == room or module.startswith(f"{room}.")]
    return max(rooms, key=len, default=None)


def imported_modules(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            # "from superimage import models" imports superimage.models; "from a.b import c" imports a.b.
            names = (
                [f"{node.module}.{alias.name}" for alias in node.names] if node.module in PACKAGES else [node.module]
            )
            modules.update(names)
    return modules


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    room = room_of(dotted_name(path))
    if room in PACKAGES and path.name == "__init__.py":
        return  # the public names of a package
    imported = {room_of(module) for module in imported_modules(path)} - {None, room}
    imported -= {room.split(".")[0]}  # the package's own docstring, whose path Ray uploads
    assert {name for name in imported if not {name, name.split(".")[0]} & ALLOWED[room]} == set()


def test_every_module_lies_in_a_room_of_the_table():
    """Every folder, and every file of the flat core, has a row that says what it may import."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources() if path.name != "__init__.py"
    }
    assert {module for module in modules if room_of(module) not in ALLOWED} == set()


@pytest.mark.parametrize("library", DOORS)
def test_a_heavy_dependency_has_one_door(library):
    users = {
        str(path.relative_to(ROOT))
        for path in sources()
        if library in {module.split(".")[0] for module in imported_modules(path)}
    }
    assert users <= DOORS[library]
    assert users, f"{library}: nobody uses it, so this row of DOORS is out of date"


@pytest.mark.parametrize(
    "module", ["preprocess", "preprocess.__main__", "shards", "shards.__main__", "train_image", "eval_video"]
)
def test_neither_torch_nor_ray_is_imported(module):
    """--help must not import torch or timm, which takes seconds."""
    code = f"import sys, {module}; print(sorted({{'torch', 'ray', 'timm'}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
