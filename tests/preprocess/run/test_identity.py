"""When two conversions are the same: what is read counts, not how it is spelled; and what differs is named."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from conversion import CONFIG, command, hashes

from preprocess.__main__ import main
from preprocess.annotations.dataset import RelativePath
from preprocess.config.schema import Config, config_from
from preprocess.run.identity import Identity, differences, identity_of, packed, unpacked
from preprocess.run.output import Output
from preprocess.run.pipeline import plan, read_dataset
from preprocess.worker.messages import Job

LISTS = {"train": "train.txt", "validation": "val.txt"}
SMALL = {"layouts": {"strip": {"frames": 4, "tile": 32, "grid": "1x4", "pad": "none"}}}


@pytest.fixture
def listed(tmp_path) -> Path:
    """Lists with absolute paths, as many have them, of empty files in two classes; and links to them all."""
    root = tmp_path / "real"
    (root / "clips").mkdir(parents=True)
    write_list(root, "train.txt", {"a": 0, "b": 1, "c": 0})
    write_list(root, "val.txt", {"d": 0, "e": 1})
    (tmp_path / "link").symlink_to(root)
    return root


def write_list(root: Path, name: str, labels: dict[str, int], folder: str = "clips") -> None:
    for video in labels:
        (root / folder).mkdir(exist_ok=True)
        (root / folder / f"{video}.mp4").touch()
    (root / name).write_text(
        "".join(f"{root}/{folder}/{video}.mp4 {label}\n" for video, label in labels.items()), encoding="utf-8"
    )


def identity(source: Path, *, seed: int = 0, **annotations) -> Identity:
    values = {**CONFIG, "seed": seed, "annotations": {"format": "list", "columns": "path label", **annotations}}
    config = config_from(values, "test")
    dataset = read_dataset(config, source)
    return identity_of(config, plan(dataset, config), dataset.class_names, dataset.subsets)


def output_of(folder: Path, config: Config, now: Identity) -> Output:
    job = Job(config=config, source="", output=str(folder / "out"), class_names=(), digest=now.digest)
    return Output(job=job, identity=now)


def lines(before: Identity, now: Identity) -> list[str]:
    written = json.loads(json.dumps(before.to_dict()))
    return differences(written, unpacked(packed(before.fingerprints)), now)


def test_the_same_videos_by_any_spelling_of_the_source_are_the_same_conversion(listed, tmp_path, monkeypatch):
    first = identity(listed)
    assert len(first.fingerprints["train"]) == 3
    (tmp_path / "elsewhere").mkdir()
    for folder in (tmp_path, listed, tmp_path / "elsewhere"):
        monkeypatch.chdir(folder)
        for source in (tmp_path / "link", tmp_path / "link" / ".." / "real", Path(os.path.relpath(listed))):
            assert identity(source).digest == first.digest, source
    assert identity(listed, lists={"train": str(listed / "train.txt"), "validation": "val.txt"}).digest == first.digest
    assert identity(listed, separator=" ").digest == first.digest


def test_a_link_inside_the_source_keeps_its_name(listed, tmp_path, monkeypatch):
    """Videos on another disk, linked into the source: the path of each is that of the link."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "x.mp4").touch()
    (listed / "more").symlink_to(tmp_path / "disk")
    monkeypatch.chdir(listed)
    for source in (listed, Path("."), tmp_path / "link"):
        assert RelativePath(source)(listed / "more" / "x.mp4") == "more/x.mp4"
    assert RelativePath(Path("."))(tmp_path / "disk" / "x.mp4") == str(tmp_path / "disk" / "x.mp4")
    assert RelativePath(Path("."))(Path("more/x.mp4")) == "more/x.mp4"


def test_a_setting_is_named(listed):
    assert lines(identity(listed), identity(listed, seed=4)) == ["seed: 0 there, 4 now"]


def test_videos_that_came_and_went_are_counted_and_named_with_their_list(listed):
    before = identity(listed)
    write_list(listed, "other.txt", {"b": 1, "c": 1, "f": 0, "g": 0})
    now = identity(listed, lists={"train": "other.txt", "validation": "val.txt"})
    assert lines(before, now) == [
        "videos of train: 3 there, 4 now: 2 came (clips_f, clips_g), 1 went (clips_a), "
        "1 have another path, segment or label (clips_c)".replace("clips", key_prefix(listed)),
        "read with annotations.lists: None there, {'train': 'other.txt', 'validation': 'val.txt'} now",
    ]


def key_prefix(listed: Path) -> str:
    """Keys of absolute paths hold the whole path."""
    return str(listed / "clips").replace("/", "_")


