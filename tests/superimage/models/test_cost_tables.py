"""The command that lists models and writes their tables into a document."""

import pytest

from shards.page.markdown import write_tables
from superimage.models.__main__ import main


def test_the_list_takes_patterns_of_any_timm_model(capsys):
    assert main(["list", "sifar_swin_tiny_w6*", "test_resnet"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == [
        "sifar_swin_tiny_w6_3x3_96",
        "sifar_swin_tiny_w6_3x3_96_ape",
        "test_resnet",
    ]
    assert "| 288 | 6, 6, 6, 9 |" in lines[2]


@pytest.mark.parametrize("argv", [["list", "nosuch*"], ["families", "nosuch"], ["docs", "nosuch.md"]])
def test_what_is_not_there_is_told_in_one_line(argv, capsys):
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert "nosuch" in error
    assert error.count("\n") == 1


def test_tables_are_written_between_their_markers(tmp_path):
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- a -->\nold\nrows\n<!-- /a -->\nafter <!-- b -->\n<!-- /b -->\n", encoding="utf-8")
    write_tables(document, {"a": "| new |", "b": "| more |"})
    written = "before\n<!-- a -->\n| new |\n<!-- /a -->\nafter <!-- b -->\n| more |\n<!-- /b -->\n"
    assert document.read_text(encoding="utf-8") == written
    write_tables(document, {"a": "| new |", "b": "| more |"})
    assert document.read_text(encoding="utf-8") == written


@pytest.mark.parametrize("text", ["", "<!-- a -->", "<!-- /a -->", "<!-- a --><!-- a --><!-- /a -->"])
def test_a_document_without_its_markers_is_left_alone(text, tmp_path):
    document = tmp_path / "document.md"
    document.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="must each occur exactly once"):
        write_tables(document, {"a": "| new |"})
    assert document.read_text(encoding="utf-8") == text
