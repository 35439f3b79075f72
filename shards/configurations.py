"""Finds and lists the configurations that are installed with the package.

In the repository they are in ``configs/``. The installed package contains them as data of ``superimage``, so that
``--config ucf101_sifar_3x3`` works outside a checkout.
"""

import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from shards.program import shown_command
from shards.suggestions import did_you_mean

KINDS = ("preprocess", "train", "eval")
_SUFFIXES = (".yaml", ".yml")
_SUGGESTED = 5


def shipped_configurations(kind: str) -> Mapping[str, Path]:
    """Name -> file of all configurations of a kind (``preprocess``, ``train``, ``eval``), in alphabetical order."""
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: must be one of {', '.join(KINDS)}")
    folder = Path(str(files("superimage"))) / "configs" / kind
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def find_configuration(given: str | Path, kind: str) -> Path:
    """The file for ``--config``, which is a path or the name of a shipped configuration.

    An existing file takes precedence. Raises ValueError, with similar names, if there is neither.
    """
    path, shipped = Path(given), shipped_configurations(kind)
    if path.is_file():
        return path
    if str(given) in shipped:
        return shipped[str(given)]
    if path.is_dir():
        raise ValueError(f"--config {given}: a directory, not a YAML file")
    name = path.stem if path.suffix in _SUFFIXES else str(given)
    if name in shipped:
        raise ValueError(f"--config {given}: no such file; the shipped configuration of this name is --config {name}")
    # Users often give the beginning of a name, such as the name of the dataset.
    near = [known for known in shipped if name and name.casefold() in known][:_SUGGESTED]
    suggestion = f"; did you mean {' or '.join(map(repr, near))}?" if near else did_you_mean(name, shipped, count=3)
    raise ValueError(
        f"--config {given}: neither a file nor the name of a shipped configuration{suggestion or ';'} "
        f"'{shlex.join(shown_command('preprocess'))} --list' lists them"
    )


def purpose_of(path: Path) -> str:
    """The first line of a configuration file, which is a comment about its purpose."""
    with path.open(encoding="utf-8") as file:
        return file.readline().lstrip("#").strip()
