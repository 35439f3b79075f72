"""docs/faults.md: each reason for which a video is left out has a row, and no row is of a reason that is gone."""

import ast
import re
from pathlib import Path

import pytest

from preprocess import job, video

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs" / "faults.md").read_text()


def reasons_in_code() -> set[str]:
    """First arguments of DecodeError, the reasons that are named before, and the reasons that are constants."""
    reasons = {value for module in (job, video) for name, value in vars(module).items() if is_reason(name, value)}
    for path in (ROOT / "preprocess").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DecodeError" and node.args:
                reasons |= strings_of(node.args[0])
            elif isinstance(node, ast.FunctionDef) and node.name == "_reason":
                for returned in (inner for inner in ast.walk(node) if isinstance(inner, ast.Return)):
                    reasons |= strings_of(returned.value)
    return reasons


def is_reason(name: str, value: object) -> bool:
    return name.isupper() and isinstance(value, str) and not name.startswith("_")


def strings_of(node: ast.AST) -> set[str]:
    """Of ``"a" if ... else "b"`` both."""
    if isinstance(node, ast.IfExp):
        return strings_of(node.body) | strings_of(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) else set()


def test_every_reason_has_a_row_that_says_what_helps():
    section = DOCUMENT.split("## Failures and repair")[1].split("## Hostile files")[0]
    rows = re.findall(r"^\| `([^`]+)` \| [^|]+ \| [^|]+ \|$", section, re.MULTILINE)
    assert len(rows) == len(set(rows))
    assert set(rows) == reasons_in_code()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"tests/test_\w+\.py", DOCUMENT))))
def test_every_test_that_a_row_names_exists(name):
    assert (ROOT / name).is_file()
