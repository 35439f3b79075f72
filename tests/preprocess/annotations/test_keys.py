"""Keys of videos: unique, safe as file names, and independent of the videos that are not on the disk."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.annotations.dataset import ListEntry, Target, Targets, find_on_disk
from shards.format import MAX_KEY_LENGTH, sample_key


def targets(label=0):
    return Targets(target=Target(labels=(label,)))


def listed(path, name, where="list:1"):
    return ListEntry(name=name, path=path, labels=(0,), where=where)


def test_a_video_listed_twice_is_refused_with_both_places(tmp_path):
    rows = [(listed(tmp_path / "a", "a", f"list:{line}"), targets()) for line in (3, 7)]
    with pytest.raises(ValueError, match=r"list:7.*already, at list:3"):
        find_on_disk(tmp_path, rows)


@given(
    st.lists(
        st.text(st.sampled_from("aAb.-_/ é#日"), min_size=1, max_size=12).map(lambda name: name + "x")
        | st.integers(1, 3).map(lambda count: "long name/" * 100 + str(count)),
        min_size=1,
        max_size=30,
        unique=True,
    )
)
def test_keys_are_unique_and_safe_whatever_the_names(tmp_path_factory, names):
    folder = tmp_path_factory.getbasetemp()
    there = folder / "there"
    there.touch()
    present, missing = find_on_disk(folder, [(listed(there, name), targets()) for name in names])
    keys = [video.key for video in present]
    assert missing == ()
    assert len({key.lower() for key in keys}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in keys)
    assert all(len(sample_key(key, 999)) <= MAX_KEY_LENGTH for key in keys)


def test_a_file_that_turns_up_later_changes_no_other_key(tmp_path):
    names = ["x/a.b.mp4", "x/a_b.mp4", "y/c.mp4"]
    rows = [(listed(tmp_path / name, name), targets()) for name in names]
    (tmp_path / "x").mkdir()
    (tmp_path / "x/a.b.mp4").touch()
    (before,), missing = find_on_disk(tmp_path, rows)
    (tmp_path / "x/a_b.mp4").touch()
    after, _ = find_on_disk(tmp_path, rows)
    assert len(missing) == 2
    assert before in after
