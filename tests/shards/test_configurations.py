"""Configurations that are installed with the package are found by name, and each states its purpose."""

import pytest
from places import ROOT

from shards.configurations import KINDS, find_configuration, purpose_of, shipped_configurations
from shards.suggestions import did_you_mean


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_of_the_repository_is_shipped(kind):
    names = {path.stem for path in (ROOT / "configs" / kind).glob("*.yaml")}
    assert set(shipped_configurations(kind)) == names != set()


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_line_of_each_is_a_sentence(kind):
    for path in shipped_configurations(kind).values():
        assert purpose_of(path).endswith("."), path
        assert purpose_of(path)[0].isupper(), path


def test_a_name_finds_the_shipped_file_and_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_configuration("ucf101_sifar_3x3", "preprocess").name == "ucf101_sifar_3x3.yaml"
    (tmp_path / "ucf101_sifar_3x3").write_text("seed: 1", encoding="utf-8")
    assert find_configuration("ucf101_sifar_3x3", "preprocess").read_text(encoding="utf-8") == "seed: 1"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("ucf", "did you mean 'ucf101_sifar_3x3'?"),
        ("kinetics40_sifar", "did you mean 'kinetics400_sifar'"),
        ("configs/preprocess/demo.yaml", "the shipped configuration of this name is --config demo"),
        ("xxxx", "neither a file nor the name of a shipped configuration; 'python -m preprocess --list' lists them"),
        (".", "a directory, not a YAML file"),
    ],
)
def test_a_wrong_name_lists_the_near_ones(given, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="--config") as error:
        find_configuration(given, "preprocess")
    assert message in str(error.value)


def test_nothing_is_suggested_for_a_name_that_is_like_no_other():
    assert did_you_mean("lrr", ["lr", "seed"]) == "; did you mean 'lr'?"
    assert did_you_mean("lrr", ["seed"]) == ""
