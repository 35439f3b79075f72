"""``train_image.py`` checks the model before it writes anything. Errors are one line with the sizes that fit."""

import logging

import pytest
import torch
from super_images import write_super_images

import train_image
from shards.layouts import Layout
from superimage.models.build import build_model as build
from superimage.models.forward import forward_on_meta
from superimage.models.windows import built_stages, padded_stages, windows_for_all
from superimage.training.model_input import same_shape

COMMAND = ["--device", "cpu", "--workers", "0", "--epochs", "1", "--batch-size", "4"]


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """3x3 tiles of 64 px: 192x192."""
    return sheets(tmp_path_factory.mktemp("square") / "sheet", Layout(name="s", frames=9, rows=3, columns=3, tile=64))


@pytest.fixture(scope="module")
def oblong(tmp_path_factory):
    """2x4 tiles of 64 px: 128x256."""
    return sheets(tmp_path_factory.mktemp("oblong") / "sheet", Layout(name="o", frames=8, rows=2, columns=4, tile=64))


def sheets(root, layout):
    root.mkdir()
    return write_super_images(root, train=4, validation=2, grid=layout)


def refusal(data, output, capsys, *argv) -> str:
    """The error message, in one line, of a refused run that made no directory."""
    status = train_image.main([*COMMAND, "--data-dir", str(data), "--output", str(output), *argv])
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("train_image: ")]
    assert (status, len(lines)) == (2, 1)
    assert not list(output.iterdir())
    return lines[0]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "halonet_h1",
            "takes no images of 192x192 px (AssertionError: _assert(H % self.block_size == 0, '')); what fits: ",
        ),
        ("crossvit_tiny_240", "takes no images of 192x192 px (RuntimeError: "),
        ("crossvit_tiny_240", "what fits: --img-size 240"),
        ("deepseek_vit_412m", "Input height (192) should be divisible by patch size (14).); what fits: --img-size "),
        ("efficientformer_l1", "what fits: --img-size 210 or --img-size 224"),
        ("vit_small_patch14_dinov2", "ignores the last 10 rows and 10 columns of 192x192 px"),
        ("eva02_tiny_patch14_224", "what fits: --img-size 210 or --img-size 168"),
    ],
)
def test_a_square_super_image_that_the_model_does_not_take(name, message, square, tmp_path, capsys):
    line = refusal(square, tmp_path, capsys, "--model", name)
    assert name in line
    assert message in line


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("convit_tiny", "no size with this aspect ratio was found that fits"),
        ("mvitv2_tiny", "AssertionError: assert feat_size[0] == feat_size[1], at 128x256 px"),
        ("bat_resnext26ts", "what fits: --input-size 3 256 512"),
        ("vit_small_patch14_dinov2", "what fits: --input-size 3 140 280 or --input-size 3 112 224"),
    ],
)
def test_an_oblong_super_image_that_the_model_does_not_take(name, message, oblong, tmp_path, capsys):
    assert message in refusal(oblong, tmp_path, capsys, "--model", name)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("--model", "vgg11", "--grad-checkpointing"), "--grad-checkpointing: vgg11 does not support it"),
        (("--model", "vgg11", "--drop-path", "0.1"), "--drop-path: vgg11 has no such option; leave it out"),
        (("--model", "test_resnet", "--model-kwargs", "nonsense=1"), "the model has no option nonsense"),
    ],
)
def test_an_option_that_the_model_lacks(argv, message, square, tmp_path, capsys):
    assert message in refusal(square, tmp_path, capsys, *argv)


def test_the_sizes_that_are_named_fit(square, tmp_path, capsys):
    """The suggested size works: the same command with it is not refused for the same reason."""
    line = refusal(square, tmp_path, capsys, "--model", "vit_small_patch14_dinov2")
    sizes = [int(part.split()[0].rstrip(".")) for part in line.split("--img-size ")[1:]]
    assert sizes == [210, 168]
    for side in sizes:
        with torch.device("meta"):
            model = build("vit_small_patch14_dinov2", img_size=(side, side), num_classes=2)
        seen = forward_on_meta(model, (side, side))
        assert (seen.dropped, side // 3 % seen.patch[0]) == ((0, 0), 0)


def test_dropped_edges_can_be_permitted_and_are_told(square, tmp_path, caplog):
    """The model trains, with a warning."""
    argv = [
        "--model",
        "vit_tiny_patch16_224",
        "--model-kwargs",
        "patch_size=14",
        "--allow-grid-breaking",
        "--experiment",
        "run",
    ]
    with caplog.at_level(logging.WARNING, "train_image"):
        assert train_image.main([*COMMAND, "--data-dir", str(square), "--output", str(tmp_path), *argv]) == 0
    assert any("ignores the last 10 rows and 10 columns of 192x192 px" in message for message in caplog.messages)


@pytest.mark.parametrize(
    ("name", "size", "patch", "dropped"),
    [
        ("test_vit", (192, 192), (16, 16), (0, 0)),
        ("vit_tiny_patch16_224", (200, 188), (16, 16), (8, 12)),
        ("sequencer2d_s", (192, 192), (7, 7), (3, 3)),
        ("test_convnext", (72, 72), (4, 4), (0, 0)),  # 18, 9, then 4 tokens; neighbors see the last one
        ("test_resnet", (75, 75), None, (0, 0)),
    ],
)
def test_patches_and_what_they_leave_are_seen(name, size, patch, dropped):
    with torch.device("meta"):
        model = build(name, img_size=size, num_classes=3)
    seen = forward_on_meta(model, size)
    assert (seen.patch, seen.dropped) == (patch, dropped)


@pytest.mark.parametrize(
    ("name", "size", "whole"),
    [("vit_tiny_patch16_224", (72, 88), (64, 80)), ("test_convnext", (72, 72), (72, 72))],
)
def test_what_is_said_to_be_dropped_has_no_part_in_the_logits(name, size, whole):
    """Checked by the gradient of the real network: all other pixels have influence."""
    torch.manual_seed(0)
    with torch.device("meta"):
        seen = forward_on_meta(build(name, img_size=size, num_classes=3), size)
    assert tuple(side - lost for side, lost in zip(size, seen.dropped)) == whole
    images = torch.randn(1, 3, *size, requires_grad=True)
    build(name, img_size=size, num_classes=3).eval()(images).square().sum().backward()
    parts = images.grad.abs().sum((0, 1))
    assert (parts > 0).nonzero().amax(0).tolist() == [whole[0] - 1, whole[1] - 1]


def test_a_swin_whose_windows_timm_pads_is_told_of():
    with torch.device("meta"):
        stages = built_stages(build("swin_tiny_patch4_window7_224", img_size=(192, 192)))
    assert padded_stages(stages) == [
        "stage 1: window 7x7, 48x48 tokens",
        "stage 2: window 7x7, 24x24 tokens",
        "stage 3: window 7x7, 12x12 tokens",
    ]
    assert windows_for_all([tokens for tokens, _ in stages]) == [1, 2, 3, 6]


def test_sizes_of_the_same_shape():
    assert same_shape((192, 192), 14, (3, 3)) == [(84, 84), (126, 126), (168, 168), (210, 210), (252, 252), (294, 294)]
    assert same_shape((128, 256), 16, (2, 4)) == [(32, 64), (64, 128), (96, 192), (160, 320), (192, 384), (224, 448)]
