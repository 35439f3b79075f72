"""SIFAR's Swin compared with timm's: equal for equal windows; windows that timm would change are refused."""

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st

from shards.layouts import Layout, tile
from superimage import models
from superimage.models.sifar_swin import PRESETS, SifarSwin, TilePatchEmbed
from superimage.models.windows import GLOBAL, built_stages, halving_stages, stage_windows, verify_windows

TINY = {"embed_dim": 24, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 2, 2), "num_classes": 7}


def tiny_swin(**kwargs) -> SifarSwin:
    return SifarSwin(**{**TINY, "img_size": (96, 192), "window_size": (4, 4, 2, GLOBAL), **kwargs}).eval()


def test_each_stage_has_the_papers_windows():
    """SIFAR Table 1."""
    windows = {
        "base_w7_3x3_224": (7, 7, 7, 7),
        "base_w12_3x3_192": (12, 12, 12, 18),
        "base_w14_3x3_224": (14, 14, 14, 21),
        "base_w12_4x4_192": (12, 12, 12, 24),
        "base_w14_4x4_224": (14, 14, 14, 28),
        "base_w12_3x3_384": (12, 12, 12, 36),
    }
    for preset, expected in windows.items():
        with torch.device("meta"):
            built = built_stages(timm.create_model(f"sifar_swin_{preset}"))
        assert [stage_windows for _, stage_windows in built] == [{(side, side)} for side in expected]


def test_logits_are_timms_with_the_same_weights():
    ours = tiny_swin()
    theirs = timm.models.SwinTransformer(
        img_size=(96, 192), window_size=((4, 4), (4, 4), (2, 2), (3, 6)), **TINY
    ).eval()
    theirs.load_state_dict(ours.state_dict())
    image = torch.randn(2, 3, 96, 192)
    torch.testing.assert_close(ours(image), theirs(image), rtol=0, atol=0)


def test_a_global_window_joins_tiles_that_small_windows_keep_apart():
    """A change in one corner reaches the opposite corner only in the last stage."""
    image = torch.randn(1, 3, 96, 96)
    changed = image.clone()
    changed[..., :4, :4] += 1
    reached = {}
    for last in (1, GLOBAL):
        model = tiny_swin(img_size=96, window_size=(1, 1, 1, last))
        with torch.no_grad():
            difference = model.forward_features(image) - model.forward_features(changed)
        reached[last] = bool(difference[0, -1, -1].abs().max() > 0)
    assert reached == {1: False, GLOBAL: True}


STRIP = {"img_size": (96, 384), "grid": (1, 4)}  # stages of 24x96, 12x48, 6x24 and 3x12 tokens


