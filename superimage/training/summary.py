"""summary.csv has a row for each epoch. It is written after the epoch's checkpoint, which contains the same row."""

import csv
import io
from pathlib import Path

from timm import utils

from shards.storage import write_whole

SUMMARY = "summary.csv"


def read_rows(path: Path) -> list[list[str]]:
    """[header, row of an epoch, ...]; empty if there is no file. Incomplete rows are dropped."""
    if not path.is_file():
        return []
    text = path.read_text(errors="replace", encoding="utf-8").replace("\0", "")  # a power failure can leave zero bytes
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(io.StringIO(whole, newline="")))
    return [row for row in rows if len(row) == len(rows[0]) and (row is rows[0] or row[0].isdigit())]


def repair_summary(path: Path, start_epoch: int, summary: dict | None) -> None:
    """Keep one complete row for each epoch before ``start_epoch``, and remove all others.

    ``summary``: the arguments of the last row, from its checkpoint. The row is added if the run stopped before writing
    it.
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
    """Append the row of an epoch. ``summary``: keyword arguments of ``timm.utils.update_summary``."""
    utils.update_summary(filename=str(path), **summary)