def test_classes_that_came_are_named_and_do_not_make_every_video_another(listed):
    for name in ("train", "validation"):
        (listed / f"{name}.csv").write_text(f"path,label\nclips/{name}.mp4,run\n", encoding="utf-8")
        (listed / "clips" / f"{name}.mp4").touch()
    before = csv_identity(listed)
    with open(listed / "train.csv", "a", encoding="utf-8") as file:
        file.write("clips/a.mp4,jump\n")
    assert lines(before, csv_identity(listed)) == [
        "classes: 1 there, 2 now: 1 came (jump)",
        "videos of train: 1 there, 2 now: 1 came (clips_a)",
    ]


def csv_identity(source: Path) -> Identity:
    config = config_from({**CONFIG, "annotations": {"format": "csv"}}, "test")
    dataset = read_dataset(config, source)
    return identity_of(config, plan(dataset, config), dataset.class_names, dataset.subsets)


def test_another_order_of_the_classes_is_reported(listed):
    (listed / "one.txt").write_text("run\njump\n", encoding="utf-8")
    (listed / "two.txt").write_text("jump\nrun\n", encoding="utf-8")
    found = lines(identity(listed, classes="one.txt"), identity(listed, classes="two.txt"))
    assert found[0] == "classes: the same names in another order"
    assert found[-1] == "read with annotations.classes: 'one.txt' there, 'two.txt' now"


def test_a_difference_that_cannot_be_seen_is_not_passed_over(listed):
    now = identity(listed)
    before = {**now.to_dict(), "digest": "of another version"}
    assert differences(before, now.fingerprints, now) == [
        "it was begun by another version of this program, which makes other shards"
    ]
    old = {"configuration": {**now.settings, "seed": 9, "annotations": {}}, "videos": now.videos}
    assert differences(old, None, now)[1:] == ["seed: 9 there, 0 now"]


@pytest.mark.parametrize("damage", [b"", b"\x1f\x8b", b"text", None])
def test_without_the_list_of_videos_they_are_counted(listed, tmp_path, damage):
    """The list is there for the message alone: a conversion goes on without it."""
    config = config_from({**CONFIG, **SMALL}, "test")
    before = identity(listed)
    output_of(tmp_path, config, before).begin()
    path = tmp_path / "out" / "strip" / "_records" / "_videos.json.gz"
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    assert output_of(tmp_path, config, before).is_begun()
    write_list(listed, "train.txt", {"a": 0, "b": 1})
    with pytest.raises(ValueError, match=r"videos of train: 3 there, 2 now$"):
        output_of(tmp_path, config, identity(listed)).is_begun()
    output_of(tmp_path, config, before).begin()
    assert unpacked(path.read_bytes()) == before.fingerprints


def test_many_differences_are_cut_and_counted(listed, tmp_path):
    config = config_from({**CONFIG, **SMALL}, "test")
    before = identity(listed)
    output_of(tmp_path, config, before).begin()
    now = dataclasses.replace(before, settings={f"setting {number}": 1 for number in range(20)})
    count = len(differences(before.to_dict(), before.fingerprints, now))
    with pytest.raises(ValueError, match=f"and {count - 8} more differences"):
        output_of(tmp_path, config, now).is_begun()


def test_a_conversion_goes_on_by_another_spelling_of_its_source(video_folder, tmp_path, monkeypatch, local_ray, capsys):
    """Absolute paths in the lists; the source by its path, by a relative one, and by a symbolic link."""
    source = tmp_path / "source"
    shutil.copytree(video_folder / "validation" / "left", source / "clips")
    videos = sorted((source / "clips").iterdir())
    (tmp_path / "link").symlink_to(source)
    for name in LISTS.values():
        (source / name).write_text(
            "".join(f"{path},{number % 2}\n" for number, path in enumerate(videos)), encoding="utf-8"
        )
    changes = {**SMALL, "annotations": {"format": "list", "columns": "path label"}}
    output = tmp_path / "out"
    assert main(command(tmp_path, source, output, changes=changes)) == 0
    first, made = hashes(output), [path.stat().st_mtime_ns for path in sorted(output.rglob("*.tar"))]
    monkeypatch.chdir(tmp_path)
    for spelled in (Path("source"), tmp_path / "link", Path("link/../source")):
        assert main(command(tmp_path, spelled, Path("out"), changes=changes)) == 0, capsys.readouterr().err
    assert hashes(output) == first
    assert [path.stat().st_mtime_ns for path in sorted(output.rglob("*.tar"))] == made
    capsys.readouterr()
    videos[0].unlink()
    assert main(command(tmp_path, source, output, changes=changes)) == 2
    error = capsys.readouterr().err
    assert "holds the shards of another conversion. Choose another --output" in error
    assert "videos of train: 3 there, 2 now: 1 went (" in error
