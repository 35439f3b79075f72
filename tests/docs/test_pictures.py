"""python -m docs.make_pictures makes the pictures of docs/layouts.md again, the same bytes if nothing has changed."""

import re
import shutil
from importlib.metadata import version

import numpy as np
import pytest
from PIL import Image
from places import ROOT

from docs.make_pictures import LAYOUTS, TARGET, main

PINS = dict(
    re.findall(
        r"^([\w-]+)==([\w.]+)(?:; python_version >= .*)?$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M
    )
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    main(folder)
    return folder


def test_every_picture_is_made_and_no_other_is_stored(made):
    names = {path.name for path in made.iterdir()}
    assert names == {path.name for path in TARGET.iterdir()} == {*(f"{name}.png" for name in LAYOUTS), "inspect.png"}


@pytest.mark.skipif(
    any(version(name) != PINS[name] for name in ("av", "imageio-ffmpeg", "pillow")),
    reason="the pictures were made with the versions of av, imageio-ffmpeg and pillow in constraints.txt",
)
def test_the_stored_pictures_are_current(made):
    """If this fails, run python -m docs.make_pictures."""
    for path in sorted(made.iterdir()):
        pixels = [np.asarray(Image.open(folder / path.name).convert("RGB")) for folder in (made, TARGET)]
        np.testing.assert_array_equal(*pixels, err_msg=path.name)


def test_a_second_run_gives_the_same_bytes(made, tmp_path):
    again, empty = tmp_path / "again", tmp_path / "empty"
    shutil.copytree(made, again)
    main(again)
    main(empty)
    for path in made.iterdir():
        assert (again / path.name).read_bytes() == (empty / path.name).read_bytes() == path.read_bytes()
