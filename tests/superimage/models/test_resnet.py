"""SIFAR's extra residual blocks: shapes and sizes from the text of Table 7; without them, the plain ResNet."""

import pytest
import timm
import torch

from superimage import models
from superimage.models.sifar_resnet import add_kernel_blocks, kernel_block


@pytest.mark.parametrize("kernel", [7, 11, 21])
def test_the_block_is_that_of_the_paper(kernel):
    """2048 -> 512 -> 512 by k x k at stride 1 -> 2048."""
    with torch.device("meta"):
        block = kernel_block(2048, kernel)
    shapes = [tuple(convolution.weight.shape) for convolution in (block.conv1, block.conv2, block.conv3)]
    assert shapes == [(512, 2048, 1, 1), (512, 512, kernel, kernel), (2048, 512, 1, 1)]
    assert block(torch.empty(2, 2048, 5, 9, device="meta")).shape == (2, 2048, 5, 9)


def test_depthwise_is_an_option():
    with torch.device("meta"):
        assert kernel_block(2048, 21, depthwise=True).conv2.weight.shape == (512, 1, 21, 21)


@pytest.mark.parametrize(
    ("name", "kernels"), [("", ()), ("_c7", (7,)), ("_c11", (11,)), ("_c21", (21,)), ("_c21_11", (21, 11))]
)
@pytest.mark.parametrize("base", ["resnet50", "resnet101"])
def test_presets_are_timms_resnet_and_the_blocks(base, name, kernels):
    with torch.device("meta"):
        preset, plain = timm.create_model(f"sifar_{base}{name}"), timm.create_model(base)
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in (preset, plain)]
    norms = 2 * (512 + 512 + 2048)
    assert sizes[0] - sizes[1] == sum(2 * 2048 * 512 + 512 * 512 * kernel**2 + norms for kernel in kernels)
    extra = [block.conv2.kernel_size[0] for block in preset.layer4[len(plain.layer4) :]]
    assert tuple(extra) == kernels


@pytest.mark.parametrize(
    "name", ["resnet10t", "resnet18", "resnet26d", "resnext50_32x4d", "wide_resnet50_2", "ecaresnet26t"]
)
def test_kernels_go_onto_any_timm_resnet(name):
    with torch.device("meta"):
        model = models.build_model(name, extra_kernels=(5, 3), num_classes=4)
    assert [block.conv2.kernel_size for block in model.layer4[-2:]] == [(5, 5), (3, 3)]
    assert model(torch.empty(1, 3, 96, 96, device="meta")).shape == (1, 4)


def test_new_blocks_begin_as_the_identity_and_learn():
    plain = timm.create_model("resnet10t", num_classes=3).eval()
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        before = plain(image)
    model = add_kernel_blocks(plain, (7,), depthwise=True)
    torch.testing.assert_close(model(image), before)
    model.train()(image).sum().backward()
    assert model.layer4[-1].bn3.weight.grad.abs().max() > 0


def test_pretrained_weights_of_the_plain_resnet_load(tmp_path):
    plain = timm.create_model("resnet50", num_classes=1000)
    torch.save(plain.state_dict(), tmp_path / "plain.pth")
    weights = {"file": str(tmp_path / "plain.pth")}
    model = timm.create_model(
        "sifar_resnet50_c7", pretrained=True, pretrained_cfg_overlay=weights, extra_depthwise=True
    )
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("kernel", [0, 4, -3])
def test_a_kernel_without_a_middle_is_refused(kernel):
    with pytest.raises(ValueError, match="odd number"):
        kernel_block(64, kernel)


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="need a timm ResNet, but the model is VisionTransformer"):
        models.build_model("test_vit", extra_kernels=(21,))


def test_the_wide_bit_resnet_is_timms():
    with torch.device("meta"):
        ours, theirs = timm.create_model("sifar_resnetv2_152x2_bit"), timm.create_model("resnetv2_152x2_bit")
    assert {name: value.shape for name, value in ours.state_dict().items()} == {
        name: value.shape for name, value in theirs.state_dict().items()
    }
