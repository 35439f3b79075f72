"""UniFormer compared with its published sizes, its published weight names, and timm's conventions."""

import pytest
import timm
import torch
from timm.models import group_parameters, load_checkpoint
from torch import nn
from torch.nn import functional

from superimage.models.cost import model_cost
from superimage.models.uniformer import VARIANTS, GlobalBlock, LocalBlock, UniFormer
from superimage.models.uniformer_weights import adapt_uniformer

TINY = {"depths": (1, 2, 2, 1), "dims": (8, 16, 32, 64), "head_dim": 16, "num_classes": 5}


@pytest.mark.parametrize(
    ("name", "params", "gmacs_224"),
    [("uniformer_small", 22, 3.6), ("uniformer_small_plus", 24, 4.2), ("uniformer_base", 50, 8.3)],
)
def test_sizes_are_the_published_ones(name, params, gmacs_224):
    """UniFormer, Table 3 (ImageNet at 224 px): millions of parameters and GMACs."""
    cost = model_cost(name, (224, 224))
    assert round(cost.params) == params
    assert cost.gmacs == pytest.approx(gmacs_224, abs=0.06)


@pytest.mark.parametrize("stem", ["patch", "conv"])
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (75, 101)])
def test_any_size_gives_one_tensor_in_training_too(stem, size):
    model = UniFormer(**TINY, stem=stem, down=stem).train()
    output = model(torch.randn(2, 3, *size))
    assert isinstance(output, torch.Tensor)
    assert output.shape == (2, 5)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_side_that_patches_do_not_divide_loses_no_pixel():
    model = UniFormer(**TINY).eval()
    image = torch.randn(1, 3, 65, 65)
    changed = image.clone()
    changed[..., -1, -1] += 1
    with torch.no_grad():
        assert not torch.equal(model(image), model(changed))


def test_blocks_are_convolutions_first_and_attention_last():
    kinds = [{type(block).__name__ for block in stage.blocks} for stage in UniFormer(**TINY).stages]
    assert kinds == [{"LocalBlock"}, {"LocalBlock"}, {"GlobalBlock"}, {"GlobalBlock"}]


def test_a_global_block_is_torchs_transformer_layer_after_its_convolution():
    block = GlobalBlock(32, head_dim=16, mlp_ratio=3, proj_drop=0.0, drop_path=0.0).eval()
    layer = nn.TransformerEncoderLayer(
        32, 2, 96, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=True
    )
    layer.eval().load_state_dict(
        {
            **{f"self_attn.in_proj_{leaf}": value for leaf, value in block.attn.qkv.state_dict().items()},
            **{f"self_attn.out_proj.{leaf}": value for leaf, value in block.attn.proj.state_dict().items()},
            **{f"linear1.{leaf}": value for leaf, value in block.mlp.fc1.state_dict().items()},
            **{f"linear2.{leaf}": value for leaf, value in block.mlp.fc2.state_dict().items()},
            **{f"norm1.{leaf}": value for leaf, value in block.norm1.state_dict().items()},
            **{f"norm2.{leaf}": value for leaf, value in block.norm2.state_dict().items()},
        }
    )
    x = torch.randn(2, 32, 5, 7)
    tokens = (x + block.pos_embed(x)).flatten(2).mT
    torch.testing.assert_close(block(x).flatten(2).mT, layer(tokens))


def test_a_local_block_is_the_formula_of_the_paper():
    """x += DW3x3(x); x += 1x1(DW5x5(1x1(BN x))); x += MLP(BN x), with the weights in a dictionary."""
    block = LocalBlock(8, mlp_ratio=4, proj_drop=0.0, drop_path=0.0).eval()
    w, x = block.state_dict(), torch.randn(2, 8, 6, 9)

    def norm(x, name):
        statistics = (w[f"{name}.running_mean"], w[f"{name}.running_var"])
        return functional.batch_norm(x, *statistics, w[f"{name}.weight"], w[f"{name}.bias"])

    def convolve(x, name, **kwargs):
        return functional.conv2d(x, w[f"{name}.weight"], w[f"{name}.bias"], **kwargs)

    expected = x + convolve(x, "pos_embed", padding=1, groups=8)
    mixed = convolve(convolve(norm(expected, "norm1"), "conv1"), "attn", padding=2, groups=8)
    expected = expected + convolve(mixed, "conv2")
    hidden = functional.gelu(convolve(norm(expected, "norm2"), "mlp.fc1"))
    torch.testing.assert_close(block(x), expected + convolve(hidden, "mlp.fc2"))


def test_attention_reaches_every_position_and_convolution_does_not():
    model = UniFormer(**{**TINY, "depths": (1, 1, 1, 1)}).eval()
    image = torch.randn(1, 3, 256, 256)
    changed = image.clone()
    changed[..., :4, :4] += 1
    with torch.no_grad():
        before, after = (model.forward_intermediates(x, intermediates_only=True) for x in (image, changed))
    far_corner = [bool((a - b)[..., -1, -1].abs().max() > 0) for a, b in zip(before, after)]
    assert far_corner == [False, False, True, True]


