"""timm's model families on super images, compared with docs/models.md; the slow ones run with ``-m slow``."""

import re

import pytest
import timm
from places import ROOT
from timm.models import list_models, list_modules

from superimage.models.cost_tables import OURS, list_table, papers_table
from superimage.models.families import ANY, CANNOT, FAMILIES, NEEDS_SIZE, SHAPES, try_family
from superimage.models.tables import ROWS

DOCUMENT = (ROOT / "docs/models.md").read_text(encoding="utf-8")
_QUICK_NAMES = """
    byobnet convnext cpubone crossvit csatv2 cspnet cspnext deit dla dpn edgenext efficientformer efficientformer_v2
    efficientnet efficientvim efficientvit_mit efficientvit_msra eva fasternet fastvit ghostnet hardcorenas hgnet hrnet
    iformer inception_next lcnetv2 levit lowformer mambaout maxxvit metaformer mlp_mixer mobilenetv3 mobilevit nfnet pit
    pvt_v2 regnet repghost repvit resnet rexnet shvit starnet swiftformer visformer vision_transformer
    vision_transformer_hybrid vision_transformer_relpos vovnet xcit
"""
QUICK = _QUICK_NAMES.split()


def table(name: str) -> str:
    return re.search(rf"<!-- {name} -->\n(.*)\n<!-- /{name} -->", DOCUMENT, re.DOTALL)[1]


def documented() -> dict[str, tuple[str, tuple[str, str]]]:
    """{family: (model, verdicts for both shapes)} in the document."""
    rows = [row.strip("| ").split(" | ") for row in table("families").splitlines()[2:]]
    return {row[0]: (row[1].strip("`"), (row[3], row[4])) for row in rows}


def test_every_quick_name_is_a_family():
    """A misspelt name would select no test."""
    assert set(QUICK) <= FAMILIES.keys()


def test_the_document_has_every_family():
    assert documented().keys() == FAMILIES.keys()
    assert {family: model for family, (model, _) in documented().items()} == FAMILIES
    assert {verdict for _, verdicts in documented().values() for verdict in verdicts} == {ANY, NEEDS_SIZE, CANNOT}


@pytest.mark.parametrize(
    "family", [pytest.param(family, marks=[] if family in QUICK else pytest.mark.slow) for family in FAMILIES]
)
def test_the_family_does_what_the_document_says(family):
    """Forward and backward on 192x192 and 128x256 px; every tile influences the logits unless the family fails."""
    if family not in list_modules():
        pytest.skip(f"timm {timm.__version__} has no family {family}")
    trial = try_family(family)
    assert tuple(trial.verdicts[shape] for shape in SHAPES) == documented()[family][1], trial.remark


def test_the_documents_other_tables_have_every_model():
    listed = re.findall(r"^\| `(\w+)`", table("list"), re.MULTILINE)
    assert listed == list_models(module=OURS)
    assert re.findall(r"`(\w+)`", table("papers")) == [row.model for row in ROWS]


@pytest.mark.slow
def test_the_documents_other_tables_are_those_of_today():
    assert table("list") == list_table(())
    assert table("papers") == papers_table()
