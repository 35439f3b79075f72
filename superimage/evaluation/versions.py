"""Which code made a result: the versions of the packages, and a hash of our own sources."""

import hashlib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("superimage", "timm", "torch", "numpy", "pillow")
# What a result goes through, beside the script itself.
_SOURCES = ("evaluation", "models", "shards", "training")


def code_versions(script: Path) -> dict[str, str]:
    """``{"superimage": "0.1.0", "timm": "1.0.31", ..., "sources": "1f0c..."}`` of this process.

    ``script``: eval_video.py, beside which our packages lie. A checkout keeps its version from commit to commit, so
    only the hash tells two of them apart.
    """
    digest = hashlib.sha256()
    files = [path for name in _SOURCES for path in (script.parent / name).rglob("*.py")]
    for path in sorted([script, *files]):
        digest.update(path.relative_to(script.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return {**{name: _version(name) for name in _PACKAGES}, "sources": digest.hexdigest()[:16]}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