def test_square_windows_are_those_of_sifars_code_on_a_strip():
    """SIFAR's rule: if the shorter side is at most the window, the window is that side, without a shift."""
    window, expected = 6, []
    for tokens in halving_stages(STRIP["img_size"]):
        alone = min(tokens) <= window
        side = min(tokens) if alone else window
        expected.append([((side, side), (0, 0)), ((side, side), (0, 0) if alone else (side // 2, side // 2))])
    strip = tiny_swin(**STRIP, window_size=(6, 6, "square", "square"))
    resized = tiny_swin(img_size=(192, 768), grid=(1, 4), window_size=(6, 6, 6, 6))
    resized.set_input_size(STRIP["img_size"], window_size=(6, 6, "square", "square"))
    timms = models.build_model(
        "swin_tiny_patch4_window7_224", img_size=STRIP["img_size"], windows=(6, 6, "square", "square")
    )
    for model in (strip, resized, timms):
        shifts = [[(block.window_size, block.shift_size) for block in stage.blocks[:2]] for stage in model.layers]
        assert shifts == expected
        assert [stage.blocks[1].attn_mask is None for stage in model.layers] == [False, False, True, True]


def test_the_last_stage_of_square_windows_joins_no_tiles_on_a_strip():
    """timm shifts windows of the same size along the longer side."""
    joined = {}
    for last in ("square", 3, GLOBAL):
        stage = tiny_swin(**STRIP, window_size=(6, 6, 6, last)).layers[3]
        tokens = torch.randn(1, 3, 12, 192, requires_grad=True)
        stage.blocks(tokens)[:, :, :3].square().sum().backward()
        joined[last] = bool(tokens.grad[:, :, 3:].any())
    assert joined == {"square": False, 3: True, GLOBAL: True}


def test_square_is_global_on_a_square_map():
    torch.manual_seed(0)
    ours = tiny_swin(img_size=96, window_size=(4, 4, 2, GLOBAL))
    square = tiny_swin(img_size=96, window_size=(4, 4, 2, "square"))
    square.load_state_dict(ours.state_dict())
    image = torch.randn(1, 3, 96, 96)
    assert torch.equal(ours(image), square(image))


def test_square_windows_are_for_sifars_network():
    with pytest.raises(ValueError, match="window square needs a timm Swin"):
        models.build_model("swinv2_tiny_window8_256", img_size=(128, 256), windows=(4, 4, 4, "square"))
    with pytest.raises(ValueError, match="window square of stage 4 does not divide its 6x9 tokens"):
        tiny_swin(img_size=(192, 288), grid=(2, 3), window_size=(6, 6, 6, "square"))


@pytest.mark.parametrize(
    "window", [(14, 14, 14, 14), (24, 24, 24, 24), 5, (12, 12, 12), (12, 12, 12, "gobal"), (0, 1, 1, 1)]
)
def test_a_window_that_does_not_fit_is_refused(window):
    with pytest.raises(ValueError, match=r"window"):
        stage_windows(window, halving_stages((576, 576)))


def test_a_pair_of_numbers_is_one_window_as_in_timm():
    assert stage_windows((3, 6), halving_stages((96, 192))) == ((3, 6),) * 4
    with torch.device("meta"):
        model = models.build_model("sifar_swin_tiny_w6_3x3_96", windows=(3,))
    assert [windows for _, windows in built_stages(model)] == [{(3, 3)}] * 4


def test_the_refusal_names_the_sizes_that_fit():
    with pytest.raises(ValueError, match=r"window 14 of stage 1 .* 144x144 .* 12, 16, 18, 24, .* or global"):
        stage_windows(14, halving_stages((576, 576)))
    with pytest.raises(ValueError, match=r"stage 4 .* 18x18 tokens; what fits: 1, 2, 3, 6, 9, 18, or global"):
        stage_windows(24, [(144, 144), (72, 72), (72, 72), (18, 18)])


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), cell=st.sampled_from([32, 64, 96]))
def test_global_windows_fit_any_grid(rows, columns, cell):
    stages = halving_stages((rows * cell, columns * cell))
    assert list(stage_windows(GLOBAL, stages)) == stages


def test_sides_that_leave_half_tokens_are_refused():
    with pytest.raises(ValueError, match=r"multiples of 32 px"):
        tiny_swin(img_size=100)


@pytest.mark.parametrize(
    "name", ["swin_tiny_patch4_window7_224", "swin_s3_tiny_224", "swinv2_tiny_window8_256", "swinv2_cr_tiny_224"]
)
def test_windows_of_any_timm_swin_are_those_asked_for(name):
    with torch.device("meta"):
        model = models.build_model(name, img_size=(192, 384), windows=(12, "24", 12, GLOBAL))
    assert built_stages(model) == [
        ((48, 96), {(12, 12)}),
        ((24, 48), {(24, 24)}),
        ((12, 24), {(12, 12)}),
        ((6, 12), {(6, 12)}),
    ]


def test_windows_that_timm_would_clamp_or_pad_are_refused():
    for name in ("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256"):
        with pytest.raises(ValueError, match=r"window 14 of stage 4 .* 7x7 tokens; what fits: 1, 7, or global"):
            models.build_model(name, img_size=(224, 224), windows=(14, 14, 14, 14))


def test_a_network_without_windows_is_refused():
    with pytest.raises(ValueError, match="ResNet has no attention windows"):
        models.build_model("resnet18", windows=(7,))


def test_windows_that_timm_read_otherwise_are_found_out():
    model = timm.create_model("swin_tiny_patch4_window7_224", img_size=224, window_size=7)
    verify_windows(model, [(7, 7)] * 4)
    with pytest.raises(ValueError, match=r"stage 1 .* window \(14, 14\) was requested"):
        verify_windows(model, [(14, 14), (7, 7), (7, 7), (7, 7)])


@pytest.mark.parametrize("grid", [(3, 3), (2, 4), (1, 8), (4, 2)])
def test_each_tile_gets_its_own_vector(grid):
    """Checked by the tiling of the shards: a frame of one color becomes a tile with one vector."""
    rows, columns = grid
    embed = TilePatchEmbed(img_size=(rows * 96, columns * 96), patch_size=4, embed_dim=8, grid=grid)
    frames = torch.arange(rows * columns).reshape(-1, 1, 1, 1).expand(-1, 24, 24, 3).numpy().astype("uint8")
    layout = Layout(name="grid", rows=rows, columns=columns, tile=24, frames=rows * columns)
    index = torch.from_numpy(tile(frames, layout)[..., 0]).long()
    torch.testing.assert_close(embed.tile_map(rows * 24, columns * 24)[0], embed.frame_pos_embed[0][index])


def test_vectors_per_tile_are_added_to_the_patch_tokens():
    plain, with_tiles = tiny_swin(grid=(1, 2)), tiny_swin(grid=(1, 2), ape=True)
    assert not any("frame_pos_embed" in name for name in plain.state_dict())
    with_tiles.load_state_dict(plain.state_dict(), strict=False)
    image = torch.randn(1, 3, 96, 192)
    added = with_tiles.patch_embed(image) - plain.patch_embed(image)
    torch.testing.assert_close(added[0, :, :24], with_tiles.patch_embed.frame_pos_embed[0, 0].expand(24, 24, -1))
    torch.testing.assert_close(added[0, :, 24:], with_tiles.patch_embed.frame_pos_embed[0, 1].expand(24, 24, -1))
    assert "patch_embed.frame_pos_embed" in with_tiles.no_weight_decay()


def test_a_grid_that_does_not_cut_the_tokens_is_refused():
    with pytest.raises(ValueError, match=r"24x48 tokens cannot be divided into 3x5 tiles"):
        tiny_swin(grid=(3, 5), ape=True)
    model = tiny_swin(grid=(1, 2), ape=True, window_size=1)
    with pytest.raises(AssertionError, match=r"64x96 px, but the model takes 96x192 px"):
        model(torch.randn(1, 3, 64, 96))


def resized(ape: bool = False, **kwargs) -> tuple[SifarSwin, SifarSwin]:
    """A resized network, and one built at the new size with the same weights."""
    model = tiny_swin(grid=(1, 2), ape=ape)
    model.set_input_size(**kwargs)
    fresh = tiny_swin(grid=(1, 2), ape=ape, **model._model_args)
    fresh.load_state_dict(model.state_dict())
    return model, fresh


@pytest.mark.parametrize("ape", [False, True])
@pytest.mark.parametrize(
    ("kwargs", "windows"),
    [
        ({"img_size": (192, 384)}, [(8, 8), (8, 8), (4, 4), (6, 12)]),
        ({"img_size": (192, 192), "window_size": (6, 6, 6, GLOBAL)}, [(6, 6), (6, 6), (6, 6), (6, 6)]),
        ({"window_size": 3}, [(3, 3)] * 4),
        ({"img_size": 128, "window_ratio": (4, 4, 4, 8)}, [(8, 8), (8, 8), (8, 8), (4, 4)]),
        ({"patch_size": 2}, [(8, 8), (8, 8), (4, 4), (6, 12)]),
    ],
)
def test_a_resized_network_is_one_that_is_made_at_that_size(ape, kwargs, windows):
    model, fresh = resized(ape, **kwargs)
    assert [built for _, built in built_stages(model)] == [{window} for window in windows]
    image = torch.randn(1, 3, *model.patch_embed.img_size)
    with torch.no_grad():
        torch.testing.assert_close(model(image), fresh(image))
        torch.testing.assert_close(torch.jit.script(model)(image), fresh(image))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"img_size": (128, 192)}, r"window \(5, 4\) of stage 1 does not divide its 32x48 tokens"),
        ({"img_size": (100, 192)}, "multiples of 32 px"),
        ({"window_size": 5}, "window 5 of stage 1 does not divide its 24x48 tokens; what fits: 1, 2, 3, 4"),
        ({"window_size": (4, 4, 4, 4)}, "window 4 of stage 3 .* 6x12 tokens"),
        ({"window_size": (4, 4)}, r"window \(4, 4\) of stage 3 .* 6x12 tokens"),
        ({"img_size": (96, 96), "window_ratio": 3}, r"window \(8, 8\) of stage 2 does not divide its 12x12 tokens"),
    ],
)
def test_a_size_that_would_be_padded_is_refused_and_changes_nothing(kwargs, message):
    model = tiny_swin()
    before, image = built_stages(model), torch.randn(1, 3, 96, 192)
    with torch.no_grad():
        logits = model(image)
        with pytest.raises(ValueError, match=message):
            model.set_input_size(**kwargs)
        assert built_stages(model) == before
        torch.testing.assert_close(model(image), logits, rtol=0, atol=0)


def test_a_size_that_leaves_no_whole_tiles_is_refused():
    model = tiny_swin(grid=(3, 3), ape=True, img_size=96, window_size=1)
    with pytest.raises(ValueError, match=r"32x32 tokens cannot be divided into 3x3 tiles"):
        model.set_input_size(img_size=(128, 128))


def test_ape_is_off_unless_the_name_says_so():
    assert all(preset["ape"] == name.endswith("_ape") for name, preset in PRESETS.items())


def test_timms_conventions_hold():
    model = tiny_swin(ape=True, grid=(1, 2)).train()
    model.set_grad_checkpointing()
    model(torch.randn(2, 3, 96, 192)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    model.reset_classifier(3)
    assert model(torch.randn(1, 3, 96, 192)).shape == (1, 3)
    with torch.device("meta"):
        maps = timm.create_model("sifar_swin_tiny_w6_3x3_96_ape", features_only=True)(torch.empty(1, 3, 288, 288))
    assert [tuple(map_.shape[1:3]) for map_ in maps] == [(72, 72), (36, 36), (18, 18), (9, 9)]
