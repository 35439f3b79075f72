"""timm's own tests of its models, out of its source distribution, for the tests of ours."""

import importlib.util
import os
import re
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest
import timm
from places import ROOT

import superimage.models  # noqa: F401  timm's file lists the registered models when it is imported

ARCHIVE = f"timm-{timm.__version__}.tar.gz"
HOW = f"pip download --no-deps --no-binary timm timm=={timm.__version__}"


def find_archive() -> Path | None:
    """``$TIMM_SDIST``, a file or the directory that it lies in, or the file at the root of the repository."""
    place = Path(os.environ.get("TIMM_SDIST", ROOT))
    archive = place / ARCHIVE if place.is_dir() else place
    return archive if archive.is_file() else None


def load_timm_tests(directory: Path, config: pytest.Config) -> ModuleType:
    """timm's tests/test_models.py as a module, unpacked into ``directory``; skips where there is no archive."""
    archive = find_archive()
    if archive is None:
        pytest.skip(f"timm's own tests are not here: '{HOW}' gets them; TIMM_SDIST names their place")
    with tarfile.open(archive) as tar:
        source = tar.extractfile(f"{ARCHIVE.removesuffix('.tar.gz')}/tests/test_models.py").read().decode()
    (directory / "timm_test_models.py").write_text(source, encoding="utf-8")
    for marker in sorted(set(re.findall(r"pytest\.mark\.(\w+)", source)) - {"parametrize", "skipif"}):
        config.addinivalue_line("markers", f"{marker}: timm's")
    spec = importlib.util.spec_from_file_location("timm_test_models", directory / "timm_test_models.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
