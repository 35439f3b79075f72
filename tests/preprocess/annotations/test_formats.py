"""Small files in the owners' formats, made of rows that they publish: what each reader makes of a row."""

import json

import pytest

from preprocess.annotations.charades import Charades
from preprocess.annotations.diving48 import Diving48
from preprocess.annotations.folder import Folder
from preprocess.annotations.kinetics import Kinetics
from preprocess.annotations.moments import Moments
from preprocess.annotations.named_csv import NamedCsv
from preprocess.annotations.plain_list import PlainList
from preprocess.annotations.subsets import build_dataset
from preprocess.annotations.twentybn import Jester, SomethingSomethingV2

KINETICS = "label,youtube_id,time_start,time_end,split\n"


def write_kinetics(root, *, validation="validate.csv"):
    (root / "train.csv").write_text(
        KINETICS + "washing feet,--GkrdYZ9Tc,0,10,train\ntestifying,0123456789A,5,15,train\n",
        encoding="utf-8",
    )
    (root / validation).write_text(KINETICS + "testifying,---QUuC4vJs,84,94,validate\n", encoding="utf-8")


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def read(reader, source):
    return build_dataset(reader.read(source), source, subsets={})


@pytest.mark.parametrize("validation", ["validate.csv", "val.csv"])
@pytest.mark.parametrize("place", ["train/washing feet", "train/washing_feet", "train", ""])
def test_kinetics_clips_are_found_however_they_are_laid_out(tmp_path, place, validation):
    write_kinetics(tmp_path, validation=validation)
    touch(tmp_path / place / "--GkrdYZ9Tc_000000_000010.mp4")
    dataset = read(Kinetics(), tmp_path)
    (video,) = dataset.splits["train"]
    assert (tmp_path / video.path).is_file()
    assert video.key == "--GkrdYZ9Tc_000000_000010"
    assert (dataset.class_names[video.labels[0]], video.start, video.end) == ("washing feet", None, None)
    assert [row.name for row in dataset.missing["train"]] == ["0123456789A_000005_000015"]
    assert [row.where for row in dataset.missing["validation"]] == [f"{tmp_path / validation}:2"]


def test_kinetics_whole_videos_are_segments(tmp_path):
    write_kinetics(tmp_path)
    touch(tmp_path / "val" / "---QUuC4vJs.mp4")
    (video,) = read(Kinetics(untrimmed=True), tmp_path).splits["validation"]
    assert (video.path, video.start, video.end) == ("val/---QUuC4vJs.mp4", 84.0, 94.0)


def test_something_something_v2(tmp_path):
    labels = {"Something falling like a feather or paper": "1", "Holding something next to something": "0"}
    row = {
        "id": "78687",
        "label": "holding potato next to vicks vaporub bottle",
        "template": "Holding [something] next to [something]",
        "placeholders": ["potato", "vicks vaporub bottle"],
    }
    feather = {
        "id": "5",
        "label": "a",
        "template": "[Something] falling like a feather or paper",
        "placeholders": ["a"],
    }
    (tmp_path / "something-something-v2-labels.json").write_text(json.dumps(labels), encoding="utf-8")
    (tmp_path / "something-something-v2-train.json").write_text(json.dumps([row]), encoding="utf-8")
    (tmp_path / "something-something-v2-validation.json").write_text(json.dumps([feather]), encoding="utf-8")
    touch(tmp_path / "20bn-something-something-v2" / "78687.webm")
    dataset = read(SomethingSomethingV2(), tmp_path)
    (video,) = dataset.splits["train"]
    assert (video.key, video.path, video.labels) == ("78687", "20bn-something-something-v2/78687.webm", (0,))
    assert dataset.missing["validation"][0].labels == (1,)


