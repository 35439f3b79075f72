"""``report.html``: the report as a self-contained page, from the template ``templates/conversion.html``."""

import io
import itertools
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from preprocess.report.summary import REPORT_NAME, collect
from preprocess.run.pipeline import Prepared
from shards.format import MANIFEST_NAME
from shards.page.charts import columns, curve, histogram
from shards.page.formats import byte_count
from shards.page.render import render_page
from shards.preview import contact_sheet
from shards.storage import write_whole

PAGE_NAME = "report.html"
_TEMPLATE = Path(__file__).parent / "templates" / "conversion.html"
_SHEETS = 4  # contact sheets on the page, so that it stays small
_SUPER_IMAGES = 8
_CLASSES_SHOWN = 10


def write_report(prepared: Prepared) -> Path:
    """Write ``report.json`` and ``report.html`` for the current state; return the path of the page."""
    output = Path(prepared.job.output)
    report = collect(prepared)
    write_whole(output / REPORT_NAME, (json.dumps(report, indent=1) + "\n").encode("ascii"))
    write_whole(output / PAGE_NAME, page(report, _sheets(prepared)))
    return output / PAGE_NAME


def page(report: Mapping, sheets: Mapping[str, bytes]) -> bytes:
    """The page as HTML in UTF-8. ``sheets``: {layout: contact sheet as JPEG}."""
    return render_page(
        _TEMPLATE,
        title="Conversion report",
        written=time.strftime("%Y-%m-%d %H:%M %Z"),
        report=report,
        sheets=sheets,
        course=_progress_charts(report["history"]),
        failure_counts={reason: entry["count"] for reason, entry in report["failures"].items()},
        split_rows=[
            (name, *(split[column] for column in ("videos", "missing", "views", "batches", "batches_done")))
            for name, split in report["splits"].items()
        ],
        layout_rows=list(_layout_rows(report["layouts"])),
        spreads=list(_spreads(report)),
        classes=list(_classes(report["classes"])),
    )


def _progress_charts(points: list[Mapping]) -> dict | None:
    """Charts of the number of converted videos and of the rate over working time; None for less than two points."""
    if len(points) < 2:
        return None
    steps = [(old, new) for old, new in itertools.pairwise(points) if new["seconds"] > old["seconds"]]
    rates = [(new["videos"] - old["videos"]) / (new["seconds"] - old["seconds"]) for old, new in steps]
    seconds = [point["seconds"] for point in points]
    return {
        "seconds": seconds[-1],
        "videos": curve(seconds, [point["videos"] for point in points], x_label="seconds of work"),
        "rates": curve([new["seconds"] for _, new in steps], rates, x_label="seconds of work"),
    }


def _layout_rows(layouts: Mapping[str, Mapping]) -> Iterator[tuple]:
    for name, layout in layouts.items():
        per_sample = byte_count(layout["bytes"] / max(layout["samples"], 1))
        size = f"{layout['height']}x{layout['width']}"
        yield name, size, layout["tars"], layout["samples"], byte_count(layout["bytes"]), per_sample


def _spreads(report: Mapping) -> Iterator[dict]:
    source = report["source"]
    for title, spread, unit in (
        ("Duration in seconds", source["duration_seconds"], 1.0),
        ("Frames", source["frames"], 1.0),
        ("File size in MB", source["file_bytes"], 1e6),
        ("CPU seconds per video", report["work"]["cpu_seconds"], 1.0),
    ):
        if spread is not None:
            low, median, high = (spread[name] / unit for name in ("min", "median", "max"))
            chart = histogram(spread, unit=unit)
            yield {"title": title, "low": low, "median": median, "high": high, "chart": chart}


def _classes(by_split: Mapping[str, Mapping[str, int]]) -> Iterator[dict]:
    """For each split, a chart of the number of videos per class, and the largest and smallest classes."""
    for split, counts in by_split.items():
        if counts:
            ordered = sorted(counts.items(), key=lambda item: item[1], reverse=True)
            half = _CLASSES_SHOWN // 2
            ends = ordered if len(ordered) <= _CLASSES_SHOWN else [*ordered[:half], *ordered[-half:]]
            yield {
                "split": split,
                "count": len(counts),
                "most": ordered[0][1],
                "fewest": ordered[-1][1],
                "ends": dict(ends),
                "chart": columns([count for _, count in ordered], left="largest class", right="smallest class"),
            }


def _sheets(prepared: Prepared) -> dict[str, bytes]:
    """{layout: contact sheet as JPEG} of the first complete layouts."""
    sheets = {}
    split = next(iter(prepared.job.config.splits))
    for layout in list(prepared.job.config.layouts)[:_SHEETS]:
        directory = Path(prepared.job.output) / layout
        if (directory / MANIFEST_NAME).exists():
            content = io.BytesIO()
            contact_sheet(directory, split=split, count=_SUPER_IMAGES).save(content, "JPEG", quality=85)
            sheets[layout] = content.getvalue()
    return sheets
