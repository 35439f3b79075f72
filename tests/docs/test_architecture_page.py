"""docs/architecture.md: its table of folders is the table that tests/scripts/test_imports.py enforces."""

import re
import runpy

from places import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
RULES = runpy.run_path(str(ROOT / "tests" / "scripts" / "test_imports.py"))["ALLOWED"]


def rows() -> dict[str, tuple[str, set[str]]]:
    """{dotted name: (path, what it may import besides ``shards``)}; names inside ``preprocess`` are short there."""
    table = PAGE.partition("<!-- rooms -->\n")[2].partition("<!-- /rooms -->")[0]
    found = {}
    for path, _, imports in re.findall(r"^\| `(.*?)` \| (.*?) \|(.*)\|$", table, flags=re.MULTILINE):
        name = path.removesuffix("/").removesuffix(".py").replace("/", ".")
        listed = {word.strip() for word in imports.split(",") if word.strip()}
        prefix = "preprocess." if name.startswith("preprocess.") else ""
        found[name] = path, {f"{prefix}{word}" for word in listed}
    return found


def test_the_table_is_that_of_the_import_rule():
    assert {name: imports for name, (_, imports) in rows().items()} == {
        name: allowed - {"shards"} for name, allowed in RULES.items()
    }


def test_every_folder_of_the_table_exists():
    assert [path for path, _ in rows().values() if not (ROOT / path).exists()] == []


def test_every_file_and_function_that_the_page_names_exists():
    for file, function in re.findall(r"`(\w[\w/]*\.py): (\w+)`", PAGE):
        places = [ROOT / file, ROOT / "preprocess" / file]
        source = next(place for place in places if place.exists()).read_text(encoding="utf-8")
        assert f"def {function}(" in source
