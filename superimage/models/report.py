"""Tables of models in Markdown, and into documents between markers that name the command they come from."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from timm.models import get_pretrained_cfg, list_models

from superimage.models.build import build_model
from superimage.models.cost import count_gmacs
from superimage.models.families import SHAPES, Trial
from superimage.models.tables import KINETICS_CLASSES, ROWS, Row
from superimage.models.windows import built_stages

OURS = ("sifar_swin", "sifar_resnet", "uniformer")


def list_table(patterns: Sequence[str]) -> str:
    """Models by name, or all of ours: input in px, windows of attention, parameters and GMACs of one view.

    400 classes, as in Kinetics-400. ValueError for a pattern that matches no model.
    """
    for pattern in patterns:
        if not list_models(pattern):
            raise ValueError(f"{pattern}: timm and this package know no such model")
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
    """The papers' figures beside ours, with the difference and its reason."""
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


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_tables(document: Path, tables: Mapping[str, str]) -> None:
    """Put each table between ``<!-- name -->`` and ``<!-- /name -->``; ValueError where a marker is missing."""
    check_markers(document, tables)
    text = document.read_text()
    for name, table in tables.items():
        start, end = _markers(name)
        text = text.partition(start)[0] + f"{start}\n{table}\n{end}" + text.partition(end)[2]
    document.write_text(text)


def check_markers(document: Path, names: Iterable[str]) -> None:
    """ValueError unless the document has both markers of each table once."""
    text = document.read_text()
    for name in names:
        if any(text.count(marker) != 1 for marker in _markers(name)):
            raise ValueError(f"{document}: {' and '.join(_markers(name))} are each needed once")


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- /{name} -->"
