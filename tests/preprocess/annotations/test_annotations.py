"""The readers on the owners' own files: counts, classes in the owners' order, every row's path."""

import json
import random
from pathlib import Path

import pytest

from preprocess.annotations import FORMATS
from preprocess.annotations.diving48 import Diving48
from preprocess.annotations.hmdb51 import Hmdb51
from preprocess.annotations.kinetics import Kinetics
from preprocess.annotations.moments import Moments
from preprocess.annotations.subsets import Subset, build_dataset
from preprocess.annotations.twentybn import Jester, SomethingSomethingV1, SomethingSomethingV2
from preprocess.annotations.ucf101 import Ucf101

UCF101_ROWS = {1: (9537, 3783), 2: (9586, 3734), 3: (9624, 3696)}  # as its owners count them


def label_map(shared: Path, name: str) -> list[str]:
    """Class names in the order of OpenMMLab's label map, made by others from the same owners' files."""
    return (
        (shared / "annotations" / "mmaction2_label_maps" / f"{name}_label_map.txt")
        .read_text(encoding="utf-8")
        .splitlines()
    )


def shuffled(items):
    items = list(items)
    random.Random(7).shuffle(items)
    return items


@pytest.mark.parametrize("split", UCF101_ROWS)
def test_ucf101_as_its_owners_publish_it(shared, split):
    lists = shared / "annotations" / "temporal-segment-networks" / "data" / "ucf101_splits"
    listing = Ucf101(lists=".", videos="videos", split=split).read(lists)
    assert (len(listing.splits["train"]), len(listing.splits["validation"])) == UCF101_ROWS[split]
    assert list(listing.class_names) == label_map(shared, "ucf101")
    for row in (*listing.splits["train"], *listing.splits["validation"]):
        assert row.path.parent.name == listing.class_names[row.labels[0]]
        assert row.path.suffix == ".avi"  # and no carriage return behind it
    names = [{row.name for row in rows} for rows in listing.splits.values()]
    assert not names[0] & names[1]


@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51_as_its_owners_publish_it(shared, split):
    lists = shared / "annotations" / "temporal-segment-networks" / "data" / "hmdb51_splits"
    listing = Hmdb51(lists=".", videos="videos", split=split).read(lists)
    assert list(listing.class_names) == label_map(shared, "hmdb51")
    for rows, per_class in ((listing.splits["train"], 70), (listing.splits["validation"], 30)):
        counts = [sum(row.labels[0] == label for row in rows) for label in range(51)]
        assert counts == [per_class] * 51
    assert all(row.path.parent.name == listing.class_names[row.labels[0]] for row in listing.splits["train"])
    assert any("#" in row.name or "!" in row.name for row in listing.splits["train"])


@pytest.mark.parametrize("name", ["k400", "k600", "k700"])
def test_kinetics_classes_stand_in_the_owners_order(shared, tmp_path, name):
    names = kinetics_map(shared, name)
    rows = [f"{_quoted(label)},{number:011d},3,13,train" for number, label in enumerate(shuffled(names))]
    for file in ("train.csv", "validate.csv"):
        (tmp_path / file).write_text(
            "\n".join(["label,youtube_id,time_start,time_end,split", *rows]) + "\n", encoding="utf-8"
        )
    assert list(Kinetics().read(tmp_path).class_names) == names


def kinetics_map(shared: Path, name: str) -> list[str]:
    return (
        (shared / "annotations/mmaction2_label_maps" / f"kinetics_label_map_{name}.txt")
        .read_text(encoding="utf-8")
        .splitlines()
    )


def _quoted(label: str) -> str:
    return f'"{label}"' if "," in label else label


def test_something_something_v2_classes_stand_in_the_owners_order(shared, tmp_path):
    names = label_map(shared, "sthv2")
    assert len(names) == 174
    labels = {name: str(index) for index, name in shuffled(enumerate(names))}
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    entries = [{"id": str(number), "template": _bracketed(name)} for number, name in enumerate(names)]
    for split in ("train", "validation"):
        (tmp_path / f"{split}.json").write_text(json.dumps(entries), encoding="utf-8")
    listing = SomethingSomethingV2().read(tmp_path)
    assert list(listing.class_names) == names
    assert [row.labels[0] for row in listing.splits["train"]] == list(range(174))


def _bracketed(name: str) -> str:
    return name.replace("something", "[something]").replace("Something", "[Something]")


