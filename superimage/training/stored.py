"""Checkpoint files: reads one without its tensors, checks for damage, and finds the newest undamaged one."""

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
# timm's saver writes this file first. It remains, complete or not, if the process is killed before the rename.
UNRENAMED = "tmp.pth.tar"
# A copy of the manifest's section, beside the checkpoints. Checkpoints of format 0 do not contain it.
MANIFEST_COPY = "superimage.json"
_NUMBERED = re.compile(r"checkpoint-(\d+)\.pth\.tar")
_NEEDED = {"layout", "class_names", "digest"}
_MAX_MESSAGE = 300


def read_checkpoint(path: str | Path, shown: str) -> dict:
    """The content of a checkpoint; tensors are mapped, not read. Empty for formats that only contain tensors.

    ``shown`` is the name of the file in messages, such as ``"--checkpoint a.pth.tar"``. Code in the file is not run.
    Raises ValueError, in one line, for a file that is missing, empty, truncated, not a checkpoint, or contains code.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{shown}: no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{shown}: not a checkpoint (the file is empty)")
    if path.suffix in (".safetensors", ".npz", ".npy"):
        return {}
    try:
        content = _load(path)
    # The unpickler raises any kind of error for arbitrary bytes.
    except Exception as error:
        raise ValueError(f"{shown}: not a checkpoint ({first_line(error).split('. ')[0]})") from error
    if not isinstance(content, dict):
        raise ValueError(f"{shown}: not a checkpoint (it contains a {type(content).__name__}, not named weights)")
    return content


def _load(path: Path) -> Any:
    if zipfile.is_zipfile(path):
        return load_checkpoint_metadata(str(path))
    with open(path, "rb") as file:
        if file.read(2) == b"PK":  # the signature of a zip file, whose directory is at its end
            raise ValueError("the file is cut off")
    with torch.serialization.safe_globals([argparse.Namespace]):  # the format before torch 1.6 cannot be mapped
        return torch.load(path, map_location="cpu", weights_only=True)


def first_line(error: Exception) -> str:
    """The first line of an error message, or the name of its class if it has no message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[:_MAX_MESSAGE]


def trained_on(path: Path, content: dict) -> dict | None:
    """The section ``superimage`` of the manifest that a checkpoint was trained on; None if it is not stored.

    It is read from the checkpoint, or else from the copy that the trainer writes beside it.
    """
    if "superimage" in content:
        return _checked(content["superimage"], path)
    copy = path.with_name(MANIFEST_COPY)
    if not copy.exists():
        return None
    try:
        section = json.loads(copy.read_bytes())
    except ValueError as error:
        raise ValueError(f"{copy}: not JSON ({first_line(error)}); remove or replace it") from error
    return _checked(section, copy)


def _checked(section: object, path: Path) -> dict:
    missing = _NEEDED - section.keys() if isinstance(section, dict) else _NEEDED
    if missing:
        raise ValueError(f"{path}: its section 'superimage' has no {', '.join(sorted(missing))}; it cannot be compared")
    return section


def flags_in(content: dict) -> dict:
    """The trainer's flags in a checkpoint, by name; empty if there are none."""
    args = content.get("args")
    return dict(vars(args)) if isinstance(args, argparse.Namespace) else {}


def epochs_done(content: dict) -> int | None:
    """The number of trained epochs. ``epoch`` counts from 0 in version 2 of timm's checkpoints, before from 1."""
    epoch = content.get("epoch")
    return None if epoch is None else epoch + (content.get("version", 1) > 1)


def damage(path: Path) -> str | None:
    """The reason why training cannot resume from a file, or None. Reads the whole file."""
    try:
        content = read_checkpoint(path, path.name)
    except ValueError as error:
        return str(error)
    if "state_dict" not in content or not isinstance(content.get("epoch"), int):
        return f"{path.name}: contains only weights"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch does not verify checksums
        if damaged:
            return f"{path.name}: damaged (the checksum of {damaged} is wrong)"
    return None


def checkpoint_files(directory: Path) -> list[Path]:
    """The checkpoints of an experiment, including damaged ones: the last, those of epochs (newest first), the best."""
    numbered = [(int(match[1]), path) for path in directory.glob("*") if (match := _NUMBERED.fullmatch(path.name))]
    names = [path for _, path in sorted(numbered, reverse=True)]
    paths = [directory / LAST, *names, directory / BEST, directory / UNRENAMED]
    return [path for path in paths if path.is_file()]


def newest_whole(directory: Path) -> tuple[Path | None, list[str]]:
    """(the last checkpoint, or else the undamaged one of the latest epoch; the damage of each skipped checkpoint)."""
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
