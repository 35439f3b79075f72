"""Checkpoint files as they are stored: reading one without its tensors, finding the newest whole one of a directory."""

import argparse
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from timm.utils import load_checkpoint_metadata

LAST = "last.pth.tar"
BEST = "model_best.pth.tar"
# timm's saver writes this one first. A kill before the rename leaves it, whole or not.
UNRENAMED = "tmp.pth.tar"
# The manifest's section beside a checkpoint. Checkpoints of format 0 do not hold it themselves.
MANIFEST_COPY = "superimage.json"
_NUMBERED = re.compile(r"checkpoint-(\d+)\.pth\.tar")
_NEEDED = {"layout", "class_names", "digest"}
_TOLD = 300


def read_checkpoint(path: str | Path, told: str) -> dict:
    """All that a checkpoint holds, its tensors mapped and not read; ``{}`` for a format that holds tensors alone.

    ``told`` names the file in messages: ``"--checkpoint a.pth.tar"``. Nothing in the file is run. Raises ValueError,
    in one line, for a file that is missing, empty, cut off, no checkpoint, or that holds code.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{told}: no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{told}: not a checkpoint (the file is empty)")
    if path.suffix in (".safetensors", ".npz", ".npy"):
        return {}
    try:
        content = _load(path)
    # torch's unpickler meets bytes of any kind here, and raises errors of any kind.
    except Exception as error:
        raise ValueError(f"{told}: not a checkpoint ({first_line(error).split('. ')[0]})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{told}: not a checkpoint (it holds a {type(content).__name__}, not weights by name)")
    return content


def _load(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        return load_checkpoint_metadata(str(path))
    with open(path, "rb") as file:
        if file.read(2) == b"PK":  # the beginning of a zip file, whose directory stands at its end
            raise ValueError("the file is cut off")
    with torch.serialization.safe_globals([argparse.Namespace]):  # torch's format before 1.6 cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True)


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its class where it has none."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:_TOLD]


def trained_on(path: Path, content: dict) -> dict | None:
    """The ``superimage`` section of the manifest that a checkpoint was trained on; None where nothing says it.

    From the checkpoint itself. Only for one that does not hold it, from the copy that the trainer wrote beside it.
    """
    if "superimage" in content:
        return _checked(content["superimage"], path)
    copy = path.with_name(MANIFEST_COPY)
    if not copy.exists():
        return None
    try:
        section = json.loads(copy.read_bytes())
    except ValueError as error:
        raise ValueError(f"{copy}: not JSON ({first_line(error)}); remove it, or put the right one back") from error
    return _checked(section, copy)


def _checked(section: object, path: Path) -> dict:
    missing = _NEEDED - section.keys() if isinstance(section, dict) else _NEEDED
    if missing:
        raise ValueError(f"{path}: its section 'superimage' has no {', '.join(sorted(missing))}; it cannot be compared")
    return section


def flags_in(content: dict) -> dict:
    """The trainer's flags that a checkpoint holds, by name; ``{}`` where it holds none."""
    args = content.get("args")
    return dict(vars(args)) if isinstance(args, argparse.Namespace) else {}


def epochs_done(content: dict) -> int | None:
    """How many epochs were trained: ``epoch`` counts from 0 in timm's files of version 2, and from 1 before."""
    epoch = content.get("epoch")
    return None if epoch is None else epoch + (content.get("version", 1) > 1)


def damage(path: Path) -> str | None:
    """Why a run cannot go on from a file, which is read whole; None where it can."""
    try:
        content = read_checkpoint(path, path.name)
    except ValueError as error:
        return str(error)
    if "state_dict" not in content or not isinstance(content.get("epoch"), int):
        return f"{path.name}: holds weights alone"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            spoilt = archive.testzip()  # torch itself does not compare the check sums
        if spoilt:
            return f"{path.name}: damaged (the check sum of {spoilt} is wrong)"
    return None


def checkpoint_files(directory: Path) -> list[Path]:
    """The checkpoints of an experiment, damaged ones too: the last, those of epochs from the newest, the best."""
    numbered = [(int(match[1]), path) for path in directory.glob("*") if (match := _NUMBERED.fullmatch(path.name))]
    names = [path for _, path in sorted(numbered, reverse=True)]
    paths = [directory / LAST, *names, directory / BEST, directory / UNRENAMED]
    return [path for path in paths if path.is_file()]


def newest_whole(directory: Path) -> tuple[Path | None, list[str]]:
    """(the last checkpoint, or else the whole one of the latest epoch, the damage of each that was passed over)."""
    paths, damages = checkpoint_files(directory), []
    if paths and paths[0].name != LAST:
        damages.append(f"{LAST}: missing")
    for path in sorted(paths, key=lambda path: (path.name != LAST, -_epochs_of(path))):
        reason = damage(path)
        if reason is None:
            return path, damages
        damages.append(reason)
    return None, damages


def _epochs_of(path: Path) -> int:
    try:
        return epochs_done(read_checkpoint(path, path.name)) or 0
    except (ValueError, TypeError):
        return 0