@pytest.mark.parametrize(("reader", "name"), [(Jester, "jester"), (SomethingSomethingV1, "sthv1")])
def test_frame_folder_classes_stand_in_the_owners_order(shared, tmp_path, reader, name):
    names = label_map(shared, name)
    (tmp_path / f"{reader.prefix}-labels.csv").write_text("\n".join(names) + "\n", encoding="utf-8")
    rows = "".join(f"{number};{label}\n" for number, label in enumerate(names, start=1))
    for split in ("train", "validation"):
        (tmp_path / f"{reader.prefix}-{split}.csv").write_text(rows, encoding="utf-8")
    listing = reader().read(tmp_path)
    assert list(listing.class_names) == names
    assert [row.labels[0] for row in listing.splits["validation"]] == list(range(len(names)))


def test_moments_classes_stand_in_the_owners_order(shared, tmp_path):
    names = label_map(shared, "mit")
    rows = [f"{name},{index}" for index, name in shuffled(enumerate(names))]
    (tmp_path / "moments_categories.txt").write_text("\n".join(rows), encoding="utf-8")
    for file in ("trainingSet.csv", "validationSet.csv"):
        (tmp_path / file).write_text(
            "".join(f"{name}/clip-{name}.mp4,{name},3,0\n" for name in names), encoding="utf-8"
        )
    listing = Moments().read(tmp_path)
    assert list(listing.class_names) == names
    assert len(names) == 339


def test_diving48_classes_stand_in_the_owners_order(shared, tmp_path):
    names = label_map(shared, "diving48")
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps([name.split("+") for name in names]), encoding="utf-8")
    for split in ("train", "test"):
        entries = [
            {"vid_name": f"-mmq0PT-u8k_{number:05d}", "label": number, "start_frame": 0, "end_frame": 48}
            for number in range(48)
        ]
        (tmp_path / f"Diving48_V2_{split}.json").write_text(json.dumps(entries), encoding="utf-8")
    assert list(Diving48().read(tmp_path).class_names) == names


def test_mini_kinetics_200_is_found_in_kinetics_by_its_identifiers(shared, tmp_path):
    """The owners' 85,000 identifiers, and a Kinetics of those and others, in 250 classes."""
    ids = {
        split: (shared / "annotations" / "mini-kinetics-200" / f"{name}_ytid_list.txt")
        .read_text(encoding="utf-8")
        .split()
        for split, name in (("train", "train"), ("validation", "val"))
    }
    for split, file in (("train", "train.csv"), ("validation", "validate.csv")):
        rows = [f"class {number % 200:03d},{name},0,10,{split}" for number, name in enumerate(ids[split])]
        rows += [f"other {number % 50:02d},{number:011d},0,10,{split}" for number in range(500)]
        (tmp_path / file).write_text(
            "\n".join(["label,youtube_id,time_start,time_end,split", *shuffled(rows)]), encoding="utf-8"
        )
        (tmp_path / f"{split}.txt").write_text("\n".join(ids[split]), encoding="utf-8")
    subset = Subset(videos={"train": "train.txt", "validation": "validation.txt"})
    dataset = build_dataset(Kinetics().read(tmp_path), tmp_path, subsets={"mini": subset}, only="mini")
    assert {split: len(rows) for split, rows in dataset.missing.items()} == {"train": 80000, "validation": 5000}
    assert dataset.class_names == tuple(f"class {number:03d}" for number in range(200))


@pytest.mark.parametrize(
    ("file", "names", "count"),
    [("mini_kinetics400.txt", "kinetics", 200), ("mini_ssv2.txt", "sthv2", 87)],
)
def test_the_half_class_subsets_of_deep_analysis(shared, tmp_path, file, names, count):
    """One file has a stray ``yoga''.`` and the other a blank line: both are read as they are published."""
    classes = kinetics_map(shared, "k400") if names == "kinetics" else label_map(shared, names)
    rows = "".join(f'{number:011d}.mp4,"{name}"\n' for number, name in enumerate(classes))
    for split in ("train", "validation"):
        (tmp_path / f"{split}.csv").write_text("path,label\n" + rows, encoding="utf-8")
    (tmp_path / file).write_bytes((shared / "annotations" / "action-recognition-pytorch" / file).read_bytes())
    listing = FORMATS["csv"]().read(tmp_path)
    dataset = build_dataset(listing, tmp_path, subsets={"half": Subset(classes=file)}, only="half")
    assert len(dataset.class_names) == count
    assert set(dataset.class_names) < set(classes)
    assert len(dataset.missing["train"]) == count
    assert any("yoga" in note for note in dataset.notes) == (names == "kinetics")