def test_jester_videos_are_folders(tmp_path):
    (tmp_path / "jester-v1-labels.csv").write_text("Swiping Left\nDrumming Fingers\n", encoding="utf-8")
    (tmp_path / "jester-v1-train.csv").write_text("34870;Drumming Fingers\n56557;Swiping Left\n", encoding="utf-8")
    (tmp_path / "jester-v1-validation.csv").write_text("9223;Swiping Left\r\n", encoding="utf-8")
    touch(tmp_path / "20bn-jester-v1" / "34870" / "00001.jpg")
    dataset = read(Jester(), tmp_path)
    (video,) = dataset.splits["train"]
    assert (video.path, video.labels, video.frame_rate) == ("20bn-jester-v1/34870", (1,), 12.0)
    assert [row.name for row in dataset.missing["validation"]] == ["9223"]


def test_moments_in_time(tmp_path):
    (tmp_path / "moments_categories.txt").write_text("praying,1\nblocking,0\n", encoding="utf-8")
    name = "blocking/getty-karate-video-id635808620_4.mp4"
    (tmp_path / "trainingSet.csv").write_text(f"{name},blocking,3,0\n", encoding="utf-8")
    (tmp_path / "validationSet.csv").write_text("praying/a.mp4,praying,4,1\n", encoding="utf-8")
    touch(tmp_path / "training" / name)
    dataset = read(Moments(), tmp_path)
    assert dataset.class_names == ("blocking", "praying")
    (video,) = dataset.splits["train"]
    assert (video.key, video.labels) == ("blocking_getty-karate-video-id635808620_4", (0,))


def test_multi_moments_rows_hold_several_labels(tmp_path):
    (tmp_path / "moments_categories.txt").write_text("a,0\nb,1\nc,2\n", encoding="utf-8")
    (tmp_path / "trainingSet.csv").write_text("1/x.mp4,2,0\n1/y.mp4,1\n", encoding="utf-8")
    (tmp_path / "validationSet.csv").write_text("1/z.mp4,1,2\n", encoding="utf-8")
    listing = Moments(several_labels=True).read(tmp_path)
    assert [row.labels for row in listing.splits["train"]] == [(2, 0), (1,)]


def test_diving48_rows_are_segments_in_frames(tmp_path):
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps([["Back", "15som", "05Twis", "FREE"]]), encoding="utf-8")
    row = {"vid_name": "-mmq0PT-u8k_00155", "label": 0, "start_frame": 0, "end_frame": 48}
    for split in ("train", "test"):
        (tmp_path / f"Diving48_V2_{split}.json").write_text(json.dumps([row]), encoding="utf-8")
    touch(tmp_path / "rgb" / "-mmq0PT-u8k_00155.mp4")
    dataset = read(Diving48(), tmp_path)
    (video,) = dataset.splits["validation"]
    assert dataset.class_names == ("Back+15som+05Twis+FREE",)
    assert (video.start_frame, video.end_frame, video.start) == (0, 48, None)


CHARADES = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"
CHARADES_ROWS = (
    '46GP8,HR43,Kitchen,6,7,Yes,"A person, cooking.",food,"one; two, three",c092 11.90 21.20;c147 0.00 12.60,24.83\n'
    "N11GT,0KZ7,Stairs,5,7,Yes,x,y,z,,18.33\n"
)


def write_charades(root):
    folder = root / "Charades"
    folder.mkdir()
    names = "".join(f"c{number:03d} Action number {number}\n" for number in range(157))
    (folder / "Charades_v1_classes.txt").write_text(
        names.replace("Action number 8\n", "Opening a door\n"), encoding="utf-8"
    )
    for split in ("train", "test"):
        (folder / f"Charades_v1_{split}.csv").write_text(CHARADES + CHARADES_ROWS, encoding="utf-8")


def test_charades_videos_hold_several_labels_and_empty_ones_are_reported(tmp_path):
    write_charades(tmp_path)
    listing = Charades().read(tmp_path)
    assert len(listing.class_names) == 157
    assert listing.class_names[8] == "Opening a door"
    assert [(row.name, row.labels) for row in listing.splits["train"]] == [("46GP8", (92, 147))]
    (empty,) = listing.left_out["train"]
    assert (empty.kind, empty.count) == ("videos without an action", 1)
    assert empty.example == f"{tmp_path / 'Charades' / 'Charades_v1_train.csv'}:3"
    counts = build_dataset(listing, tmp_path, subsets={}).counts["train"]
    assert (counts.entries, counts.videos, counts.missing) == (2, 0, 1)


