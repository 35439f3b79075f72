"""Views: drawn from (seed, key, view) and nothing else; segments, mirror images and subsets."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocess.annotations.dataset import Target, Video
from preprocess.config.schema import config_from
from preprocess.decode.source import DecodeError, VideoInfo
from preprocess.views import crop_of_view, plan_views, segment_frames

SETTINGS = {
    "annotations": {"format": "folder"},
    "layouts": {
        "grid": {"frames": 8, "tile": 32},
        "strip": {"frames": 8, "tile": 16, "grid": "1x8", "order": "random"},
        "dense": {"frames": 4, "tile": 16, "sampling": {"strategy": "dense", "stride_frames": 2}},
    },
    "splits": {
        "train": {"mode": "train", "views": 3, "crop": "multiscale", "flip": True},
        "validation": {"mode": "test", "clips": 2, "crops": 3},
    },
}


def config(**changes):
    return config_from({**SETTINGS, **changes}, "test")


def video(key="a", **facts):
    return Video(key=key, path=f"{key}.mp4", labels=(0,), **facts)


def info(num_frames=100, fps=25.0):
    return VideoInfo(decoder="test", codec=None, times_seconds=np.arange(num_frames) / fps)


def facts(views):
    """Views as plain data."""
    return [
        (
            view.number,
            view.clip_number,
            [(clip.layout.name, clip.indices.tolist(), clip.order.tolist()) for clip in view.clips],
        )
        for view in views
    ]


def drawn(settings, split, of=None, num_frames=100):
    of = of or video()
    views = plan_views(of, info(num_frames), settings, settings.splits[split])
    crops = [crop_of_view(of, view.number, (320, 240), settings, settings.splits[split]) for view in views]
    return facts(views), crops


@given(st.integers(0, 2**40), st.text(min_size=1, max_size=20))
def test_views_are_the_same_whenever_they_are_drawn(seed, key):
    settings = config(seed=seed)
    assert drawn(settings, "train", video(key)) == drawn(settings, "train", video(key))


def test_views_do_not_depend_on_how_many_there_are():
    fewer = config()
    more = config(splits={**SETTINGS["splits"], "train": {**SETTINGS["splits"]["train"], "views": 9}})
    for few, many in zip(drawn(fewer, "train"), drawn(more, "train")):
        assert few == many[:3]


def test_a_layout_does_not_depend_on_the_others():
    alone = config(layouts={"strip": SETTINGS["layouts"]["strip"]})
    together = [
        (number, clip, [entry for entry in clips if entry[0] == "strip"])
        for number, clip, clips in drawn(config(), "train")[0]
    ]
    assert drawn(alone, "train")[0] == together


def test_seed_key_and_view_each_make_another_draw():
    base = drawn(config(seed=0), "train")
    assert drawn(config(seed=1), "train") != base
    assert drawn(config(seed=0), "train", video("b")) != base
    clips = [clips for _, _, clips in base[0]]
    assert clips[0] != clips[1] != clips[2]
    assert len(set(base[1])) > 1


def test_layouts_of_one_length_and_sampling_show_the_same_frames():
    for _, _, clips in drawn(config(), "train")[0]:
        frames = {name: indices for name, indices, _ in clips}
        assert frames["grid"] == frames["strip"]
        assert len(frames["dense"]) == 4


def test_random_orders_are_new_in_each_view_and_each_video():
    orders = [clips[1][2] for key in "abc" for _, _, clips in drawn(config(), "train", video(key))[0]]
    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len({tuple(order) for order in orders}) == len(orders)


def test_test_views_go_through_the_crops_of_a_clip_first():
    views, crops = drawn(config(), "validation")
    assert [clip for _, clip, _ in views] == [0, 0, 0, 1, 1, 1]
    assert [crop.left for crop in crops] == [40, 0, 80] * 2
    frames = [[indices for _, indices, _ in clips] for _, _, clips in views]
    assert frames[0] == frames[1] == frames[2]
    assert frames[0] != frames[3]


@pytest.mark.parametrize(
    ("segment", "expected"),
    [
        ({}, (0, 100)),
        ({"start": 1.0, "end": 2.0}, (25, 25)),  # frame 25 is shown at 1.0 s; frame 50, at 2.0 s, is not in it
        ({"start": 0.99, "end": 1.01}, (25, 1)),
        ({"start": 3.0, "end": 99.0}, (75, 25)),
        ({"start_frame": 10, "end_frame": 20}, (10, 10)),
        ({"start_frame": 90, "end_frame": 300}, (90, 10)),
    ],
)
def test_segments_worked_out_by_hand(segment, expected):
    assert segment_frames(video(**segment), info()) == expected


@given(st.integers(0, 120), st.integers(1, 50), st.integers(1, 100))
def test_no_frame_outside_a_segment_is_shown(start, length, num_frames):
    settings = config()
    segment = video(start_frame=start, end_frame=start + length)
    if start >= num_frames:
        with pytest.raises(DecodeError, match="empty segment"):
            plan_views(segment, info(num_frames), settings, settings.splits["train"])
        return
    for _, _, clips in drawn(settings, "train", segment, num_frames)[0]:
        for _, indices, _ in clips:
            assert start <= min(indices) <= max(indices) < min(start + length, num_frames)


def test_an_empty_segment_is_reported_in_its_own_unit():
    with pytest.raises(DecodeError, match=r"frames \[200, 300\) of a video of 100 frames, the last at 3.96 s"):
        segment_frames(video(start_frame=200, end_frame=300), info())
    with pytest.raises(DecodeError, match=r"seconds \[9.0, 10.0\)"):
        segment_frames(video(start=9.0, end=10.0), info())


def test_a_mirrored_view_has_the_label_of_the_mirror_image():
    other = video(subsets=(("mini", 3),), mirrored=Target(labels=(7,), subsets=(("mini", -1),)))
    assert other.target(flipped=False) == Target(labels=(0,), subsets=(("mini", 3),))
    assert other.target(flipped=True) == Target(labels=(7,), subsets=(("mini", -1),))
    assert video().target(flipped=True) == video().target(flipped=False)


def test_a_video_whose_mirror_image_has_no_class_is_never_mirrored():
    settings = config(splits={"train": {"mode": "train", "views": 40, "crop": "multiscale", "flip": True}})
    free = drawn(settings, "train")[1]
    bound = drawn(settings, "train", video(may_flip=False))[1]
    assert any(crop.flip for crop in free)
    assert bound == [dataclasses.replace(crop, flip=False) for crop in free]
