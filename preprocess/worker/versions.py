"""Versions of the libraries that shape pixels. Nodes and runs give the same bytes only with the same versions."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

_SHAPING = ("av", "imageio-ffmpeg", "numpy", "pillow", "simplejpeg")


def shaping_versions() -> dict[str, str]:
    """Return the versions in this process: ``{"av": "18.1.0", "numpy": "2.1.0", ...}``."""
    return {name: _version(name) for name in _SHAPING}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def differences(here: Mapping[str, str], there: Mapping[str, str]) -> str:
    """``av 18.1.0 and 17.0.1, numpy 2.1.0 and 2.0.2``, or an empty string if all versions are equal."""
    names = sorted(here.keys() | there.keys())
    return ", ".join(
        f"{name} {here.get(name, 'none')} and {there.get(name, 'none')}"
        for name in names
        if here.get(name) != there.get(name)
    )
