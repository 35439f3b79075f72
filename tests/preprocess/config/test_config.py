"""Configurations: what is refused and with which words, what is noted, and what the digest depends on."""

import copy

import pytest
import yaml

from preprocess.config.schema import config_from, digest_of, load_config

SETTINGS = {
    "annotations": {"format": "folder"},
    "sampling": {"strategy": "uniform"},
    "layouts": {"grid": {"frames": 8, "tile": 32}},
    "splits": {"train": {"mode": "train", "views": 2, "flip": True}, "validation": {"mode": "test", "crops": 3}},
}


def changed(**values):
    return {**copy.deepcopy(SETTINGS), **values}


def with_layout(**values):
    return changed(layouts={"grid": {"frames": 8, "tile": 32, **values}})


def with_split(**values):
    return changed(splits={"train": {"mode": "train", **values}})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed(layout={}), "unknown key 'layout'; did you mean 'layouts'"),
        (changed(layouts={}), "layouts must be given"),
        (changed(annotations={"format": "kinetic"}), "must be one of .*kinetics"),
        (
            changed(annotations={"format": "ucf101", "spilt": 1}),
            "annotations: unknown key 'spilt'; did you mean 'split'",
        ),
        (changed(annotations={"format": "ucf101", "split": 4}), "splits 1, 2 and 3"),
        (with_layout(tiles=32), "layouts.grid: unknown key 'tiles'; did you mean 'tile'"),
        (with_layout(frames="8"), "layouts.grid.frames: '8' must be of type int"),
        (with_layout(grid="3"), "grid='3'"),
        (with_layout(grid="2x3"), "8 frames do not fit in 2x3"),
        (changed(layouts={"a/b": {"frames": 8}}), "letters, digits, - and _"),
        (changed(layouts={"x": {"preset": "sifar"}}), "no preset 'sifar'; the presets are sifar-3x3"),
        (changed(layouts=["sifar"]), "no preset 'sifar'"),
        (changed(layouts=["sifar-3x3"]), "sampling is not used"),
        (with_split(crops=3), "crops cannot be used with mode=train"),
        (with_split(flip="yes"), "write it without quotes"),
        (with_split(crop="random"), "must be one of multiscale"),
        (changed(seed="1"), "seed"),
        (changed(subsets={"mini": {}}), "subsets.mini: give either classes"),
        (changed(subsets={"mini": {"classes": "a", "videos": {}}}), "subsets.mini: give either"),
        (changed(subsets={"v01": {"classes": "a"}}), "a split or a view already has this name"),
        (changed(flip_labels=["left", "right"]), "flip_labels must map class names"),
        (changed(encoding={"quality": 99}), "1..95"),
        (changed(decoder="opencv"), "auto, pyav, ffmpeg"),
    ],
)
def test_what_is_refused(values, message):
    with pytest.raises(ValueError, match=message) as caught:
        config_from(values, "my.yaml")
    assert str(caught.value).startswith("my.yaml")


@pytest.mark.parametrize("name", ["something_something_v2", "something_something_v1", "jester", "diving48"])
def test_flipping_is_off_where_classes_name_a_side_and_there_is_no_map(name):
    config = config_from(changed(annotations={"format": name}), "test")
    assert not config.splits["train"].flip
    assert any("flipping is off" in note and name in note for note in config.notes)
    mapped = config_from(changed(annotations={"format": name}, flip_labels={"left": "right"}), "test")
    assert mapped.splits["train"].flip
    assert mapped.notes == ()


def test_ten_crops_are_refused_where_classes_name_a_side():
    values = changed(annotations={"format": "jester"}, splits={"validation": {"mode": "test", "crops": 10}})
    with pytest.raises(ValueError, match="use crops=5"):
        config_from(values, "test")


@pytest.mark.parametrize(
    ("tile", "encoding", "is_noted"),
    [
        (224, {}, False),
        (200, {}, True),
        (200, {"subsampling": "4:4:4"}, False),
        (100, {"subsampling": "4:4:4"}, True),
        (200, {"format": "png"}, False),
        (200, {"format": "webp"}, True),
    ],
)
def test_tiles_that_share_a_block_with_their_neighbours_are_reported(tile, encoding, is_noted):
    config = config_from({**with_layout(tile=tile), "encoding": encoding}, "test")
    assert bool(config.notes) == is_noted
    assert all("layout grid" in note and f"{tile} px" in note for note in config.notes)


def test_overrides_reach_into_lists_of_presets(tmp_path):
    path = tmp_path / "my.yaml"
    values = {key: value for key, value in changed(layouts=["sifar-3x3", "stam-16"]).items() if key != "sampling"}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    config = load_config(path, ["layouts.sifar-3x3.tile=192", "splits.train.views=5"])
    assert config.layouts["sifar-3x3"].tile == 192
    assert config.layouts["stam-16"].tile == 224
    assert config.splits["train"].views == 5


@pytest.mark.parametrize("override", ["layouts", "=3", "seed.x=1", "layouts..tile=2"])
def test_overrides_that_make_no_sense(tmp_path, override):
    path = tmp_path / "my.yaml"
    path.write_text(yaml.safe_dump(changed(seed=1)), encoding="utf-8")
    with pytest.raises(ValueError, match="--set"):
        load_config(path, [override])


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not a YAML file"), ("- a", "must contain keys"), ("", "must contain keys")]
)
def test_files_that_are_no_configuration(tmp_path, text, message):
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_config(path)
    assert str(path) in str(caught.value)


def digest(**values):
    return digest_of(config_from(changed(**values), "test").shaping())


def test_the_digest_depends_on_all_that_shapes_the_shards_and_on_nothing_else():
    shaping = {
        "seed": 1,
        "encoding": {"quality": 80},
        "sampling": {"strategy": "uniform", "offset": "shared"},
        "layouts": {"grid": {"frames": 8, "tile": 48}},
        "splits": {"train": {"mode": "train", "views": 3}},
        "samples_per_shard": 17,
        "flip_labels": {"left": "right"},
        "subsets": {"mini": {"classes": "mini.txt"}},
    }
    digests = {digest(), *(digest(**{key: value}) for key, value in shaping.items())}
    assert len(digests) == 1 + len(shaping)
    assert digest(max_failures=0.5, timeout_seconds=7) == digest()


def test_the_former_spelling_of_the_center_crop_is_read_and_earlier_digests_stay_valid():
    former, present = (config_from(with_split(crop=crop), "test") for crop in ("centre", "center"))
    assert former == present
    assert present.splits["train"].crop == "center"
    assert present.shaping()["splits"]["train"]["crop"] == "centre"
