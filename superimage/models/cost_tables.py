"""Markdown tables of models: costs, comparison with the papers, and timm's model families."""

from collections.abc import Sequence

import torch
from timm.models import get_pretrained_cfg, list_models

from shards.page.markdown import markdown
from superimage.models.build import build_model
from superimage.models.cost import count_gmacs
from superimage.models.families import SHAPES, Trial
from superimage.models.tables import KINETICS_CLASSES, ROWS, Row
from superimage.models.windows import built_stages

OURS = ("sifar_swin", "sifar_resnet", "uniformer")


def list_table(patterns: Sequence[str]) -> str:
    """Table of the models that match, or of all our models: input size, windows, parameters and GMACs of one view.

    The models have 400 classes, as for Kinetics-400. Raises ValueError for a pattern that matches no model.
    """
    for pattern in patterns:
        if not list_models(pattern):
            raise ValueError(f"{pattern}: neither timm nor this package has such a model")
    names = list_models(patterns) if patterns else list_models(module=OURS)
    return markdown(("model", "input px", "windows", "params M", "GMACs"), [_list_row(name) for name in names])


def _list_row(name: str) -> tuple[str, ...]:
    size = get_pretrained_cfg(name).input_size[1:]
    with torch.device("meta"):
        model = build_model(name, num_classes=KINETICS_CLASSES)
    params = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    return (f"`{name}`", _size(size), _windows(model), f"{params:.1f}", f"{count_gmacs(model, size):.1f}")


def _windows(model: torch.nn.Module) -> str:
    try:
        stages = built_stages(model)
    except ValueError:
        return ""
    return ", ".join(_size(window) for _, windows in stages for window in windows)


def _size(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else f"{size[0]}x{size[1]}"


def papers_table() -> str:
    """Table of the papers' parameters and GMACs, ours, the difference, and its reason."""
    head = ("table", "model", "here", "input px", "GMACs printed", "ours", "", "params M printed", "ours", "")
    return markdown((*head, "why"), [_paper_row(row) for row in ROWS])


def _paper_row(row: Row) -> tuple[str, ...]:
    cost = row.measure()
    label = f"{row.label} ({row.variant})" if row.variant else row.label
    return (
        row.paper,
        label,
        f"`{row.model}`",
        _size(row.image),
        *_compared(row.gmacs, cost.gmacs),
        *_compared(row.params, cost.params),
        row.differs,
    )


def _compared(printed: float | None, ours: float) -> tuple[str, str, str]:
    if printed is None:
        return "", f"{ours:.1f}", ""
    return f"{printed:g}", f"{ours:.1f}", f"{100 * (ours / printed - 1):+.1f} %"


def families_table(trials: Sequence[Trial]) -> str:
    rows = [
        (
            trial.family,
            f"`{trial.model}`",
            f"{trial.params:.1f}",
            *(trial.verdicts[shape] for shape in SHAPES),
            trial.remark.replace("|", "\\|"),
        )
        for trial in trials
    ]
    return markdown(("family", "model", "params M", *map(str, SHAPES), "remark"), rows)
