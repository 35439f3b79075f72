"""Damaged lists: each is refused with its file, its line and what was expected there."""

import json
import re

import pytest

from preprocess.annotations.charades import Charades
from preprocess.annotations.diving48 import Diving48
from preprocess.annotations.folder import Folder
from preprocess.annotations.hmdb51 import Hmdb51
from preprocess.annotations.kinetics import Kinetics
from preprocess.annotations.moments import Moments
from preprocess.annotations.named_csv import NamedCsv
from preprocess.annotations.plain_list import PlainList
from preprocess.annotations.subsets import Subset, build_dataset, mirror_labels
from preprocess.annotations.twentybn import Jester, SomethingSomethingV2
from preprocess.annotations.ucf101 import Ucf101

HEADER = "label,youtube_id,time_start,time_end,split\n"


def expect(reader, source, *parts):
    """The error names the place and all else in ``parts``."""
    with pytest.raises(ValueError, match=re.escape(parts[0])) as caught:
        reader.read(source)
    assert [part for part in parts if part not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("label;youtube_id;time_start;time_end;split\n", ("train.csv:1", "semicolons, not commas", "time_start")),
        ("label,youtube_id,time_start,split\n", ("train.csv:1", "no column time_end")),
        (HEADER + "washing feet,--GkrdYZ9Tc,0\n", ("train.csv:2", "3 fields, expected 5")),
        (HEADER + "washing feet;--GkrdYZ9Tc;0;10;train\n", ("train.csv:2", "semicolons")),
        (HEADER + "washing feet,#NAME?,0,10,train\n", ("train.csv:2", "spreadsheet", "11 letters")),
        (HEADER + "washing feet,1.23E+15,0,10,train\n", ("train.csv:2", "11 letters")),
        (HEADER + "washing feet,--GkrdYZ9Tc,10-Jan,94,train\n", ("train.csv:2", "time_start", "seconds")),
        (HEADER + "washing feet,--GkrdYZ9Tc,94,84,train\n", ("train.csv:2", "start < end")),
        (HEADER + ",--GkrdYZ9Tc,84,94,train\n", ("train.csv:2", "class name")),
        (HEADER + '"washing feet,--GkrdYZ9Tc,84,94,train\n', ("train.csv:2",)),
        ("", ("train.csv", "is empty")),
    ],
)
def test_kinetics(tmp_path, text, parts):
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    (tmp_path / "validate.csv").write_text(HEADER + "washing feet,--GkrdYZ9Tc,0,10,validate\n", encoding="utf-8")
    expect(Kinetics(), tmp_path, *parts)


def test_a_missing_list_is_named(tmp_path):
    (tmp_path / "train.csv").write_text(HEADER + "washing feet,--GkrdYZ9Tc,0,10,train\n", encoding="utf-8")
    expect(Kinetics(), tmp_path, "validate.csv", "no such annotation file", "--source")


def test_text_that_is_none(tmp_path):
    (tmp_path / "train.csv").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    expect(Kinetics(), tmp_path, "train.csv", "UTF-8")


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("34870,Drumming Fingers", ("jester-v1-train.csv:2", "commas, not semicolons")),
        ("34870;Drumming Finger", ("jester-v1-train.csv:2", "did you mean 'Drumming Fingers'")),
        ("34870", ("jester-v1-train.csv:2", "<number>;<class>")),
        ("3.487E+04;Drumming Fingers", ("jester-v1-train.csv:2", "whole number")),
    ],
)
def test_jester(tmp_path, row, parts):
    (tmp_path / "jester-v1-labels.csv").write_text("Swiping Left\nDrumming Fingers\n", encoding="utf-8")
    (tmp_path / "jester-v1-train.csv").write_text(f"1;Swiping Left\n{row}\n", encoding="utf-8")
    (tmp_path / "jester-v1-validation.csv").write_text("2;Swiping Left\n", encoding="utf-8")
    expect(Jester(), tmp_path, *parts)


def test_a_class_that_stands_twice(tmp_path):
    (tmp_path / "jester-v1-labels.csv").write_text("Swiping Left\nSwiping Right\nSwiping Left\n", encoding="utf-8")
    expect(Jester(), tmp_path, "jester-v1-labels.csv:3", "line 1 already")


