"""``--inspect`` shows what a conversion takes: the same frames of the same segment, by the same rules."""

import numpy as np
import pytest
import yaml
from conversion import command
from media import h264, numbered_frames
from PIL import Image

from preprocess.__main__ import main
from shards.read import iter_samples

CONFIG = {
    "annotations": {
        "format": "csv",
        "lists": {"train": "train.csv"},
        "start_column": "start",
        "end_column": "end",
        "videos": "videos",
    },
    "layouts": {"grid": {"frames": 4, "tile": 32, "sampling": {"strategy": "uniform"}}},
    "splits": {"train": {"mode": "train", "views": 2, "crop": "multiscale"}},
}


@pytest.fixture
def segments(tmp_path):
    """Two segments of one file, and its configuration."""
    (tmp_path / "source" / "videos").mkdir(parents=True)
    h264(tmp_path / "source" / "videos" / "long.mp4", 100)
    rows = "path,label,start,end\nlong.mp4,a,0.4,1.2\nlong.mp4,b,2,3.2\n"
    (tmp_path / "source" / "train.csv").write_text(rows, encoding="utf-8")
    return tmp_path / "source"


@pytest.mark.usefixtures("local_ray")
def test_the_frames_are_those_of_the_conversion(segments, tmp_path, capsys):
    arguments = command(tmp_path, segments, tmp_path / "out", changes={**CONFIG, "encoding": {"format": "png"}})
    assert main(arguments) == 0
    samples = [sample for tar in (tmp_path / "out" / "grid").glob("*.tar") for sample in iter_samples(tar)]
    capsys.readouterr()
    video = segments / "videos" / "long.mp4"
    options = ["--config", arguments[1], "--source", str(segments), "--output", str(tmp_path / "look")]
    assert main([*options, "--inspect", str(video)]) == 0
    out = capsys.readouterr().out
    assert len(samples) == 4
    for sample in samples:
        meta = sample.metadata
        name = f"grid-train-{meta['video']}-v{meta['view']:02d}.png"
        (line,) = [line for line in out.splitlines() if name in line]
        assert f"frames {' '.join(map(str, meta['frames']))};" in line
        assert (tmp_path / "look" / name).exists()
    assert "stream 0: video, h264, 96x64, default: taken" in out


def inspect(tmp_path, path, **changes):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "annotations": {"format": "folder"}, **changes}), encoding="utf-8")
    return main(["--config", str(config), "--inspect", str(path), "--output", str(tmp_path / "look")])


def test_a_folder_of_frames_has_the_rate_of_the_configuration(tmp_path, capsys):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, frame in enumerate(numbered_frames(11)):
        Image.fromarray(frame).save(folder / f"{number:05d}.png")
    annotations = {**CONFIG["annotations"], "frame_rate": 5}
    assert inspect(tmp_path, folder, annotations=annotations) == 0
    assert "11 frames in 2.00 s, 5.00 a second" in capsys.readouterr().out


def test_a_picture_that_is_too_large_is_refused_as_in_a_conversion(tmp_path, capsys):
    assert inspect(tmp_path, h264(tmp_path / "a.mp4", 5), max_pixels=96 * 64 - 1) == 2
    assert "picture too large" in capsys.readouterr().err


def test_the_pixels_are_square_if_they_are_in_a_conversion(tmp_path, capsys):
    path = h264(tmp_path / "wide.mp4", 8, filters="setsar=2")
    layouts = {"one": {"frames": 1, "tile": 32}}
    test = {"train": {"mode": "test"}}
    assert inspect(tmp_path, path, square_pixels=True, layouts=layouts, splits=test) == 0
    assert "crop 64x64 at 64,0" in capsys.readouterr().out


def test_an_error_names_the_file(tmp_path, capsys):
    path = h264(tmp_path / "damaged.mp4", 20, movflags="faststart")
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    content[start:] = np.random.default_rng(0).integers(0, 256, len(content) - start, np.uint8).tobytes()
    path.write_bytes(content)
    assert inspect(tmp_path, path, decoder="pyav") == 2
    assert str(path) in capsys.readouterr().err
