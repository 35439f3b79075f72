"""``python -m shards check`` finds every kind of damage; ``preview`` shows samples of every class."""

import dataclasses
import json
import re

import pytest
from PIL import Image
from shard_samples import CLASSES, sample, write_directory

from shards.__main__ import main
from shards.preview import contact_sheet
from shards.read import iter_samples
from shards.records import read_record
from shards.write import open_shard

LENGTHS = {"train": [3, 3], "validation": [3]}


@pytest.fixture
def directory(tmp_path):
    return write_directory(tmp_path / "tiny", LENGTHS, views=2)


def test_a_sound_directory(directory, capsys):
    assert main(["check", str(directory)]) == 0
    assert "6 shards, 18 samples" in capsys.readouterr().out


def flip_a_byte(directory):
    path = directory / "train-v00-000000.tar"
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)


def truncate(directory):
    path = directory / "train-v01-000001.tar"
    path.write_bytes(path.read_bytes()[:5000])


def relabel(directory):
    _rewrite(directory, lambda old: {**old, "label": 2})


def misname(directory):
    _rewrite(directory, lambda old: {**old, "video": "another"})


def _rewrite(directory, change):
    """A well-formed tar with a matching record, but with inconsistent samples."""
    path = directory / "validation-v00-000000.tar"
    with open_shard(path) as shard:
        for number in range(6, 9):
            good = sample(number, 0, 2)
            shard.add(type(good)(**{**vars(good), "metadata": change(good.metadata)}))
    record_path = directory / "_records" / "validation-000000.json"
    record = json.loads(record_path.read_text(encoding="utf-8"))
    record["tars"][0] |= {"sha256": shard.sha256, "bytes": shard.num_bytes}
    record_path.write_text(json.dumps(record), encoding="utf-8")


DAMAGES = {
    flip_a_byte: "SHA-256",
    truncate: "samples, but the manifest says|damaged after",
    relabel: r"\.cls says",
    misname: "is not view 0 of video 'another'",
    lambda directory: (directory / "train-v00-000001.tar").unlink(): "missing",
    lambda directory: (directory / "stray.tar").write_bytes(b""): r"stray\.tar: on disk, but in no record",
    lambda directory: (directory / "_records" / "train-000000.json").unlink(): "no record",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_found(damage, directory, capsys):
    damage(directory)
    assert main(["check", str(directory)]) == 1
    error = capsys.readouterr().err

    assert re.search(DAMAGES[damage], error), error


def test_a_directory_without_manifest_is_a_mistake_of_the_user(directory, capsys):
    (directory / "_info.json").unlink()
    assert main(["check", str(directory)]) == 2
    assert "is incomplete; run the same conversion again" in capsys.readouterr().err
    assert main(["check", str(directory.parent)]) == 2


def test_records_come_back(directory):
    record = read_record(directory, "train", 1)
    assert [tar.samples for tar in record.tars] == [3, 3]
    assert read_record(directory, "train", 9) is None
    (directory / "_records" / "train-000001.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"train-000001\.json.*delete it"):
        read_record(directory, "train", 1)


def test_preview_shows_every_class(directory, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["preview", str(directory), "-o", str(sheet), "--count", str(len(CLASSES)), "--thumbnail", "96"]) == 0
    with Image.open(sheet) as image:
        assert image.width > 2 * 96
        # The first tile of videos 0, 1, 2 has gray values 0, 1, 2, so each class is shown.
        columns = [12 + 108 * column + 3 for column in range(2)]
        assert [image.getpixel((column, 15))[0] for column in columns] == [0, 1]


def test_preview_shows_each_class_before_one_twice(directory, tmp_path):
    sheet = tmp_path / "sheet.png"
    assert main(["preview", str(directory), "-o", str(sheet), "--count", "4", "--thumbnail", "96"]) == 0
    with Image.open(sheet) as image:
        height = (image.height - 12) // 2
        greys = [image.getpixel((15 + 108 * column, 15 + height * row))[0] for row in range(2) for column in range(2)]
    assert greys == [0, 3, 1, 2]  # the numbers of the videos: two of class 0, one of class 1 and of class 2


@pytest.mark.parametrize("options", [["--split", "nope"], ["--count", "0"], ["--thumbnail", "1"]])
def test_preview_refuses_nonsense(options, directory, capsys):
    assert main(["preview", str(directory), *options]) == 2
    assert capsys.readouterr().err.startswith("shards: ")


def test_preview_reads_no_further_than_it_needs(tmp_path, monkeypatch):
    """A class without samples must not make it read the whole split."""
    write_directory(tmp_path, {"train": [30] * 4})
    manifest = json.loads((tmp_path / "_info.json").read_text(encoding="utf-8"))
    manifest["superimage"]["class_names"].append("absent")
    (tmp_path / "_info.json").write_text(json.dumps(manifest), encoding="utf-8")
    opened = []

    def counted(path, **options):
        opened.append(path)
        return iter_samples(path, **options)

    monkeypatch.setattr("shards.preview.iter_samples", counted)
    contact_sheet(tmp_path, split="train", count=2)
    assert len(opened) == 2  # 32 samples, of 120


def test_preview_of_a_subset_shows_its_samples_alone(tmp_path):
    """Labels are the subset's, and samples outside the subset are skipped."""
    write_directory(tmp_path, {"train": [6]})
    (tmp_path / "train-v00-000000.tar").unlink()
    with open_shard(tmp_path / "train-v00-000000.tar") as shard:
        for number in range(6):
            one = sample(number)
            inside = number % 3 - 1  # classes 1 and 2 of the dataset are classes 0 and 1 of the subset
            shard.add(dataclasses.replace(one, metadata={**one.metadata, "mini_label": inside}))
    manifest = json.loads((tmp_path / "_info.json").read_text(encoding="utf-8"))
    files = {"filenames": ["train-v00-000000.tar"], "shard_lengths": [4], "num_samples": 4, "alt_label": "mini_label"}
    manifest["splits"]["train_mini"] = {"name": "train_mini", **files}
    manifest["superimage"]["subsets"] = {"mini": list(CLASSES[1:])}
    (tmp_path / "_info.json").write_text(json.dumps(manifest), encoding="utf-8")
    sheet = contact_sheet(tmp_path, split="train_mini", count=2, thumbnail=96)
    assert [sheet.getpixel((15 + 108 * column, 15))[0] for column in range(2)] == [1, 2]