def test_checkpointing_changes_neither_output_nor_gradient():
    model = UniFormer(**TINY).train()
    image = torch.randn(2, 3, 64, 64)
    gradients = []
    for enable in (False, True):
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model(image).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients):
        torch.testing.assert_close(plain, checkpointed)


@pytest.mark.parametrize("name", VARIANTS)
def test_features_only_gives_four_maps(name):
    with torch.device("meta"):
        model = timm.create_model(name, features_only=True)
        maps = model(torch.empty(1, 3, 96, 128))
    assert [tuple(map_.shape) for map_ in maps] == [
        (1, channels, 96 // step, 128 // step) for channels, step in zip(model.feature_info.channels(), (4, 8, 16, 32))
    ]
    assert model.feature_info.reduction() == [4, 8, 16, 32]


def test_a_shorter_network_gives_the_same_maps():
    model = UniFormer(**TINY).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model.forward_intermediates(image, indices=[1], intermediates_only=True)[0]
        assert model.prune_intermediate_layers(indices=[1]) == [1]
        torch.testing.assert_close(model.forward_features(image), expected)
    assert model.num_features == 16


def test_the_classifier_can_be_replaced_and_removed():
    model = UniFormer(**TINY)
    assert model.get_classifier().out_features == 5
    model.reset_classifier(9)
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 9)
    model.reset_classifier(0)
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, model.head_hidden_size) == (2, 64)
    model.reset_classifier(0, "")
    assert model(torch.randn(2, 3, 64, 64)).shape == (2, 64, 2, 2)


def test_pre_logits_are_what_the_classifier_sees():
    model = UniFormer(**TINY).eval()
    features = model.forward_features(torch.randn(2, 3, 64, 64))
    pooled = model.forward_head(features, pre_logits=True)
    torch.testing.assert_close(pooled, features.mean((2, 3)))
    torch.testing.assert_close(model.forward_head(features), model.head.fc(pooled))


def test_layer_decay_finds_a_place_for_every_parameter():
    model = UniFormer(**TINY)
    grouped = group_parameters(model, model.group_matcher())
    assert sorted(name for names in grouped.values() for name in names) == sorted(dict(model.named_parameters()))
    assert len(grouped) == 1 + sum(TINY["depths"]) + 1


@pytest.mark.parametrize(
    ("name", "stem", "down"),
    [
        ("uniformer_small", "patch", "patch"),
        ("uniformer_small_plus", "conv", "conv"),
        ("uniformer_xxs", "conv", "patch"),
    ],
)
def test_published_weights_load_key_by_key(name, stem, down):
    """Every name in the authors' checkpoints maps to one of our weights of the same shape, and all are filled."""
    with torch.device("meta"):
        model = timm.create_model(name)
    names = list(published_names(VARIANTS[name].get("depths", (3, 4, 8, 3)), stem, down))
    own = list(model.state_dict().items())
    assert len(names) == len(own)
    published = dict(zip(names, (value for _, value in own)))
    extras = {"cls_token": torch.zeros(1, 1, 8), "head_cls.weight": torch.zeros(2, 8), "norm_cls.bias": torch.zeros(8)}
    adapted = adapt_uniformer({"model": {**published, **extras}}, model)
    assert adapted.keys() == model.state_dict().keys()
    assert all(adapted[key].shape == value.shape for key, value in own)


def published_names(depths, stem, down):
    """The names of the authors' weights in the order of computation."""
    batch_norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    affine = ("weight", "bias")
    local = {"pos_embed": affine, "norm1": batch_norm, "conv1": affine, "attn": affine, "conv2": affine}
    local |= {"norm2": batch_norm, "mlp.fc1": affine, "mlp.fc2": affine}
    attending = {"pos_embed": affine, "norm1": affine, "attn.qkv": affine, "attn.proj": affine, "norm2": affine}
    attending |= {"mlp.fc1": affine, "mlp.fc2": affine}
    stems = {"patch": {"proj": affine, "norm": affine}, "conv": {"proj.0": affine, "proj.1": batch_norm}}
    for stage, depth in enumerate(depths, 1):
        parts = stems[down if stage > 1 else stem]
        if stage == 1 and stem == "conv":
            parts = {**parts, "proj.3": affine, "proj.4": batch_norm}
        yield from (f"patch_embed{stage}.{part}.{leaf}" for part, leaves in parts.items() for leaf in leaves)
        blocks = local if stage < 3 else attending
        for index in range(depth):
            yield from (f"blocks{stage}.{index}.{part}.{leaf}" for part, leaves in blocks.items() for leaf in leaves)
    yield from (f"norm.{leaf}" for leaf in batch_norm)
    yield from (f"head.{leaf}" for leaf in affine)


def test_our_own_weights_pass_unchanged(tmp_path):
    model, other = UniFormer(**TINY), UniFormer(**TINY)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "ours.pth")
    load_checkpoint(other, str(tmp_path / "ours.pth"), filter_fn=adapt_uniformer)
    image = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model.eval()(image), other.eval()(image))
