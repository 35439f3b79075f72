"""Keys and the manifest."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shards.format import MAX_KEY_LENGTH, read_manifest, sample_key, shard_name, video_keys
from shards.layouts import Layout


@given(st.lists(st.text(min_size=1, max_size=300), unique=True, max_size=20))
def test_keys_are_safe_unique_and_as_many_as_the_names(names):
    keys = [sample_key(key, 99) for key in video_keys(names)]
    assert len({key.lower() for key in keys}) == len(names)
    for key in keys:
        assert len(key) <= MAX_KEY_LENGTH
        assert key.isascii()
        assert not set(key) & set("./\\ ")


def test_a_plain_name_is_kept():
    assert video_keys(["v_Punch_g01_c01.avi", "a b/c.1.mp4"]) == ["v_Punch_g01_c01", "a_b_c_1"]


def test_a_key_depends_on_its_name_alone_but_for_clashes():
    assert video_keys(["a.mp4"])[0] == video_keys(["b.mp4", "a.mp4"])[1]
    assert len(set(video_keys(["a.mp4", "a.avi", "A.mp4"]))) == 3


def test_a_name_given_twice_is_refused():
    with pytest.raises(ValueError, match=r"'x\.mp4'.*once"):
        video_keys(["x.mp4", "y.mp4", "x.mp4"])


def test_names_sort_as_they_count():
    assert shard_name("train", 2, 7) == "train-v02-000007.tar"
    assert shard_name("train", 0, 9) < shard_name("train", 0, 10) < shard_name("train", 1, 0)


def manifest(**changes):
    layout = Layout(name="l", frames=4, rows=2, columns=2, tile=16).to_dict()
    superimage = {
        "format_version": 1,
        "layout": layout,
        "class_names": ["a"],
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "views": {"train": 1},
        "digest": "d",
        **changes,
    }
    split = {"name": "train", "num_samples": 3, "filenames": ["t.tar"], "shard_lengths": [3]}
    return {"splits": {"train": split}, "superimage": superimage}


def test_a_manifest_is_read(tmp_path):
    (tmp_path / "_info.json").write_text(json.dumps(manifest()), encoding="utf-8")
    read = read_manifest(tmp_path)
    assert read.image_size == (32, 32)
    assert read.split("train").num_samples == 3
    with pytest.raises(ValueError, match=r"'test' is not in the manifest; it has train"):
        read.split("test")


def test_no_manifest_and_another_tools_manifest_are_none(tmp_path):
    assert read_manifest(tmp_path) is None
    (tmp_path / "_info.json").write_text(json.dumps({"splits": {}}), encoding="utf-8")
    assert read_manifest(tmp_path) is None


def without_class_names():
    raw = manifest()
    del raw["superimage"]["class_names"]
    return raw


def with_one_sample_too_many():
    raw = manifest()
    raw["splits"]["train"]["num_samples"] += 1
    return raw


DAMAGED = {
    "not JSON": "{",
    "another version": json.dumps(manifest(format_version=99)),
    "no class names": json.dumps(without_class_names()),
    "lengths that do not add up": json.dumps(with_one_sample_too_many()),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_manifest_names_the_file(damage, tmp_path):
    (tmp_path / "_info.json").write_text(DAMAGED[damage], encoding="utf-8")
    with pytest.raises(ValueError, match=r"_info\.json"):
        read_manifest(tmp_path)
