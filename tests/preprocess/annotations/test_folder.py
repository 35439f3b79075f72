"""Folders of videos: which folders are splits and classes, and that every entry is a video, missing, or left out."""

import unicodedata
from pathlib import Path

import pytest
from conversion import CONFIG, command, hashes
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocess.__main__ import main
from preprocess.annotations.dataset import LeftOut, SplitCounts, missing_table
from preprocess.annotations.folder import Folder
from preprocess.annotations.subsets import build_dataset
from preprocess.config.schema import Config, config_from
from preprocess.run.overview import overview_lines
from preprocess.run.pipeline import plan, prepare, read_dataset
from shards.__main__ import main as check
from shards.format import read_manifest

SPLITS = ("train", "validation")


def touch(root: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def config(**changes) -> Config:
    return config_from({**CONFIG, **changes}, "test")


def printed(source: Path, **changes) -> str:
    """What a person reads before the work."""
    settings = config(**changes)
    return "\n".join(overview_lines(read_dataset(settings, source), settings, source))


@pytest.fixture
def two_classes(tmp_path) -> Path:
    touch(tmp_path, "train/run/1.mp4", "train/jump/2.mp4", "validation/run/3.mp4", "validation/jump/4.mp4")
    return tmp_path


CLUTTER = (
    *("__MACOSX/run/x.mp4", "@eaDir/run/x.mp4", "test/unlabelled/9.mp4", "train/@eaDir/1.mp4", "train/__MACOSX/1.mp4"),
    *("train/.cache/1.mp4", "train/empty/.DS_Store", "shards/grid/_records/train-000000.json", "shards/grid/a.tar"),
    *("train/run/old/_info.json", "train/run/old/sheet.jpg", "train/$RECYCLE.BIN/1.mp4", "train/stray.mp4"),
    *("train/run/notes.txt", "train/run/Thumbs.db", "train/run/._1.mp4", "train/lost+found/1.mp4"),
)


def test_only_folders_of_configured_splits_that_hold_a_video_are_classes(two_classes):
    touch(two_classes, *CLUTTER)
    dataset = read_dataset(config(), two_classes)
    assert dataset.class_names == ("jump", "run")
    assert [video.path for video in dataset.splits["train"]] == ["train/jump/2.mp4", "train/run/1.mp4"]
    assert set(dataset.splits) == set(SPLITS)


def test_each_entry_that_is_left_out_is_reported_with_its_kind(two_classes):
    touch(two_classes, *CLUTTER)
    text = printed(two_classes)
    assert "left out: shards, test" in text
    assert "hidden or system entries are left out: @eaDir, __MACOSX" in text
    assert "train: 2 videos, 0 missing, 12 left out, of 14 entries" in text
    for count, kind, example in (
        (8, "hidden or system entries", "train/$RECYCLE.BIN"),
        (1, "files beside the folders of the classes", "train/stray.mp4"),
        (1, "folders without a video", "train/empty"),
        (1, "files without the suffix of a video", "train/run/notes.txt"),
        (1, "folders of shards that a conversion has written", "train/run/old"),
    ):
        assert f"  left out: {count} {kind}, such as {two_classes / example}" in text


def test_a_video_beside_the_splits_is_reported(two_classes):
    touch(two_classes, "forgotten.mp4", "README.txt")
    text = printed(two_classes)
    assert f"1 videos beside the folders of the splits are left out, such as {two_classes / 'forgotten.mp4'}" in text


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("train", "validation")),
            st.sampled_from(("run", "jump", ".git", "__MACOSX", "empty")),
            st.sampled_from(("a.mp4", "b.AVI", "c.txt", ".d.mp4", "f/00001.jpg", "g/x.txt", "h/i/j.mp4", "Thumbs.db")),
        ),
        min_size=1,
        max_size=25,
    )
)
def test_entries_are_videos_or_left_out_whatever_is_there(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("entries")
    touch(root, "train/run/0.mp4", "validation/run/0.mp4", *("/".join(parts) for parts in files))
    dataset = read_dataset(config(), root)
    for split in SPLITS:
        entries = 0
        for folder in (root / split).iterdir():
            if folder.name in (".git", "__MACOSX"):
                entries += 1
            else:
                inside = list(folder.iterdir())
                videos = [video for video in dataset.splits[split] if video.path.startswith(f"{split}/{folder.name}/")]
                entries += len(inside) + (not videos)  # a folder without a video is an entry too
        counts = dataset.counts[split]
        assert counts.entries == entries == counts.videos + counts.missing + counts.num_left_out


def test_counts_that_do_not_add_up_are_refused():
    left_out = (LeftOut(kind="header lines", count=1, example="a"),)
    assert SplitCounts(entries=4, videos=2, missing=1, left_out=left_out).num_left_out == 1
    with pytest.raises(ValueError, match="5 entries were read, but 2 videos, 1 missing and 1 left out make 4"):
        SplitCounts(entries=5, videos=2, missing=1, left_out=left_out)


@pytest.mark.parametrize(("folder", "split"), [("val", "validation"), ("valid", "validation"), ("Train", "train")])
def test_a_split_goes_by_its_usual_other_names(tmp_path, folder, split):
    touch(tmp_path, f"{folder}/run/1.mp4")
    entry = {"mode": "train"} if split == "train" else {"mode": "test"}
    assert f"split {split} is read from {tmp_path / folder}" in printed(tmp_path, splits={split: entry})
    assert len(read_dataset(config(splits={split: entry}), tmp_path).splits[split]) == 1


def test_a_folder_with_the_splits_own_name_comes_first(two_classes):
    touch(two_classes, "val/climb/1.mp4")
    dataset = read_dataset(config(), two_classes)
    assert dataset.class_names == ("jump", "run")
    assert any("no configured split are left out: val" in note for note in dataset.notes)


def test_two_folders_that_could_be_the_split_are_refused(tmp_path):
    touch(tmp_path, "train/run/1.mp4", "val/run/1.mp4", "valid/run/1.mp4")
    with pytest.raises(ValueError, match="val and valid could each be it; rename one of them to validation"):
        read_dataset(config(), tmp_path)


def test_val_is_no_other_name_where_it_is_a_split_itself(tmp_path):
    touch(tmp_path, "train/run/1.mp4", "val/run/1.mp4")
    splits = {"train": {"mode": "train"}, "val": {"mode": "test"}, "validation": {"mode": "test"}}
    with pytest.raises(ValueError, match="split 'validation' of the configuration is not in the data set"):
        read_dataset(config(splits=splits), tmp_path)


def test_an_empty_split_is_refused_by_its_name(two_classes):
    for path in (two_classes / "validation").rglob("*.mp4"):
        path.unlink()
    with pytest.raises(ValueError, match="split 'validation' has no video on the disk"):
        plan(read_dataset(config(), two_classes), config())


@pytest.mark.parametrize(
    "pair",
    [
        ("Grows", "grows"),
        ("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")),
        ("ride bike", "ride_bike"),
        ("run", "run "),
        ("push-up", "push up"),
    ],
)
def test_classes_without_a_training_video_and_names_nearly_the_same_are_reported(tmp_path, pair):
    trained, tested = pair
    touch(tmp_path, f"train/{trained}/1.mp4", "train/other/1.mp4", f"validation/{tested}/2.mp4")
    touch(tmp_path, "validation/other/3.mp4")
    text = printed(tmp_path)
    assert f"1 of 3 classes have no training video, so no model learns them: {shown(tested)} (1 in validation)" in text
    alike = ", ".join(
        f"{shown(name)} ({'1 in train' if name == trained else '1 in validation'})" for name in sorted(pair)
    )
    assert f"class names are nearly the same, and remain separate classes: {alike}" in text