@pytest.mark.parametrize(
    ("labels", "train", "parts"),
    [
        ({"Holding something": "0"}, [{"id": 5, "template": "Holding [something]"}], ("entry 1", "id (str)")),
        ({"Holding something": "0"}, [{"id": "5"}], ("train.json: entry 1", "template")),
        ({"Holding something": "0"}, [{"id": "5", "template": "Holding a cat"}], ("entry 1", "labels.json")),
        ({"Holding something": "1"}, [], ("labels.json", "0 to 0")),
        ([], [], ("labels.json", "expected a dict")),
    ],
)
def test_something_something_v2(tmp_path, labels, train, parts):
    (tmp_path / "labels.json").write_text(json.dumps(labels), encoding="utf-8")
    (tmp_path / "train.json").write_text(json.dumps(train), encoding="utf-8")
    (tmp_path / "validation.json").write_text(json.dumps(train), encoding="utf-8")
    expect(SomethingSomethingV2(), tmp_path, *parts)


def test_json_that_is_cut_off(tmp_path):
    (tmp_path / "labels.json").write_text('{\n"Holding something": "0",\n"Mov', encoding="utf-8")
    expect(SomethingSomethingV2(), tmp_path, "labels.json:3", "not JSON")


@pytest.mark.parametrize(
    ("categories", "row", "parts"),
    [
        ("a 0\n", "a/x.mp4,a,1,0", ("moments_categories.txt:1", "<class>,<index>")),
        ("a,0\nb,2\n", "a/x.mp4,a,1,0", ("moments_categories.txt", "0 to 1")),
        ("a,0\nb,0\n", "a/x.mp4,a,1,0", ("moments_categories.txt:2", "an earlier line has the same class or index")),
        ("a,0\n", "a/x.mp4;a;1;0", ("trainingSet.csv:1", "semicolons")),
        ("a,0\n", "a/x.mp4,c,1,0", ("trainingSet.csv:1", "'c'")),
        ("a,0\n", "a,a,1,0", ("trainingSet.csv:1", "not the name of a video file")),
    ],
)
def test_moments(tmp_path, categories, row, parts):
    (tmp_path / "moments_categories.txt").write_text(categories, encoding="utf-8")
    for name in ("trainingSet.csv", "validationSet.csv"):
        (tmp_path / name).write_text(row + "\n", encoding="utf-8")
    expect(Moments(), tmp_path, *parts)


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ({"vid_name": "a", "label": 1, "start_frame": 0, "end_frame": 9}, ("entry 1", "label 1", "0 to 0")),
        ({"vid_name": "a", "label": 0, "start_frame": 9, "end_frame": 9}, ("entry 1", "start < end")),
        ({"vid_name": "a", "label": "0", "start_frame": 0, "end_frame": 9}, ("entry 1", "label (int)")),
    ],
)
def test_diving48(tmp_path, row, parts):
    (tmp_path / "Diving48_vocab.json").write_text('[["Back", "15som", "05Twis", "FREE"]]', encoding="utf-8")
    for split in ("train", "test"):
        (tmp_path / f"Diving48_V2_{split}.json").write_text(json.dumps([row]), encoding="utf-8")
    expect(Diving48(), tmp_path, *parts)


@pytest.mark.parametrize("row", ["a.avi 3", "a.avi", "a 1", "a.avi;1"])
def test_hmdb51(tmp_path, row):
    (tmp_path / "run_test_split1.txt").write_text(f"b.avi 1 \n{row}\n", encoding="utf-8")
    expect(Hmdb51(lists="."), tmp_path, "run_test_split1.txt:2", "0 (unused), 1 (train) or 2 (test)")


def test_hmdb51_in_another_place(tmp_path):
    expect(Hmdb51(), tmp_path, "_test_split1.txt", "annotations.lists")


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"classInd.txt": "1 A\n3 B\n"}, ("classInd.txt:2", "'2 <a new class name>'")),
        ({"trainlist01.txt": "A/a.avi 2\n"}, ("trainlist01.txt:1", "the number of A in classInd.txt is 1")),
        ({"trainlist01.txt": "C/a.avi 1\n"}, ("trainlist01.txt:1", "'C' is not in classInd.txt")),
        ({"testlist01.txt": "A/a.avi 1\n"}, ("testlist01.txt:1", "without a label")),
    ],
)
def test_ucf101(tmp_path, files, parts):
    sound = {"classInd.txt": "1 A\n2 B\n", "trainlist01.txt": "A/a.avi 1\n", "testlist01.txt": "B/b.avi\n"}
    for name, text in {**sound, **files}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    expect(Ucf101(lists="."), tmp_path, *parts)


