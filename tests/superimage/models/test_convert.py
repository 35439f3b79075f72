"""Conversion of published Swin weights: names are checked by timm's own reader, resizing by algebra."""

import argparse

import pytest
import timm
import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.swin_transformer import checkpoint_filter_fn as timm_filter

from superimage.models.__main__ import main
from superimage.models.convert import convert, read_weights
from superimage.models.sifar_swin import PRESETS, SifarSwin
from superimage.models.swin_weights import TABLE, adapt_swin, resize_table

TINY = {"embed_dim": 24, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 2)}
PRESET = "sifar_swin_tiny_w6_3x3_96"


def microsoft_weights(*, window: int, classes: int, width: int = 24, heads=(1, 2, 2, 2), depths=(2, 2, 2, 2)) -> dict:
    """Random weights with the names and buffers of Microsoft's Swin, which SIFAR uses too."""
    shapes = {"patch_embed.proj.weight": (width, 3, 4, 4), "patch_embed.proj.bias": (width,)}
    shapes |= {f"patch_embed.norm.{leaf}": (width,) for leaf in ("weight", "bias")}
    for stage, (depth, num_heads) in enumerate(zip(depths, heads)):
        dim = width * 2**stage
        for index in range(depth):
            shapes |= block_shapes(f"layers.{stage}.blocks.{index}", dim, num_heads, window)
        if stage + 1 < len(depths):
            shapes[f"layers.{stage}.downsample.reduction.weight"] = (2 * dim, 4 * dim)
            shapes |= {f"layers.{stage}.downsample.norm.{leaf}": (4 * dim,) for leaf in ("weight", "bias")}
    last = width * 2 ** (len(depths) - 1)
    shapes |= {"norm.weight": (last,), "norm.bias": (last,), "head.weight": (classes, last), "head.bias": (classes,)}
    return {name: torch.randn(shape) * 0.1 for name, shape in shapes.items()}


def block_shapes(name: str, dim: int, heads: int, window: int) -> dict:
    linear = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim), "mlp.fc1": (4 * dim, dim), "mlp.fc2": (dim, 4 * dim)}
    shapes = {f"{name}.{part}.weight": shape for part, shape in linear.items()}
    shapes |= {f"{name}.{part}.bias": shape[:1] for part, shape in linear.items()}
    shapes |= {f"{name}.{norm}.{leaf}": (dim,) for norm in ("norm1", "norm2") for leaf in ("weight", "bias")}
    shapes[f"{name}.attn.relative_position_bias_table"] = ((2 * window - 1) ** 2, heads)
    shapes[f"{name}.attn.relative_position_index"] = (window**2, window**2)
    shapes[f"{name}.attn_mask"] = (4, window**2, window**2)
    return shapes


def test_microsofts_names_are_read_as_timm_reads_them():
    """With equal windows no table is resized, so both networks must give the same logits."""
    weights = microsoft_weights(window=3, classes=5)
    ours = SifarSwin(img_size=96, window_size=3, num_classes=5, **TINY).eval()
    theirs = SwinTransformer(img_size=96, window_size=3, num_classes=5, **TINY).eval()
    ours.load_state_dict(adapt_swin({"model": weights}, ours))
    theirs.load_state_dict(timm_filter({"model": weights}, theirs))
    image = torch.randn(2, 3, 96, 96)
    torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=0)


def test_sifars_weights_load_key_by_key():
    """SIFAR's frame_pos_embed has a vector for each tile, including pads (8 frames in 3x3: 9)."""
    weights = {**microsoft_weights(window=3, classes=5), "frame_pos_embed": torch.randn(1, 9, 24)}
    model = SifarSwin(img_size=288, window_size=3, num_classes=5, grid=(3, 3), ape=True, **TINY)
    saved = {f"module.{name}": value for name, value in weights.items()}
    adapted = adapt_swin({"model": saved, "epoch": 29}, model)
    assert adapted.keys() == model.state_dict().keys()
    model.load_state_dict(adapted)
    torch.testing.assert_close(model.patch_embed.frame_pos_embed.data, weights["frame_pos_embed"])
    torch.testing.assert_close(
        model.layers[1].downsample.reduction.weight.data, weights["layers.0.downsample.reduction.weight"]
    )


