"""Folders without a validation split: some videos of each class are held out, the same ones on every machine."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.annotations.folder import Folder
from preprocess.annotations.hold_out import held_out

SPLITS = ("train", "validation")
CLASSES = {"jump": [f"v_jump_g{group:02}_c{clip}.avi" for group in range(10) for clip in range(3)], "run": ["a.avi"]}


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture
def flat(tmp_path) -> Path:
    touch(tmp_path, *(f"{name}/{video}.mp4" for name in ("jump", "run") for video in range(10)))
    return tmp_path


def names(listing, split: str) -> list[str]:
    return [row.name for row in listing.splits[split]]


def test_classes_alone_are_read_and_a_fifth_of_each_is_held_out(flat):
    listing = Folder().read(flat, SPLITS)
    assert listing.class_names == ("jump", "run")
    assert [name.split("/")[0] for name in names(listing, "validation")] == ["jump"] * 2 + ["run"] * 2
    assert len(names(listing, "train")) == 16
    assert not set(names(listing, "train")) & set(names(listing, "validation"))
    assert any("4 of 20 videos of split train are held out" in note for note in listing.notes)
    assert sum(listing.entries.values()) == 20


def test_a_training_folder_alone_gives_its_validation(tmp_path):
    touch(tmp_path, *(f"train/{name}/{video}.mp4" for name in ("jump", "run") for video in range(10)))
    listing = Folder(validation_share=0.5).read(tmp_path, SPLITS)
    assert len(names(listing, "train")) == len(names(listing, "validation")) == 10


def test_without_a_validation_split_all_videos_are_trained_on(flat):
    listing = Folder().read(flat, ("train",))
    assert len(names(listing, "train")) == 20
    assert not any("held out" in note for note in listing.notes)


def test_a_share_of_nothing_names_both_ways_out(flat):
    with pytest.raises(ValueError, match=r"train without validation: --set splits\.validation=null"):
        Folder(validation_share=0).read(flat, SPLITS)


def test_folders_of_both_splits_stay_as_they_are(tmp_path):
    touch(tmp_path, *(f"{split}/run/{video}.mp4" for split in ("train", "val") for video in range(5)))
    listing = Folder().read(tmp_path, SPLITS)
    assert [len(names(listing, split)) for split in SPLITS] == [5, 5]


def test_a_missing_training_folder_is_still_an_error(tmp_path):
    touch(tmp_path, "val/run/1.mp4")
    with pytest.raises(ValueError, match="split 'train' of the configuration is not in the data set"):
        Folder().read(tmp_path, SPLITS)


def test_groups_stay_together():
    chosen = held_out(CLASSES, 0.2, "_(g[0-9]+)_")["jump"]
    groups = {name.split("_")[2] for name in chosen}
    assert len(groups) == 2
    assert len(chosen) == 6


def test_a_group_is_one_source_in_every_class():
    classes = {name: [f"{name}_g{group}_{clip}" for group in range(5) for clip in range(2)] for name in ("a", "b")}
    chosen = held_out(classes, 0.2, "_(g[0-9]+)_")
    assert {name[2:4] for name in chosen["a"]} == {name[2:4] for name in chosen["b"]}


def test_a_class_of_one_source_keeps_it_and_is_named(tmp_path):
    touch(tmp_path, "run/1.mp4", *(f"jump/{video}.mp4" for video in range(5)))
    listing = Folder().read(tmp_path, SPLITS)
    assert [name for name in names(listing, "train") if name.startswith("run")] == ["run/1.mp4"]
    assert any("has no video of classes with only one source: 'run'" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"validation_share": 1.0}, "at least 0 and below 1"), ({"group": "(g"}, "not a regular expression")],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Folder(**options)


@given(
    st.dictionaries(st.text("abc", min_size=1), st.lists(st.text("xyz", min_size=1), min_size=1, unique=True)),
    st.floats(0, 0.9),
)
def test_a_share_of_each_class_is_held_out_and_one_video_is_left(videos, share):
    for name, chosen in held_out(videos, share).items():
        assert len(chosen) < len(videos[name])
        assert len(chosen) >= min(share * len(videos[name]), len(videos[name]) - 1)


@given(st.lists(st.text("xyz", min_size=1), min_size=5, unique=True))
def test_the_order_of_the_files_does_not_matter(names):
    assert held_out({"a": names}, 0.2) == held_out({"a": names[::-1]}, 0.2)
