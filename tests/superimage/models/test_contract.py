"""timm's own tests, run on our models: what timm's scripts and tools expect of a model."""

import fnmatch
from types import ModuleType

import pytest
from timm.models import list_models
from timm_contract import load_timm_tests

from superimage.models.cost_tables import OURS

NAMES = list_models(module=OURS)
TAGGED = list_models(module=OURS, include_tags=True)
# One network of each kind, which takes seconds. Larger ones and other sizes are marked slow.
QUICK = ("sifar_swin_tiny_w6_3x3_96*", "sifar_resnet50", "sifar_resnet50_c7", "uniformer_xxs*", "uniformer_small_plus")
ON_TENSORS = (
    "test_model_forward",
    "test_model_backward",
    "test_model_forward_torchscript",
    "test_model_forward_features",
    "test_model_forward_intermediates",
    "test_model_forward_intermediates_features",
    "test_model_forward_fx",
    "test_model_backward_fx",
)
SWIN = "sifar_swin_tiny_w6_3x3_96"
# timm's tests of its Swins, with arguments for our Swins.
SWIN_TESTS = (
    ("test_swin_family_reinit_after_to_empty", (288,)),
    ("test_swin_family_set_input_size_stage_windows", (288, "per_stage")),
    ("test_swin_family_set_input_size_stage_windows", (288, "non_square")),
)
# Tests of timm's Swins that SIFAR's Swins fail by design: a window must divide its stage (SIFAR 3.2), while timm pads
# or shrinks, and a user error is a ValueError, while timm asserts.
NOT_DIVIDING = r"window \d+ of stage \d does not divide its \d+x\d+ tokens"
REFUSED = {
    ("test_swin_family_set_input_size", (288,)): NOT_DIVIDING,
    ("test_swin_family_set_input_size_stage_windows", (288, "uniform")): NOT_DIVIDING,
    ("test_swin_family_set_input_size_window_ratios", ()): NOT_DIVIDING,
    ("test_swin_family_resize_metadata", ()): NOT_DIVIDING,
    ("test_swin_family_set_input_size_after_pruning", ()): NOT_DIVIDING,
    ("test_swin_family_script_after_resize", ()): NOT_DIVIDING,
    ("test_swin_family_compile_resize_guards", ()): NOT_DIVIDING,
    ("test_swin_family_window_padding", ()): NOT_DIVIDING,
    ("test_swin_family_resize_odd_stage_sizes", ()): r"both sides must be multiples of 32 px",
    ("test_swin_family_set_input_size_invalid_and_min_windows", (288,)): r"3 windows \[7, 7, 7\] for 4 stages",
}


@pytest.fixture(scope="module")
def timm_tests(tmp_path_factory, pytestconfig) -> ModuleType:
    return load_timm_tests(tmp_path_factory.mktemp("timm"), pytestconfig)


def some_slow(names: list[str]) -> list:
    quick = {name for pattern in QUICK for name in fnmatch.filter(names, pattern)}
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", TAGGED)
def test_configuration_and_factory_arguments(name, timm_tests):
    """Device, dtype, shapes without a head, layer groups, freezing and resizing, on the meta device."""
    timm_tests.test_model_default_cfgs(name, 1, "meta")


@pytest.mark.parametrize("check", ON_TENSORS)
@pytest.mark.parametrize("name", some_slow(NAMES))
def test_forward_backward_script_and_trace(name, check, timm_tests):
    getattr(timm_tests, check)(name, 2 if "backward" in check else 1)


@pytest.mark.slow
@pytest.mark.parametrize("name", some_slow(NAMES))
def test_pruned_to_any_feature(name, timm_tests):
    timm_tests.test_prune_intermediate_layers_contract(name)


@pytest.mark.parametrize(("check", "arguments"), SWIN_TESTS)
@pytest.mark.parametrize("name", [SWIN, f"{SWIN}_ape"])
def test_a_swin_that_is_resized(name, check, arguments, timm_tests):
    getattr(timm_tests, check)(name, *arguments)


@pytest.mark.parametrize(("check", "arguments"), REFUSED)
def test_what_a_swin_refuses_by_design(check, arguments, timm_tests):
    with pytest.raises(ValueError, match=REFUSED[check, arguments]):
        getattr(timm_tests, check)(SWIN, *arguments)


def test_no_test_of_timms_swins_is_forgotten(timm_tests):
    """``default`` compares timm's clamped windows with our global ones; ``dynamic_mask`` needs any size."""
    left_out = {"test_swin_family_dynamic_mask_trace"}
    tried = {check for check, _ in (*SWIN_TESTS, *REFUSED)}
    assert {name for name in dir(timm_tests) if name.startswith("test_swin_family_")} == tried | left_out