def test_timms_names_pass_and_windows_are_resized():
    small = SifarSwin(img_size=96, window_size=3, num_classes=5, **TINY)
    large = SifarSwin(img_size=96, window_size=(6, 6, 6, "global"), num_classes=5, **TINY)
    adapted = adapt_swin(small.state_dict(), large)
    large.load_state_dict(adapted)
    for name, value in small.state_dict().items():
        assert name.endswith(TABLE) or torch.equal(adapted[name], value)


def test_a_table_of_the_same_size_is_untouched():
    table = torch.randn(25, 3)
    assert resize_table(table, (5, 5)) is table


def test_resizing_keeps_what_bilinear_interpolation_keeps():
    """A constant stays constant. A slope stays linear, half as steep for twice the points. Heads do not mix."""
    slope = torch.arange(13.0).repeat(13, 1)
    table = torch.stack([torch.full((169,), 4.0), slope.flatten(), slope.T.flatten()], dim=1)
    resized = resize_table(table, (26, 26)).reshape(26, 26, 3)
    torch.testing.assert_close(resized[..., 0], torch.full((26, 26), 4.0))
    torch.testing.assert_close(resized[:, 1:-1, 1].diff(dim=1), torch.full((26, 23), 0.5))
    torch.testing.assert_close(resized[..., 2], resized[..., 1].T)


def test_resizing_to_a_window_that_is_not_square():
    assert resize_table(torch.randn(169, 4), (27, 9)).shape == (243, 4)
    with pytest.raises(ValueError, match="window is not square"):
        resize_table(torch.randn(170, 4), (27, 27))


def test_a_head_of_other_classes_is_left_out():
    model = SifarSwin(img_size=96, window_size=3, num_classes=7, **TINY)
    adapted = adapt_swin(microsoft_weights(window=3, classes=5), model)
    assert {name for name in model.state_dict() if name not in adapted} == {"head.fc.weight", "head.fc.bias"}


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "tiles"])
def test_weights_of_another_network_are_refused(change):
    weights = microsoft_weights(window=3, classes=5)
    if change == "missing":
        del weights["layers.2.blocks.1.mlp.fc2.bias"]
    elif change == "unknown":
        weights["layers.3.blocks.2.norm1.bias"] = torch.zeros(192)
    elif change == "shape":
        weights["norm.bias"] = torch.zeros(3)
    else:
        weights["frame_pos_embed"] = torch.zeros(1, 9, 24)
    named = {"missing": "layers.2.blocks.1.mlp", "unknown": "layers.3.blocks.2", "shape": "norm.bias", "tiles": "_ape"}
    with pytest.raises(ValueError, match=named[change]):
        adapt_swin(weights, SifarSwin(img_size=96, window_size=3, num_classes=5, **TINY))


@pytest.fixture(scope="module")
def swin_tiny(tmp_path_factory):
    """A file like Microsoft's swin_tiny_patch4_window7_224_22k, with flags in it as in SIFAR's files."""
    path = tmp_path_factory.mktemp("weights") / "swin_tiny.pth"
    weights = microsoft_weights(window=7, classes=6, width=96, heads=(3, 6, 12, 24), depths=(2, 2, 6, 2))
    torch.save({"model": weights, "args": argparse.Namespace(lr=1e-4)}, path)
    return path


def test_the_command_converts_and_timm_takes_the_file(swin_tiny, tmp_path, capsys):
    output = tmp_path / "new" / "converted.pth"
    assert main(["convert", str(swin_tiny), "--model", PRESET, "--output", str(output)]) == 0
    assert "resized bilinearly" in capsys.readouterr().out
    # as timm's train.py does for --pretrained --pretrained-path
    overlay = {"file": str(output), "num_classes": -1}
    model = timm.create_model(PRESET, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=4)
    source = read_weights(swin_tiny)
    assert torch.equal(model.layers[3].downsample.reduction.weight, source["layers.2.downsample.reduction.weight"])
    table = model.layers[3].blocks[0].attn.relative_position_bias_table
    expected = resize_table(source["layers.3.blocks.0.attn.relative_position_bias_table"], (17, 17))
    torch.testing.assert_close(table.data, expected)


def test_a_head_that_is_kept_makes_a_checkpoint_to_evaluate(swin_tiny, tmp_path):
    lines = convert(swin_tiny, tmp_path / "kept.pth", PRESET, keep_head=True)
    assert "kept, 6 classes" in lines[-1]
    model = timm.create_model(PRESET, num_classes=6, checkpoint_path=str(tmp_path / "kept.pth"))
    assert torch.equal(model.head.fc.weight, read_weights(swin_tiny)["head.weight"])


