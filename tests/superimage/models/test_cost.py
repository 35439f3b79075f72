"""The papers' tables of parameters and GMACs, row by row."""

import pytest
import torch
from torch import nn

from superimage.models.cost import count_gmacs, model_cost
from superimage.models.tables import ROWS


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.label} {row.variant}".strip())
def test_the_papers_costs_are_ours_or_the_difference_is_explained(row):
    cost = row.measure()
    assert row.agrees(cost) != bool(row.differs), f"{cost} against {row.gmacs} GMACs, {row.params} M: {row.differs}"


def test_the_two_windows_of_sifar_b_12_at_384_px():
    """SIFAR Table 1 prints {12,12,12,36} with GMACs that only {12,12,12,12} has."""
    rows = [row for row in ROWS if row.label == "SIFAR-B-12, 384 px"]
    assert sorted(round(row.measure().gmacs, 1) for row in rows) == [423.7, 429.9]


def test_uniformer_small_is_of_the_published_size():
    """UniFormer, Table 3: 22 M parameters and 3.6 GMACs at 224 px."""
    cost = model_cost("uniformer_small", (224, 224))
    assert round(cost.params) == 22
    assert round(cost.gmacs, 1) == 3.6


def test_multiply_adds_of_layers_counted_by_hand():
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(2), nn.Linear(16, 5))
    assert count_gmacs(layers, (4, 4)) * 1e9 == 8 * 16 * 27 + 8 * 16 * 5


def test_the_products_of_attention_count():
    attention = nn.Sequential(nn.Flatten(2), _SelfProduct())
    assert count_gmacs(attention, (4, 4)) * 1e9 == 16 * 16 * 3 * 2


class _SelfProduct(nn.Module):
    """16 tokens of width 3 that attend to each other without weights."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = x.transpose(1, 2)[:, None]
        return nn.functional.scaled_dot_product_attention(x, x, x)


def test_counting_leaves_the_model_in_training():
    model = nn.Sequential(nn.Conv2d(3, 4, 1)).train()
    count_gmacs(model, (8, 8))
    assert model.training
