"""The papers' settings by name, the ready configurations, and the commands that list and show them."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from media import frame_number, h264
from PIL import Image
from places import ROOT

from preprocess.__main__ import main
from preprocess.annotations import FORMATS
from preprocess.annotations.dataset import Video
from preprocess.config.presets import PRESETS
from preprocess.config.schema import config_from, load_config
from preprocess.worker.messages import Job
from preprocess.worker.video import make_samples
from shards.configurations import KINDS, shipped_configurations
from shards.layouts import ORDERS

CONFIGS = ROOT / "configs" / "preprocess"
# frames, rows, columns, tile: SIFAR Tables 1 and 8, Flatten Tables 1 and 2, STAM Table 3
PAPERS = {
    "sifar-3x3": (8, 3, 3, 224),
    "sifar-4x4": (16, 4, 4, 224),
    "sifar-1x8": (8, 1, 8, 192),
    "sifar-2x4": (8, 2, 4, 192),
    "sifar-2x4-columns": (8, 2, 4, 192),
    "flatten-row-4x4": (16, 4, 4, 160),
    "flatten-nested-4x4": (16, 4, 4, 160),
    "flatten-random-4x4": (16, 4, 4, 160),
    "flatten-row-3x3": (9, 3, 3, 160),
    "stam-16": (16, 4, 4, 224),
}


@pytest.fixture(scope="module")
def all_presets():
    values = {
        "annotations": {"format": "folder"},
        "layouts": list(PRESETS),
        "splits": {"train": {"mode": "train", "crop": "center"}},
    }
    return config_from(values, "test")


@pytest.fixture(scope="module")
def sheets(all_presets, tmp_path_factory):
    """{preset: (numbers that the tiles show, indices in the sidecar, rows, columns, tile)} of a video of 10.2 s."""
    path = h264(tmp_path_factory.mktemp("presets") / "numbered.mp4", 255, width=128, height=128)
    job = Job(config=all_presets, source=str(path.parent), output="unused", class_names=("a",), digest="d")
    converted = make_samples(job, "train", Video(key="v", path=path.name, labels=(0,)))
    assert converted.failure is None
    return {layout: tiles_of(sample, all_presets.layouts[layout]) for (layout, _), sample in converted.samples.items()}


def tiles_of(sample, layout):
    image = np.asarray(Image.open(io.BytesIO(sample.image)).convert("RGB"))
    tile = layout.tile
    rows, columns = image.shape[0] // tile, image.shape[1] // tile
    cells = [image[r * tile : (r + 1) * tile, c * tile : (c + 1) * tile] for r in range(rows) for c in range(columns)]
    numbers = [frame_number(cell) for cell in cells[: layout.frames]]
    return numbers, sample.metadata["frames"], rows, columns, tile


# The position in time of each cell, row by row: SIFAR Table 8, Flatten equations 5 to 10. Others are row by row.
CELLS = {
    "sifar-2x4-columns": [0, 2, 4, 6, 1, 3, 5, 7],
    "flatten-nested-4x4": [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15],
}


@pytest.mark.parametrize("name", PAPERS)
def test_a_preset_makes_the_sheet_of_its_paper(name, sheets):
    numbers, indices, rows, columns, tile = sheets[name]
    assert (len(indices), rows, columns, tile) == PAPERS[name]
    if name == "flatten-random-4x4":
        assert sorted(numbers) == indices != numbers
    else:
        assert numbers == [indices[position] for position in CELLS.get(name, range(len(indices)))]


def test_a_preset_draws_frames_as_the_papers_code_does(sheets):
    """SIFAR's code draws one offset for all segments (255 // 8 = 31 frames apart); STAM takes 1.6 frames a second."""
    assert set(np.diff(sheets["sifar-3x3"][1])) == {31}
    assert set(np.diff(sheets["stam-16"][1])) == {15, 16}  # at 25 frames a second


def test_there_is_a_sheet_of_every_preset(sheets):
    assert sheets.keys() == PRESETS.keys()