def test_any_timm_swin_is_a_target(swin_tiny, tmp_path):
    arguments = [
        "--model",
        "swin_tiny_patch4_window7_224",
        "--img-size",
        "96",
        "192",
        "--window",
        "6",
        "6",
        "6",
        "global",
    ]
    output = tmp_path / "converted.pth"
    assert main(["convert", str(swin_tiny), *arguments, "--output", str(output)]) == 0
    saved = read_weights(output)
    assert len(saved["layers.3.blocks.0.attn.relative_position_bias_table"]) == (2 * 3 - 1) * (2 * 6 - 1)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(content, tmp_path, capsys):
    (tmp_path / "bad.pth").write_bytes(content)
    status = main(["convert", str(tmp_path / "bad.pth"), "--model", PRESET, "--output", str(tmp_path / "out.pth")])
    assert status == 2
    error = capsys.readouterr().err
    assert "bad.pth" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out.pth").exists()


def test_a_target_that_no_one_converts_to_is_refused(swin_tiny, tmp_path):
    with pytest.raises(ValueError, match="ConvNeXt: only weights of"):
        convert(swin_tiny, tmp_path / "out.pth", "test_convnext")


@pytest.mark.parametrize("name", ["resnet26", "sifar_resnet50"])
def test_sifars_cnn_is_converted_with_its_classifier(name, tmp_path, capsys):
    """SIFAR's code has timm's ResNet in ``backbone``, with an unused classifier, and its own ``head``."""
    small = {"layers": (1, 1, 1, 1), "channels": (8, 16, 24, 32)} if name.startswith("sifar") else {}
    theirs = timm.create_model(name, num_classes=6, **small).eval()
    state = {f"backbone.{key}": value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    state |= {f"head.{leaf}": theirs.state_dict()[f"fc.{leaf}"] for leaf in ("weight", "bias")}
    state |= {"backbone.fc.weight": torch.zeros(1000, theirs.num_features), "backbone.fc.bias": torch.zeros(1000)}
    torch.save({"model": state}, tmp_path / "sifar.pth")
    convert(tmp_path / "sifar.pth", tmp_path / "ours.pth", name, keep_head=True, **small)
    ours = timm.create_model(name, num_classes=6, checkpoint_path=str(tmp_path / "ours.pth"), **small).eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=0)
    started = timm.create_model(
        name, num_classes=4, pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / "ours.pth")}, **small
    )
    assert torch.equal(started.conv1.weight, theirs.conv1.weight)


def test_another_resnets_weights_are_refused(tmp_path, capsys):
    state = timm.create_model("resnet26", num_classes=0).state_dict()
    torch.save({f"backbone.{key}": value for key, value in state.items()}, tmp_path / "sifar.pth")
    argv = ["convert", str(tmp_path / "sifar.pth"), "--model", "sifar_resnet50", "--output", str(tmp_path / "x.pth")]
    assert main(argv) == 2
    assert "does not fit sifar_resnet50" in capsys.readouterr().err


def test_models_of_384_px_start_from_the_published_model_of_384_px():
    """As SIFAR's code: sifar_base_patch4_window12_384 starts from swin_base_patch4_window12_384_22k."""
    for name, preset in PRESETS.items():
        published = timm.models.get_pretrained_cfg(f"{name}.ms_in22k")
        tile = preset["img_size"][0] // preset["grid"][0]
        assert ("window12_384_22k" if tile == 384 else "window7_224_22k") in published.url, name
        assert ("window12_384" if tile == 384 else "window7_224") in published.hf_hub_id, name


def test_tables_of_window_12_are_resized_for_the_global_window():
    """Only the last stage is resized, since the others have the published window 12."""
    theirs = timm.create_model("swin_tiny_patch4_window7_224", img_size=384, window_size=12, num_classes=0, **TINY)
    ours = SifarSwin(img_size=1152, window_size=(12, 12, 12, "global"), num_classes=0, **TINY)
    adapted = adapt_swin(theirs.state_dict(), ours)
    for name, table in theirs.state_dict().items():
        if name.endswith(TABLE) and not name.startswith("layers.3"):
            assert torch.equal(adapted[name], table)
    assert len(adapted[f"layers.3.blocks.0.attn.{TABLE}"]) == 71 * 71
