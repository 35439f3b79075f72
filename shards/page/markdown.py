"""Markdown tables, written into a document between markers."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def write_tables(document: Path, tables: Mapping[str, str]) -> None:
    """Write each table between ``<!-- name -->`` and ``<!-- /name -->``. Raises ValueError if a marker is missing."""
    check_markers(document, tables)
    text = document.read_text(encoding="utf-8")
    for name, table in tables.items():
        start, end = _markers(name)
        text = text.partition(start)[0] + f"{start}\n{table}\n{end}" + text.partition(end)[2]
    document.write_text(text, encoding="utf-8")


def check_markers(document: Path, names: Iterable[str]) -> None:
    """Raise ValueError unless the document contains both markers of each table exactly once."""
    text = document.read_text(encoding="utf-8")
    for name in names:
        if any(text.count(marker) != 1 for marker in _markers(name)):
            raise ValueError(f"{document}: {' and '.join(_markers(name))} must each occur exactly once")


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name} -->", f"<!-- /{name} -->"
