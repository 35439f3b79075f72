"""The demo: the content of its videos, the files, and the three commands on a few videos."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from conversion import default_interrupts
from PIL import Image
from places import ROOT

from demo import make_videos as maker
from demo import motions

NAMES = list(motions.CLASSES)
PAIRS = list(zip(NAMES[::2], NAMES[1::2]))
SOME = range(12)


def scene_of(class_name: str, number: int) -> motions.Scene:
    return motions.draw_scene(class_name, motions.video_generator(0, f"scene {number}"))


def masks_of(class_name: str, number: int) -> np.ndarray:
    """Mask of the shape, found in the frames: bool (T, H, W)."""
    scene = scene_of(class_name, number)
    difference = motions.render(scene).astype(int) - scene.background
    return np.abs(difference).max(axis=-1) > 40


def centre_of(mask: np.ndarray) -> np.ndarray:
    """(x, y) in px."""
    return np.argwhere(mask)[:, ::-1].mean(axis=0)


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_class_is_its_mirror_played_backwards(pair):
    for number in SOME:
        forwards, backwards = (motions.render(scene_of(name, number)) for name in pair)
        assert not np.array_equal(forwards, backwards)
        np.testing.assert_array_equal(forwards, backwards[::-1])


@pytest.mark.parametrize(("name", "axis", "sign"), [("moves_right", 0, 1), ("moves_up", 1, -1)])
def test_moves_along_one_axis_alone(name, axis, sign):
    for number in SOME:
        masks = masks_of(name, number)
        # The first and the last frame may show only a part of the shape.
        way = centre_of(masks[-2]) - centre_of(masks[1])
        assert sign * way[axis] > 8
        assert abs(way[1 - axis]) < abs(way[axis]) / 2


def test_grows_in_every_frame():
    for number in SOME:
        areas = masks_of("grows", number).sum(axis=(1, 2))
        assert (np.diff(areas) > -3).all()  # a pixel or two of rounding
        assert areas[-1] > 3 * areas[0]


def test_appears_in_every_frame():
    for number in SOME:
        scene = scene_of("appears", number)
        seen = np.abs(motions.render(scene).astype(float) - scene.background).sum(axis=(1, 2, 3))
        assert (np.diff(seen) > 0).all()
        assert seen[-1] > 2 * seen[0]


def test_turns_clockwise_on_the_screen():
    for number in SOME:
        poses, masks = scene_of("turns_clockwise", number).poses, masks_of("turns_clockwise", number)
        step = len(masks) // 8
        assert turn_degrees(masks[0], masks[step], about=tuple(poses[0, :2])) > 0


def turn_degrees(before: np.ndarray, after: np.ndarray, *, about: tuple[float, float]) -> int:
    """The clockwise rotation in -80 .. 80 degrees that maps the first mask best to the second, by Pillow."""
    image = Image.fromarray(before)

    def overlap(degrees: int) -> int:  # Pillow's positive angles are counterclockwise
        return int((np.asarray(image.rotate(-degrees, center=about)) == after).sum())

    return max(range(-80, 81, 5), key=overlap)


def test_shapes_are_seen_against_their_background():
    for number in range(50):
        scene = scene_of("moves_up", number)
        distance = np.linalg.norm(scene.background.mean(axis=(0, 1)) - scene.colour)
        assert distance > 100


def test_an_unknown_class_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"'moves_left_right'.*moves_left.*vanishes"):
        motions.draw_scene("moves_left_right", motions.video_generator(0, "x"))


def test_videos_are_as_many_of_each_class_and_codec():
    videos = list(maker.planned_videos({"train": 6, "validation": 3}))
    assert len({video.name for video in videos}) == len(videos) == 90
    kinds = {(video.split, video.class_name, video.codec.suffix) for video in videos}
    assert len(kinds) == 2 * 10 * 3


def test_drawing_depends_on_seed_and_name_alone():
    first, second = list(maker.planned_videos({"train": 2}))[::10]
    frames, rate = maker.draw_video(first, 0)
    again, same_rate = maker.draw_video(first, 0)
    assert rate == same_rate
    np.testing.assert_array_equal(frames, again)
    for video, seed in ((first, 1), (second, 0)):
        other, _ = maker.draw_video(video, seed)
        assert not np.array_equal(frames, other)


@pytest.mark.parametrize(("number", "codec"), [(0, "h264"), (1, "vp9"), (2, "mpeg4")])
def test_files_hold_the_frames_that_were_drawn(tmp_path, number, codec):
    video = maker.Video(split="train", class_name="turns_clockwise", number=number)
    frames, rate = maker.draw_video(video, 0)
    path = tmp_path / f"video{video.codec.suffix}"
    maker.encode(frames, rate, path, video.codec)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoded = [(frame.pict_type, frame.to_ndarray(format="rgb24")) for frame in container.decode(stream)]
        assert stream.codec_context.name.removeprefix("lib").startswith(codec)
        assert float(stream.average_rate) == pytest.approx(rate, rel=0.01)
    pixels = np.stack([frame for _, frame in decoded])
    assert pixels.shape == frames.shape
    errors = np.abs(pixels[None].astype(int) - frames[:, None]).mean(axis=(2, 3, 4))
    assert errors.argmin(axis=0).tolist() == list(range(len(frames)))  # each is nearest to its own
    assert errors.diagonal().max() < 8
    if codec == "h264":
        assert av.video.frame.PictureType.B in {kind for kind, _ in decoded}


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_any_number_of_processes_makes_the_same_files(tmp_path):
    counts = {"train": 3, "validation": 1}
    assert maker.make_videos(tmp_path / "one", videos_per_class=counts, seed=3, workers=1) == 40
    assert maker.make_videos(tmp_path / "two", videos_per_class=counts, seed=3, workers=2) == 40
    assert digests(tmp_path / "one") == digests(tmp_path / "two")


def test_an_interrupted_run_goes_on(tmp_path):
    counts = {"train": 1}
    maker.make_videos(tmp_path, videos_per_class=counts, seed=0)
    whole = digests(tmp_path)
    lost = tmp_path / "train" / "grows" / "0000.mp4"
    lost.rename(lost.with_name("0000.mp4.part"))
    assert maker.make_videos(tmp_path, videos_per_class=counts, seed=0) == 1
    assert digests(tmp_path) == whole
    assert maker.make_videos(tmp_path, videos_per_class=counts, seed=0) == 0


def test_ctrl_c_ends_in_one_line_and_leaves_whole_files(tmp_path):
    counts = {"train": 12, "validation": 0}
    command = [sys.executable, "-m", "demo", "--output", str(tmp_path), "--train", "12", "--validation", "0"]
    with default_interrupts():
        demo = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.rglob("*.avi")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(demo.pid, signal.SIGINT)
    _, message = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert "run the same command again to continue" in message
    assert "Traceback" not in message
    left = maker.make_videos(tmp_path / "videos", videos_per_class=counts, seed=0)
    assert 0 < left < 120
    assert maker.make_videos(tmp_path / "again", videos_per_class=counts, seed=0) == 120
    assert without_parts(digests(tmp_path / "videos")) == digests(tmp_path / "again")


def without_parts(files: dict[str, str]) -> dict[str, str]:
    return {name: digest for name, digest in files.items() if not name.endswith(".part")}


def test_another_set_is_not_mixed_in(tmp_path, capsys):
    maker.make_videos(tmp_path, videos_per_class={"train": 1, "validation": 0}, seed=0)
    before = digests(tmp_path)
    assert maker.main([str(tmp_path), "--train", "1", "--validation", "0", "--seed", "1"]) == 2
    assert "delete it or choose another" in capsys.readouterr().err
    assert digests(tmp_path) == before


def test_what_ffmpeg_says_is_passed_on(tmp_path):
    codec = maker.Codec(suffix=".mp4", muxer="mp4", options={"vcodec": "no_such_encoder"})
    with pytest.raises(RuntimeError, match=r"could not write .*video\.mp4"):
        maker.encode(np.zeros((2, 16, 16, 3), np.uint8), 10, tmp_path / "video.mp4", codec)
    assert not (tmp_path / "video.mp4").exists()


def run_demo(output: Path, *more: str) -> str:
    command = [sys.executable, "-m", "demo", "--output", str(output), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def top1(output: Path) -> dict[str, float]:
    paths = {order: output / "eval" / order / "results.json" for order in ("normal", "reverse", "random")}
    return {order: json.loads(path.read_text(encoding="utf-8"))["top1"] for order, path in paths.items()}


def test_the_three_commands_from_videos_to_results(tmp_path):
    few = ("--train", "4", "--validation", "2", "--epochs", "1")
    message = run_demo(tmp_path, *few)
    shown = [line for line in message.splitlines() if line.startswith("$ ")]
    for command in ("python -m preprocess --config", "python train_image.py --config", "python eval_video.py"):
        assert any(command in line for line in shown)
    results = json.loads((tmp_path / "eval" / "normal" / "results.json").read_text(encoding="utf-8"))
    assert (results["num_videos"], results["num_classes"], results["order"]) == (20, 10, "normal")
    for name in ("sheet.png", "eval/reverse/confusion.png", "eval/random/predictions.csv", "train/demo/args.yaml"):
        assert (tmp_path / name).stat().st_size > 0
        assert name.startswith("eval/r") or str(tmp_path / name) in message
    for order, value in top1(tmp_path).items():
        assert any(line.split()[:2] == [order, f"{value:.1f}"] for line in message.splitlines())

    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.suffix in (".tar", ".mp4", ".csv")}
    weights = hashlib.sha256((tmp_path / "train" / "demo" / "last.pth.tar").read_bytes()).digest()
    again = run_demo(tmp_path, *few)
    assert "60 videos of 10 classes, 0 made now" in again
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert hashlib.sha256((tmp_path / "train" / "demo" / "last.pth.tar").read_bytes()).digest() == weights


def test_a_step_that_fails_stops_the_demo(tmp_path):
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / maker.STAMP_NAME).write_text(json.dumps({"seed": "another"}), encoding="utf-8")
    command = [sys.executable, "-m", "demo", "--output", str(tmp_path), "--train", "1", "--validation", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "stopped at 'make videos'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "shards").exists()


@pytest.mark.slow
def test_order_is_what_the_classifier_knows(tmp_path):
    run_demo(tmp_path)
    found = top1(tmp_path)
    assert found["normal"] >= 90
    assert found["reverse"] < 10
    assert 35 < found["random"] < 60
