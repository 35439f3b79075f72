"""docs/format.md: its lists of fields are those of a real conversion, and each of its snippets runs."""

import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from conversion import command
from places import ROOT

from preprocess.__main__ import main
from shards.format import read_manifest
from shards.layouts import untile
from shards.read import decode_array, iter_samples

pytestmark = pytest.mark.usefixtures("local_ray")
PAGE = (ROOT / "docs" / "format.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def directory(video_folder, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("format")
    changes = {"encoding": {"format": "jpeg"}}
    assert main(command(folder, video_folder, folder / "out", changes=changes)) == 0
    return folder / "out" / "grid"


def fields_of(section: str) -> set[str]:
    """The names in the first column of a section's table."""
    text = PAGE[PAGE.index(f"## {section}") :].split("\n## ")[0]
    rows = re.findall(r"^\| (`.*?`) \|", text, flags=re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`(\w+)`", row)}


def snippet(section: str) -> str:
    text = PAGE[PAGE.index(f"## {section}") :]
    return re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)[1]


def test_the_fields_of_a_sample(directory):
    sample = next(iter_samples(directory / "train-v00-000000.tar"))
    assert fields_of("`KEY.json`") == sample.metadata.keys()


def test_the_fields_of_the_manifest(directory):
    assert fields_of("`_info.json`") == read_manifest(directory).superimage.keys()


def test_the_fields_of_a_record(directory):
    record = json.loads((directory / "_records" / "train-000000.json").read_text(encoding="utf-8"))
    assert fields_of("`_records/SPLIT-NUMBER.json`") == record.keys()


def images_read_by_us(directory: Path) -> dict[str, np.ndarray]:
    names = read_manifest(directory).split("validation").filenames
    return {sample.key: decode_array(sample, name) for name in names for sample in iter_samples(directory / name)}


@pytest.mark.parametrize(
    ("section", "package"),
    [("Reading with plain webdataset", "webdataset"), ("Reading with Hugging Face datasets", "datasets")],
)
def test_a_snippet_reads_every_sample(directory, section, package):
    pytest.importorskip(package)
    code = snippet(section).rstrip()
    assert code.splitlines()[-1].startswith("    ")  # the body of the loop over samples
    seen = {}
    exec(f"{code}\n    seen[sample['__key__']] = image", {"DIR": str(directory), "seen": seen})
    expected = images_read_by_us(directory)
    assert {key.rpartition("/")[2] for key in seen} == expected.keys()
    for key, image in seen.items():
        # Decoders of JPEG differ by rounding.
        difference = np.abs(np.asarray(image, np.int16) - expected[key.rpartition("/")[2]])
        assert difference.max() <= 4


def test_the_snippet_cuts_a_super_image_as_untile_does(directory):
    namespace = {}
    exec(snippet("Cutting a super image into its frames"), namespace)
    layout = read_manifest(directory).layout
    for sample in iter_samples(directory / "train-v00-000000.tar"):
        image = decode_array(sample, directory)
        frames = namespace["frames_of"](image, sample.metadata, layout.to_dict())
        np.testing.assert_array_equal(frames, untile(image, layout, np.array(sample.metadata["order"])))


def test_the_members_of_a_tar_are_those_of_the_page(directory):
    with tarfile.open(directory / "train-v00-000000.tar") as tar:
        suffixes = {Path(name).suffix for name in tar.getnames()}
    assert suffixes == {".jpg", ".cls", ".json"}
