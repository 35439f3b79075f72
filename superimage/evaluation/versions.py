"""Identifies the code that computed a result: versions of the packages, and a hash of our source files."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("superimage", "timm", "torch", "numpy", "pillow")
# Our packages that compute results. They are in one folder, both installed and in a checkout.
_SOURCES = ("shards", "superimage")
_FOLDER = Path(__file__).resolve().parents[2]


def code_versions(folder: Path = _FOLDER) -> dict[str, str]:
    """``{"superimage": "0.1.0", "timm": "1.0.31", ..., "sources": "1f0c..."}`` of the code in ``folder``.

    The version of a checkout does not change from commit to commit, but the hash of its sources does.
    """
    digest = hashlib.sha256()
    for path in sorted(path for name in _SOURCES for path in (folder / name).rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {**{name: _version(name) for name in _PACKAGES}, "sources": digest.hexdigest()[:16]}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
