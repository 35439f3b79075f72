"""The trainer's flags for these models: windows, kernels, weights from a file. Errors are one line."""

import subprocess
import sys

import pytest
import timm
import torch
from places import ROOT
from super_images import write_super_images

import eval_video
import train_image
from shards.layouts import Layout
from superimage.models.convert import write_checkpoint
from superimage.models.sifar_resnet import PRESETS as RESNETS
from superimage.models.sifar_swin import PRESETS as SWINS
from superimage.models.uniformer import VARIANTS
from superimage.models.windows import built_stages
from superimage.training.command_line import parse_flags
from superimage.training.flags import GROUPS, check_values
from superimage.training.model import build_model

SWIN = "swin_tiny_patch4_window7_224"


def flags(*argv):
    args, _ = parse_flags(GROUPS, ["--data-dir", "D", *argv], prog="train_image")
    check_values(args)
    return args


def test_the_window_flag_is_for_any_timm_swin():
    args = flags("--model", SWIN, "--input-size", "3", "192", "96", "--window", "6", "6", "6", "global")
    with torch.device("meta"):
        model = build_model(args)
    assert [windows for _, windows in built_stages(model)] == [{(6, 6)}, {(6, 6)}, {(6, 6)}, {(6, 3)}]


def test_the_kernel_flags_are_for_any_timm_resnet():
    args = flags("--model", "resnet10t", "--extra-kernels", "21", "11", "--extra-depthwise")
    with torch.device("meta"):
        model = build_model(args)
    assert [(block.conv2.kernel_size, block.conv2.groups) for block in model.layer4[1:]] == [
        ((21, 21), 128),
        ((11, 11), 128),
    ]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ("--model", SWIN, "--img-size", "224", "--window", "14"),
            "stage 3 does not divide its 14x14|stage 4 does not",
        ),
        (("--model", SWIN, "--img-size", "224", "--window", "7", "7"), "2 windows"),
        (("--model", "test_resnet", "--window", "7"), "ResNet has no attention windows"),
        (("--model", "test_vit", "--extra-kernels", "7"), "need a timm ResNet"),
        (("--model", "test_resnet", "--extra-kernels", "8"), "odd number"),
        (("--model", "uniformer_small", "--pretrained"), "give a file by --pretrained-path"),
    ],
)
def test_what_does_not_fit_is_refused(argv, message):
    with pytest.raises(ValueError, match=message), torch.device("meta"):
        build_model(flags(*argv))


def test_flags_that_would_do_nothing_are_refused(tmp_path):
    (tmp_path / "weights.pth").touch()
    for argv, message in (
        (("--pretrained-path", str(tmp_path / "weights.pth")), "give both"),
        (("--pretrained", "--pretrained-path", "nowhere.pth"), "no such file"),
        (("--initial-checkpoint", "nowhere.pth"), "no such file"),
        (("--extra-depthwise",), "without --extra-kernels"),
    ):
        with pytest.raises(ValueError, match=message):
            flags(*argv)


def test_extra_blocks_begin_from_a_file_that_has_them(tmp_path):
    """Load all weights except the classifier, including the large kernels, as SSV2 starts from Kinetics."""
    small = ("--model", "test_resnet", "--extra-kernels", "5", "--num-classes")
    kinetics = build_model(flags(*small, "9"))
    torch.nn.init.normal_(kinetics.layer4[-1].bn3.weight)
    write_checkpoint({"state_dict": kinetics.state_dict()}, tmp_path / "kinetics.pth")
    begun = build_model(flags(*small, "4", "--pretrained", "--pretrained-path", str(tmp_path / "kinetics.pth")))
    for name, value in kinetics.state_dict().items():
        assert name.startswith("fc.") or torch.equal(begun.state_dict()[name], value), name
    resumed = build_model(flags(*small, "9", "--initial-checkpoint", str(tmp_path / "kinetics.pth")))
    assert all(torch.equal(resumed.state_dict()[name], value) for name, value in kinetics.state_dict().items())


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("sifar_swin_tiny_w6_3x3_96_ape", {"embed_dim": 24, "num_heads": (1, 1, 1, 1), "depths": (1, 1, 1, 1)}),
        ("uniformer_xxs", {"depths": (1, 1, 1, 1)}),
        ("sifar_resnet50_c7", {"layers": (1, 1, 1, 1), "channels": (8, 16, 24, 32)}),
    ],
)
def test_models_of_another_task_begin_from_their_own(name, kwargs, tmp_path):
    source = timm.create_model(name, num_classes=9, **kwargs)
    write_checkpoint({"state_dict": source.state_dict()}, tmp_path / "source.pth")
    argv = ["--model-kwargs", *(f"{key}={value!r}" for key, value in kwargs.items())]
    weights = ["--pretrained", "--pretrained-path", str(tmp_path / "source.pth")]
    begun = build_model(flags("--model", name, "--num-classes", "4", *weights, *argv)).state_dict()
    same = {key for key, value in source.state_dict().items() if torch.equal(begun[key], value) and value.ndim}
    assert {key for key, value in source.state_dict().items() if value.ndim} - same <= {
        *("head.fc.weight", "head.fc.bias", "fc.weight", "fc.bias")
    }


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """2x3 tiles of 32 px."""
    root = tmp_path_factory.mktemp("data") / "grid"
    root.mkdir()
    layout = Layout(name="grid", frames=6, rows=2, columns=3, tile=32)
    return write_super_images(root, train=16, validation=4, grid=layout)


SMALL = [
    "--batch-size",
    "8",
    "--workers",
    "0",
    "--epochs",
    "1",
    "--warmup-epochs",
    "0",
    "--device",
    "cpu",
    "--opt",
    "adamw",
]


@pytest.mark.parametrize(
    "argv",
    [
        ("--model", SWIN, "--window", "4", "4", "2", "global", "--model-kwargs", "embed_dim=12", "depths=(1,1,1,1)"),
        ("--model", "test_resnet", "--extra-kernels", "5", "3"),
        ("--model", "uniformer_xxs", "--model-kwargs", "depths=(1,1,1,1)"),
    ],
)
def test_trained_and_evaluated_by_the_two_commands(argv, data, tmp_path, capsys):
    command = [*argv, *SMALL, "--data-dir", str(data), "--output", str(tmp_path), "--experiment", "run"]
    assert train_image.main(command) == 0, capsys.readouterr().err
    checkpoint = str(tmp_path / "run" / "model_best.pth.tar")
    command = ["--checkpoint", checkpoint, "--data-dir", str(data), "--output", str(tmp_path / "eval")]
    assert eval_video.main([*command, "--workers", "0", "--device", "cpu"]) == 0, capsys.readouterr().err


def test_tiles_of_another_grid_are_refused(data, tmp_path, capsys):
    argv = ["--model", "sifar_swin_tiny_w6_3x3_96_ape", "--model-kwargs", "window_size=1", "grid=(1,3)"]
    command = [*argv, *SMALL, "--data-dir", str(data), "--output", str(tmp_path), "--experiment", "run"]
    assert train_image.main(command) == 2
    assert "1x3" in capsys.readouterr().err


def test_importing_the_package_is_all_that_timm_needs():
    """timm's train.py --device-modules superimage.models imports the models and nothing of video or of shards."""
    code = (
        "import sys, importlib, timm; importlib.import_module('superimage.models'); "
        "names = timm.list_models(['sifar_*', 'uniformer_*']); "
        "print(len(names), sorted({'preprocess', 'shards', 'superimage.training', 'ray', 'av'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == [str(len(SWINS) + len(RESNETS) + 1 + len(VARIANTS)), "[]\n"]
