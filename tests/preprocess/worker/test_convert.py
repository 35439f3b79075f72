"""A whole conversion on real Ray: what comes out, twice the same, resumed, refused, and left out with a reason."""

import json
import shutil
from collections import Counter

import numpy as np
import pytest
from conversion import CONFIG, command, hashes
from media import frame_number, h264, sound_only
from timm.data import create_dataset

from preprocess.__main__ import main
from shards.check import check_directory
from shards.format import read_manifest
from shards.layouts import untile
from shards.read import decode_array, iter_samples
from shards.records import read_all_records

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture(scope="module")
def converted(video_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted")
    assert main(command(folder, video_folder, folder / "out")) == 0
    return folder / "out"


def test_both_layouts_are_sound_and_whole(converted):
    for layout in CONFIG["layouts"]:
        report = check_directory(converted / layout)
        assert report.problems == []
        assert report.samples == 12 * 2 + 6 * 3
        splits = read_manifest(converted / layout).splits
        assert {name: split.num_samples for name, split in splits.items()} == {
            **{"train": 24, "train_v00": 12, "train_v01": 12},
            **{"validation": 18, "validation_v00": 6, "validation_v01": 6, "validation_v02": 6},
        }


def test_the_tiles_are_the_frames_that_the_sidecar_names(converted):
    """PNG keeps the bars; a center crop of 96x64 or 112x64 cuts off the outer ones, so the numbers are scaled back."""
    manifest = read_manifest(converted / "grid")
    seen = Counter()
    for name in manifest.split("train").filenames:
        for sample in iter_samples(converted / "grid" / name):
            meta = sample.metadata
            frames = untile(decode_array(sample, name), manifest.layout, meta["order"])
            left, _, width, _ = meta["crop"]
            full_width = {True: 112, False: 96}[abs(2 * left + width - 112) < 1]
            for frame, index in zip(frames, meta["frames"]):
                canvas = np.zeros((48, round(full_width * 48 / width), 3), np.uint8)
                start = round(left * 48 / width)
                canvas[:, start : start + 48] = frame
                visible = [bit for bit in range(8) if left < full_width * (bit + 0.5) / 8 < left + width]
                mask = sum(1 << bit for bit in visible)
                assert frame_number(canvas) & mask == index & mask
            seen[meta["video"]] += 1
    assert set(seen.values()) == {2}
    assert len(seen) == 12


def test_timm_reads_the_directory_as_it_is(converted):
    dataset = create_dataset("wds/any", root=str(converted / "grid"), split="validation")
    manifest = read_manifest(converted / "grid")
    expected = [s for name in manifest.split("validation").filenames for s in iter_samples(converted / "grid" / name)]
    got = list(dataset)
    assert len(got) == len(dataset) == 18
    for (image, label), sample in zip(got, expected):
        assert label == sample.label
        np.testing.assert_array_equal(np.asarray(image), decode_array(sample, "x"))


def test_the_manifest_tells_class_names_and_configuration(converted):
    manifest = read_manifest(converted / "strip")
    assert manifest.class_names == ["left", "right"]
    assert manifest.num_views == {"train": 2, "validation": 3}
    assert manifest.image_size == (32, 128)
    assert manifest.superimage["configuration"]["seed"] == 3
    assert "libavcodec" in manifest.superimage["versions"]["pyav"]


@pytest.mark.parametrize("workers", [1, 3])
def test_any_number_of_workers_gives_the_same_bytes(workers, converted, video_folder, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(video_folder, moved)
    assert main(command(tmp_path, moved, tmp_path / "out", workers=workers)) == 0
    assert hashes(tmp_path / "out") == hashes(converted)


def test_a_second_run_does_nothing(converted, video_folder, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in converted.rglob("*.tar")}
    assert main(command(tmp_path, video_folder, converted)) == 0
    assert {path: path.stat().st_mtime_ns for path in converted.rglob("*.tar")} == before


def test_a_lost_shard_alone_is_made_again(converted, video_folder, tmp_path):
    output = tmp_path / "out"
    shutil.copytree(converted, output)
    (output / "grid" / "train-v01-000001.tar").unlink()
    before = hashes(converted)
    others = {path: path.stat().st_mtime_ns for path in output.rglob("*.tar") if "train" not in path.name}
    assert main(command(tmp_path, video_folder, output)) == 0
    assert hashes(output) == before
    assert check_directory(output / "grid").problems == []
    assert {path: path.stat().st_mtime_ns for path in others} == others


def test_another_configuration_is_refused_and_the_difference_shown(converted, video_folder, tmp_path, capsys):
    before = hashes(converted)
    assert main(command(tmp_path, video_folder, converted, changes={"seed": 4})) == 2
    error = capsys.readouterr().err
    assert "another conversion" in error
    assert "seed: 3 there, 4 now" in error
    assert hashes(converted) == before


def test_other_videos_in_the_same_output_are_refused(converted, video_folder, tmp_path, capsys):
    more = tmp_path / "more"
    shutil.copytree(video_folder, more)
    h264(more / "train" / "left" / "new.mp4", 10)
    assert main(command(tmp_path, more, converted)) == 2
    error = capsys.readouterr().err
    assert "videos of train: 12 there, 13 now: 1 came (left_new)" in error
    assert "delete" not in error


def test_a_directory_that_is_not_ours_is_left_alone(video_folder, tmp_path, capsys):
    (tmp_path / "out" / "grid").mkdir(parents=True)
    (tmp_path / "out" / "grid" / "thesis.txt").write_text("precious", encoding="utf-8")
    assert main(command(tmp_path, video_folder, tmp_path / "out")) == 2
    assert "holds no conversion" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out" / "grid").iterdir()] == ["thesis.txt"]


@pytest.fixture
def spoilt(video_folder, tmp_path):
    """The data set with four broken training videos among twelve sound ones, and one that ends too early."""
    source = tmp_path / "spoilt"
    shutil.copytree(video_folder, source)
    folder = source / "train" / "left"
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("this is a text\n" * 40, encoding="utf-8")
    sound_only(folder / "sound.mp4")
    h264(folder / "single.mp4", 1)
    return source


def test_broken_videos_are_left_out_with_their_reason(spoilt, tmp_path, capsys):
    assert main(command(tmp_path, spoilt, tmp_path / "out", changes={"max_failures": 0.2})) == 0
    text = capsys.readouterr()
    assert "19 of 22 videos: 3 failed, 0 missing" in text.out
    for reason in ("empty file", "not a video", "no video stream"):
        assert f"1 videos left out: {reason}" in text.err
    records = read_all_records(tmp_path / "out" / "grid")
    failures = {f.path: f.reason for record in records for f in record.failures}
    assert failures == {
        "train/left/empty.mp4": "empty file",
        "train/left/text.mp4": "not a video",
        "train/left/sound.mp4": "no video stream",
    }
    report = check_directory(tmp_path / "out" / "grid")
    assert report.problems == []
    assert report.samples == 13 * 2 + 6 * 3
    assert report.failures == Counter(failures.values())
    singles = [
        sample.metadata
        for name in read_manifest(tmp_path / "out" / "grid").split("train").filenames
        for sample in iter_samples(tmp_path / "out" / "grid" / name)
        if sample.metadata["path"].endswith("single.mp4")
    ]
    assert [meta["frames"] for meta in singles] == [[0] * 8] * 2


def test_too_many_failures_end_the_job_and_a_higher_limit_goes_on(spoilt, tmp_path, capsys):
    assert main(command(tmp_path, spoilt, tmp_path / "out")) == 1
    assert "--set max_failures=SHARE" in capsys.readouterr().err
    assert not (tmp_path / "out" / "grid" / "_info.json").exists()
    assert main([*command(tmp_path, spoilt, tmp_path / "out"), "--set", "max_failures=0.5"]) == 0
    assert check_directory(tmp_path / "out" / "grid").problems == []


def test_a_truncated_video_falls_back_to_ffmpeg(video_folder, tmp_path):
    source = tmp_path / "cut"
    shutil.copytree(video_folder, source)
    whole = h264(tmp_path / "whole.mp4", 120, movflags="faststart", width=160, height=128).read_bytes()
    (source / "train" / "left" / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    assert main(command(tmp_path, source, tmp_path / "out")) == 0
    decoders = Counter(
        (sample.metadata["decoder"], sample.metadata["path"].endswith("cut.mp4"))
        for name in read_manifest(tmp_path / "out" / "grid").split("train_v00").filenames
        for sample in iter_samples(tmp_path / "out" / "grid" / name)
    )
    assert decoders == {("pyav", False): 12, ("ffmpeg", True): 1}


MISTAKES = {
    "no such source": ({}, "nowhere", "no such directory"),
    "an unknown key": ({"layuots": {}}, None, "unknown key 'layuots'; did you mean 'layouts'?"),
    "an unknown split": ({"splits": {"test": {"mode": "test"}}}, None, "split 'test' of the configuration"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_nothing_is_written(mistake, video_folder, tmp_path, capsys):
    changes, source, message = MISTAKES[mistake]
    source = tmp_path / source if source else video_folder
    assert main(command(tmp_path, source, tmp_path / "out", changes=changes)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("preprocess: ")
    assert message in error
    assert not (tmp_path / "out").exists()


def test_a_listed_video_that_is_missing_is_counted(tmp_path, capsys):
    source = tmp_path / "ucf"
    (source / "lists").mkdir(parents=True)
    (source / "lists" / "classInd.txt").write_bytes(b"1 A\r\n2 B\r\n")
    (source / "lists" / "trainlist01.txt").write_bytes(b"A/v_A_g01_c01.avi 1\r\nB/v_B_g01_c01.avi 2\r\n")
    (source / "lists" / "testlist01.txt").write_bytes(b"A/v_A_g02_c01.avi\r\n")
    for name in ("A/v_A_g01_c01.avi", "A/v_A_g02_c01.avi"):
        path = source / "UCF-101" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        h264(path, 12)
    changes = {"annotations": {"format": "ucf101", "lists": "lists"}}
    assert main(command(tmp_path, source, tmp_path / "out", changes=changes)) == 0
    text = capsys.readouterr()
    assert "2 of 3 videos: 0 failed, 1 missing" in text.out
    assert "v_B_g01_c01.avi (listed at" in text.err
    assert json.loads((tmp_path / "out" / "grid" / "_info.json").read_text(encoding="utf-8"))["superimage"][
        "class_names"
    ] == ["A", "B"]


def test_a_file_name_of_the_greatest_length_is_converted(video_folder, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(video_folder, source)
    for name in ("left", "right"):
        (old,) = (source / "train" / name).glob("*0.mp4")
        old.rename(old.with_name("x" * 251 + ".mp4"))
    assert main(command(tmp_path, source, tmp_path / "out")) == 0
    assert check_directory(tmp_path / "out" / "grid").problems == []


def test_no_failure_is_allowed_where_max_failures_is_0(video_folder, tmp_path, capsys):
    source = tmp_path / "source"
    shutil.copytree(video_folder, source)
    (source / "train" / "left" / "empty.mp4").write_bytes(b"")
    assert main(command(tmp_path, source, tmp_path / "out", changes={"max_failures": 0})) == 1
    assert "1 of 19 videos failed, and max_failures allows 0" in capsys.readouterr().err
    assert main(command(tmp_path, source, tmp_path / "small", changes={"max_failures": 0.001})) == 0


def test_a_report_that_cannot_be_written_is_a_warning(video_folder, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").mkdir()
    assert main(command(tmp_path, video_folder, tmp_path / "out")) == 0
    printed = capsys.readouterr()
    assert "warning: the report could not be written" in printed.err
    assert str(tmp_path / "out" / "grid") in printed.out
    assert check_directory(tmp_path / "out" / "grid").problems == []
