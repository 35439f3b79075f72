"""docs/faults.md: each reason for which a video is left out has a row, and no row is of a reason that is gone."""

import re

import pytest
from places import ROOT

from preprocess import reasons

DOCUMENT = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


def test_every_reason_has_a_row_that_says_what_helps():
    section = DOCUMENT.split("## Failures and repair")[1].split("## Hostile files")[0]
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == reasons.ALL


@pytest.mark.parametrize("name", sorted(set(re.findall(r"tests/[\w/]*test_\w+\.py", DOCUMENT))))
def test_every_test_that_a_row_names_exists(name):
    assert (ROOT / name).is_file()


def test_no_reason_is_written_beside_the_list():
    """A literal elsewhere would be counted under a name that the document does not have."""
    for path in (ROOT / "preprocess").rglob("*.py"):
        literals = (
            set(re.findall(r'"([a-z_ ]+)"', path.read_text(encoding="utf-8"))) if path.name != "reasons.py" else set()
        )
        assert not literals & reasons.ALL, path