def test_what_is_given_stands_before_the_preset_and_that_before_the_common_sampling():
    values = {
        "annotations": {"format": "folder"},
        "sampling": {"strategy": "dense", "stride_frames": 4},
        "layouts": {
            "own": {"preset": "sifar-3x3", "tile": 96, "sampling": {"strategy": "uniform"}},
            "sifar-3x3": None,
            "flatten-row-4x4": {"preset": "flatten-row-4x4"},
        },
        "splits": {"train": {"mode": "train"}},
    }
    config = config_from(values, "test")
    assert (config.layouts["own"].tile, config.layouts["own"].frames) == (96, 8)
    samplings = {name: (sampling.strategy, sampling.offset) for name, sampling in config.layout_sampling.items()}
    assert samplings == {
        "own": ("uniform", "independent"),
        "sifar-3x3": ("uniform", "shared"),
        "flatten-row-4x4": ("dense", "independent"),
    }


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ready_configuration_loads_and_opens_with_its_command_and_source(path):
    config = load_config(path)
    comment = " ".join(
        line.lstrip("# ") for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")
    )
    assert f"python -m preprocess --config configs/preprocess/{path.name} --source DIR --output DIR" in comment
    assert re.search(r"Tables? \d|Fig\. \d|no table|SIFAR [34]|Xie et al\.|Multi-Moments", comment)
    assert set(config.splits) == {"train", "validation"}
    assert config.notes == ()


def test_there_is_a_ready_configuration_for_every_format():
    formats = {load_config(path).annotations.format_name for path in CONFIGS.glob("*.yaml")}
    assert formats == set(FORMATS)


def test_flip_maps_of_the_ready_configurations_name_real_classes(shared):
    maps = shared / "annotations" / "mmaction2_label_maps"
    for name, label_map in (("ssv2_sifar", "sthv2"), ("ssv1_sifar", "sthv1"), ("jester_sifar", "jester")):
        classes = set((maps / f"{label_map}_label_map.txt").read_text(encoding="utf-8").splitlines())
        pairs = load_config(CONFIGS / f"{name}.yaml").flip_labels
        named = {*pairs, *pairs.values()}
        assert named <= classes
        sided = {line for line in classes if re.search(r"\b(left|right|(counter)?clockwise)\b", line, re.IGNORECASE)}
        # "pulling it right out" is no side
        assert {line for line in sided if "right out" not in line} == named


def test_list_names_every_format_preset_and_configuration(capsys):
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in (*FORMATS, *PRESETS):
        assert any(line.split()[:1] == [name] for line in lines)
    shipped = [name for kind in KINDS for name in shipped_configurations(kind)]
    assert all(name in [line.split()[0] for line in lines] for name in shipped)
    assert len(lines) == len(FORMATS) + len(PRESETS) + 2 + len(shipped) + len(KINDS)


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ([], "--source, --output"),
        (["--source", "a"], "--output"),
        (["--config", "c", "--dry-run"], "--source, --output"),
    ],
)
def test_arguments_that_are_missing_are_named(arguments, missing, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert f"{missing} must be given" in capsys.readouterr().err


def test_inspect_writes_every_layout_and_view_and_prints_what_they_show(tmp_path, capsys):
    video = h264(tmp_path / "numbered.mp4")
    config = tmp_path / "config.yaml"
    config.write_text(
        "annotations: {format: folder}\n"
        "layouts: {a: {frames: 4, tile: 64}, b: {frames: 8, tile: 64, grid: 2x4, order: reverse}}\n"
        "splits:\n  train: {mode: train, views: 2, flip: on}\n  validation: {mode: test, crops: 3}\n",
        encoding="utf-8",
    )
    assert main(["--config", str(config), "--inspect", str(video), "--output", str(tmp_path / "out")]) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    views = [*(f"train-v0{view}" for view in range(2)), *(f"validation-v0{view}" for view in range(3))]
    assert names == {f"{layout}-{view}.png" for layout in "ab" for view in views}
    out = capsys.readouterr().out
    assert "40 frames" in out
    assert "frames 5 15 25 35; seconds" in out
    with Image.open(tmp_path / "out" / "b-validation-v00.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape[1] == 4 * 64
    assert (pixels[2 * 64 :] == (255, 220, 0)).all(-1).any()  # the crop's box


def test_inspect_of_what_is_no_video_is_a_message(tmp_path, capsys):
    (tmp_path / "text.mp4").write_text("hello", encoding="utf-8")
    arguments = ["--config", str(CONFIGS / "folder.yaml"), "--inspect", str(tmp_path / "text.mp4")]
    assert main([*arguments, "--output", str(tmp_path)]) == 2
    assert "not a video" in capsys.readouterr().err


def test_every_order_and_pad_has_its_picture():
    docs = CONFIGS.parents[1] / "docs"
    page = (docs / "layouts.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^]]*\]\((\S+)\)", page)
    assert all(0 < (docs / picture).stat().st_size < 150_000 for picture in pictures)
    for order in ORDERS:
        assert any(Path(picture).name.startswith(f"{order}-") for picture in pictures)
    assert {f"pictures/pad-{pad}.png" for pad in ("black", "last")} <= set(pictures)