def shown(name: str) -> str:
    return repr(name) if unicodedata.is_normalized("NFC", name) else ascii(name)


def test_sound_classes_are_not_spoken_of(two_classes):
    text = printed(two_classes)
    assert "note" not in text
    assert text == "train: 2 videos, 0 missing\nvalidation: 2 videos, 0 missing"


def test_a_conversion_into_the_source_goes_on_the_second_time(video_folder, tmp_path, local_ray):
    """Its shards stand beside the splits, and are neither splits nor classes."""
    source = tmp_path / "source"
    for path in sorted(video_folder.rglob("*0.mp4")) + sorted(video_folder.rglob("*2.avi")):
        copy = source / path.relative_to(video_folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    arguments = command(tmp_path, source, source / "shards")
    assert main(arguments) == 0
    first = hashes(source / "shards")
    assert main(arguments) == 0
    assert hashes(source / "shards") == first
    assert read_manifest(source / "shards" / "grid").class_names == ["left", "right"]


@pytest.mark.parametrize("how", ["copy", "link"])
def test_a_video_in_training_and_validation_is_reported(two_classes, how):
    touch(two_classes, "train/run/same.mp4", content=b"a video")
    touch(two_classes, "train/run/5.mp4", content=b"a video")
    touch(two_classes, "validation/run/5.mp4", content=b"another")
    copy = two_classes / "validation/run/same.mp4"
    if how == "copy":
        copy.write_bytes(b"a video")
    else:
        copy.symlink_to(two_classes / "train/run/same.mp4")
    text = printed(two_classes)
    assert "1 videos are in both train and validation, such as train/run/same.mp4 and validation/run/same.mp4" in text


def test_a_listed_video_in_both_lists_is_reported_where_its_segments_meet(tmp_path):
    (tmp_path / "train.csv").write_text("path,label,start,end\na.mp4,x,0,2\nb.mp4,x,0,2\n", encoding="utf-8")
    (tmp_path / "validation.csv").write_text("path,label,start,end\na.mp4,x,2,4\n./b.mp4,x,1,3\n", encoding="utf-8")
    touch(tmp_path, "a.mp4", "b.mp4")
    text = printed(tmp_path, annotations={"format": "csv", "start_column": "start", "end_column": "end"})
    assert "1 videos are in both train and validation, such as b.mp4: " in text


def test_a_link_that_leads_nowhere_is_missing_and_can_be_refused(two_classes, tmp_path_factory):
    (two_classes / "train/run/gone.mp4").symlink_to("/nowhere/gone.mp4")
    (two_classes / "train/run/loop.mp4").symlink_to("loop.mp4")
    (two_classes / "train/run/frames").symlink_to("/nowhere/frames")
    (two_classes / "train/swim").symlink_to("/nowhere/swim")
    text = printed(two_classes)
    assert "train: 2 videos, 3 missing, 1 left out, of 6 entries" in text
    assert f"left out: 1 broken symbolic links, such as {two_classes / 'train/swim'}" in text
    assert "gone.mp4): a symbolic link to /nowhere/gone.mp4, which is not there" in text
    output = tmp_path_factory.mktemp("out") / "shards"
    with pytest.raises(ValueError, match="--require-complete"):
        prepare(config(), source=two_classes, output=output, require_complete=True)


def test_all_folders_are_splits_where_none_is_named(two_classes):
    touch(two_classes, "extra/climb/1.mp4")
    listing = Folder().read(two_classes)
    assert list(listing.splits) == ["extra", "train", "validation"]
    assert build_dataset(listing, two_classes, subsets={}).class_names == ("climb", "jump", "run")


def test_classes_that_lose_their_training_videos_are_named_at_the_end_and_by_check(
    video_folder, tmp_path, local_ray, capsys
):
    source = tmp_path / "source"
    for split in SPLITS:
        for name in ("left", "right"):
            copy = source / split / name / "1.webm"
            copy.parent.mkdir(parents=True)
            copy.write_bytes((video_folder / split / name / f"{name} 1.webm").read_bytes())
    (source / "train/right/1.webm").write_bytes(b"no video at all")
    copy = source / "validation/up/2.webm"
    copy.parent.mkdir()
    copy.write_bytes((video_folder / "validation/left/left 1.webm").read_bytes())
    assert main([*command(tmp_path, source, tmp_path / "out"), "--set", "max_failures=0.5"]) == 0
    error = capsys.readouterr().err
    assert "1 of 3 classes have no training video, so no model learns them: 'up' (1 in validation)" in error
    assert "1 classes have no training video left after these failures, so no model learns them: 'right'" in error
    assert check(["check", str(tmp_path / "out" / "grid")]) == 0
    assert "note: 2 of 3 classes have no sample in train: 'right', 'up'" in capsys.readouterr().out


def test_videos_that_stand_in_no_class_are_reported_where_there_is_no_other(tmp_path):
    touch(tmp_path, "train/1.mp4", "train/2.mp4", "validation/run/deeper/3.mp4")
    with pytest.raises(ValueError, match="no <split>/<class>/<video> in it") as caught:
        read_dataset(config(), tmp_path)
    assert "2 files beside the folders of the classes, such as" in str(caught.value)
    assert "1 folders inside a class without images (deeper folders are not searched)" in str(caught.value)


def test_names_with_line_ends_keep_the_table_of_missing_videos_whole(two_classes):
    (two_classes / "train/run/a\n\tb.mp4").symlink_to("/nowhere")
    table = missing_table(read_dataset(config(), two_classes), SPLITS)
    assert [len(line.split("\t")) for line in table.splitlines()] == [3, 3]
    assert "a\\n\\tb.mp4" in table


def test_videos_outside_a_subset_and_its_classes_without_training_are_reported(two_classes):
    touch(two_classes, "train/swim/5.mp4", "validation/climb/6.mp4")
    (two_classes / "mini.txt").write_text("run\nclimb\n", encoding="utf-8")
    subsets = {"subsets": {"mini": {"classes": "mini.txt"}}}
    lacking = "have no training video, so no model learns them: 'climb' (1 in validation)"
    text = printed(two_classes, **subsets)
    assert f"1 of 4 classes {lacking}" in text
    assert f"1 of 2 classes of mini {lacking}" in text
    alone = printed(two_classes, only="mini", **subsets)
    assert f"1 of 2 classes {lacking}" in alone
    assert "train: 1 videos, 0 missing, 2 left out, of 3 entries" in alone
    example = two_classes / "train/jump/2.mp4"
    assert f"  left out: 2 videos outside the subset mini, such as {example}" in alone