def test_charades_actions_can_be_samples_of_their_own(tmp_path):
    write_charades(tmp_path)
    rows = Charades(sample="segment").read(tmp_path).splits["validation"]
    assert [(row.start, row.end, row.labels) for row in rows] == [(11.9, 21.2, (92,)), (0.0, 12.6, (147,))]
    assert len({row.name for row in rows}) == 2


def test_plain_lists_count_frames_from_one_and_include_the_last(tmp_path):
    (tmp_path / "train.txt").write_text("folder/a 1 30 2\nfolder/b 31 60 0\nfolder/b 61 90 1\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("folder/c 1 9 1 2\n", encoding="utf-8")
    listing = PlainList().read(tmp_path)
    rows = listing.splits["train"]
    assert [(row.start_frame, row.end_frame) for row in rows] == [(0, 30), (30, 60), (60, 90)]
    assert [row.name for row in rows] == ["folder/a", "folder/b_000031_000060", "folder/b_000061_000090"]
    assert listing.splits["validation"][0].labels == (1, 2)
    assert listing.class_names == ("0", "1", "2")


def test_kinetics_plain_lists_have_semicolons_since_paths_have_spaces(tmp_path):
    (tmp_path / "train.txt").write_text("washing feet/--GkrdYZ9Tc;1;300;1\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("testifying/---QUuC4vJs;1;300;0\n", encoding="utf-8")
    (tmp_path / "names.txt").write_text("testifying\nwashing feet\n", encoding="utf-8")
    listing = PlainList(separator=";", classes="names.txt").read(tmp_path)
    assert listing.splits["train"][0].path == tmp_path / "washing feet" / "--GkrdYZ9Tc"
    assert listing.class_names == ("testifying", "washing feet")


def test_csv_with_named_columns(tmp_path):
    (tmp_path / "train.csv").write_text(
        '\ufefffile;what;from;to\n"a;b.mp4";run|jump;0.5;2.25\nc.mp4;walk;0;1\n', encoding="utf-8"
    )
    reader = NamedCsv(
        lists={"train": "train.csv"},
        separator=";",
        path_column="file",
        label_column="what",
        label_separator="|",
        start_column="from",
        end_column="to",
    )
    listing = reader.read(tmp_path)
    assert listing.class_names == ("jump", "run", "walk")
    first, second = listing.splits["train"]
    assert (first.path.name, first.labels, first.start, first.end) == ("a;b.mp4", (1, 0), 0.5, 2.25)
    assert second.labels == (2,)


def test_csv_segments_in_frames(tmp_path):
    (tmp_path / "train.csv").write_text("path,label,start,end\na.mp4,x,10,20\na.mp4,x,20,30\n", encoding="utf-8")
    reader = NamedCsv(lists={"train": "train.csv"}, start_column="start", end_column="end", unit="frames")
    rows = reader.read(tmp_path).splits["train"]
    assert [(row.start_frame, row.end_frame, row.start) for row in rows] == [(10, 20, None), (20, 30, None)]


def test_a_folder_per_class(tmp_path):
    files = ("train/b/2.mp4", "train/a/1.webm", "train/a/frames/00001.jpg", "validation/a/3.avi", ".cache/x/y.mp4")
    for name in (*files, "train/a/notes.txt", "train/a/old/notes.txt"):
        touch(tmp_path / name)
    dataset = read(Folder(), tmp_path)
    assert dataset.class_names == ("a", "b")
    assert [video.path for video in dataset.splits["train"]] == ["train/a/1.webm", "train/a/frames", "train/b/2.mp4"]
    counts = dataset.counts["train"]
    assert (counts.entries, counts.videos, counts.missing) == (5, 3, 0)
    assert {kind.kind: kind.count for kind in counts.left_out} == {
        "files without the suffix of a video": 1,
        "folders inside a class without images (deeper folders are not searched)": 1,
    }
    assert dataset.notes == ("hidden or system entries are left out: .cache",)
