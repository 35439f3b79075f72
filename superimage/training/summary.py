"""summary.csv: a row for each epoch, written after its checkpoint, which holds the same row."""

import csv
import io
from pathlib import Path

from timm import utils

from shards.storage import write_whole

SUMMARY = "summary.csv"


def read_rows(path: Path) -> list[list[str]]:
    """[header, row of an epoch, ...]; ``[]`` where there is no file. A row that a stop cut short is left out."""
    if not path.is_file():
        return []
    text = path.read_text(errors="replace", encoding="utf-8").replace("\0", "")  # zeros are what a power cut leaves
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(io.StringIO(whole, newline="")))
    return [row for row in rows if len(row) == len(rows[0]) and (row is rows[0] or row[0].isdigit())]


def mend_summary(path: Path, start_epoch: int, summary: dict | None) -> None:
    """Make the file hold the rows of the epochs before ``start_epoch`` alone, whole, each once.

    ``summary``: the last of them, from its checkpoint. It is added where the run ended before the row was written.
    """
    rows = read_rows(path)
    by_epoch = {int(row[0]): row for row in rows[1:] if int(row[0]) < start_epoch}
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([*rows[:1], *by_epoch.values()] if by_epoch else [])
    if path.is_file() and text.getvalue().encode() != path.read_bytes():
        write_whole(path, text.getvalue().encode())
    if summary and start_epoch - 1 not in by_epoch:
        write_row(path, summary)


def write_row(path: Path, summary: dict) -> None:
    """Append the row of an epoch; ``summary`` has the arguments of ``timm.utils.update_summary`` by name."""
    utils.update_summary(filename=str(path), **summary)