@pytest.mark.parametrize(
    ("actions", "parts"),
    [
        ("c001 0.0", ("Charades_v1_train.csv:2", "<class> <start> <end>")),
        ("c009 0.0 1.0", ("Charades_v1_train.csv:2", "'c009'")),
        ("c001 2.0 1.0", ("Charades_v1_train.csv:2", "start < end")),
        ("c001 0,5 1.0", ("Charades_v1_train.csv:2", "'0,5'", "seconds")),
    ],
)
def test_charades(tmp_path, actions, parts):
    (tmp_path / "Charades").mkdir()
    (tmp_path / "Charades/Charades_v1_classes.txt").write_text("c000 a\nc001 b\n", encoding="utf-8")
    for split in ("train", "test"):
        (tmp_path / f"Charades/Charades_v1_{split}.csv").write_text(
            f'id,actions\nABCDE,"{actions}"\n', encoding="utf-8"
        )
    expect(Charades(), tmp_path, *parts)


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        ("a;1;30", ("train.txt:1", "1 fields between blanks", "annotations.separator: ';'")),
        ("a 1 30", ("train.txt:1", "3 fields", "<path> <start> <end> <label>", "annotations.columns: path n label")),
        ("a 1", ("train.txt:1", "2 fields", "annotations.columns: path label")),
        ("a 0 30 1", ("train.txt:1", "count from 1")),
        ("a 30 1 1", ("train.txt:1", "start <= end")),
        ("a 1 30 run", ("train.txt:1", "'a 1 30 run'", "a label is 'run'", "format: csv")),
        ("a 1 30 -1", ("train.txt:1", "'a 1 30 -1'", "label -1", "without a label")),
        ("a 1 30 1700000000", ("train.txt:1", "1700000001 classes", "annotations.classes")),
        ("a\0b 1 30 1", ("train.txt:1", "NUL")),
        ("my video 1 30 1", ("train.txt:1", "5 fields", "needs quotes")),
    ],
)
def test_plain_lists(tmp_path, row, parts):
    (tmp_path / "train.txt").write_text(row + "\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("b 1 2 0\n", encoding="utf-8")
    expect(PlainList(), tmp_path, *parts)
    expect(PlainList(separator=" "), tmp_path, *parts)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path\tlabel\na.mp4\tx\n", ("train.csv:1", "tabs, not commas")),
        ("path,label\na.mp4,x\nb.mp4\n", ("train.csv:3", "1 fields, expected 2: path,label")),
        ("path,label\na.mp4,\n", ("train.csv:2", "class name")),
        ("path,label\n,x\n", ("train.csv:2", "path of a video")),
        ('path,label\n"a\nb.mp4",x\nc.mp4\n', ("train.csv:4",)),
    ],
)
def test_csv(tmp_path, text, parts):
    (tmp_path / "train.csv").write_text(text, encoding="utf-8")
    expect(NamedCsv(lists={"train": "train.csv"}), tmp_path, *parts)


def test_a_folder_without_classes(tmp_path):
    (tmp_path / "train").mkdir()
    expect(Folder(), tmp_path, "train/juggling/clip.mp4")
    expect(Folder(), tmp_path / "nowhere", "no such directory")


@pytest.mark.parametrize(
    ("flip_labels", "message"),
    [
        ({"Swiping Lef": "Swiping Right"}, "did you mean 'Swiping Left'"),
        ({"Swiping Left": "Swiping Right", "Stop Sign": "Swiping Left"}, "'Swiping Left' has two partners"),
    ],
)
def test_flip_labels_that_fit_no_class(flip_labels, message):
    with pytest.raises(ValueError, match=message):
        mirror_labels(("Swiping Left", "Swiping Right", "Stop Sign"), flip_labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [("jump\nclimb\n", "names.txt:2: class 'climb'"), ("\n", "is empty")],
)
def test_subset_lists(tmp_path, text, message):
    for name in ("train/run/a.mp4", "train/jump/b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    (tmp_path / "names.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        build_dataset(Folder().read(tmp_path), tmp_path, subsets={"s": Subset(classes="names.txt")})


def test_a_subset_of_another_data_set_is_refused(tmp_path):
    (tmp_path / "train/run").mkdir(parents=True)
    (tmp_path / "train/run/a.mp4").touch()
    (tmp_path / "ids.txt").write_text("zzz\nyyy\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"ids.txt: none of its 2 videos"):
        build_dataset(Folder().read(tmp_path), tmp_path, subsets={"s": Subset(videos={"train": "ids.txt"})})
