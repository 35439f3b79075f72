"""docs/configuration.md: its tables are those of the schema, and its examples are valid."""

import re

import yaml

from docs.make_configuration import PAGE, tables
from preprocess.config.schema import config_from

TEXT = PAGE.read_text(encoding="utf-8")


def test_the_tables_are_current():
    """If this fails, run python -m docs.make_configuration."""
    for name, table in tables().items():
        assert f"<!-- {name} -->\n{table}\n<!-- /{name} -->" in TEXT, f"table {name!r} is not current"


def test_every_key_at_the_top_is_on_the_page():
    """The keys are those that the error for an unknown key lists."""
    try:
        config_from({"unknown": 1}, "here")
    except ValueError as error:
        keys = str(error).rpartition("the keys are ")[2].split(", ")
    assert [key for key in keys if f"`{key}`" not in TEXT] == []


def test_the_examples_are_valid():
    """Together the blocks of YAML make one configuration."""
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)]
    config = config_from({key: value for block in blocks for key, value in block.items()}, "the page")
    assert set(config.layouts) == {"sifar-3x3", "small", "strip"}
