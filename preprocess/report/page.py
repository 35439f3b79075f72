"""``report.html``: the report as one page that needs nothing but itself, for a person to look at."""

import base64
import io
import itertools
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from preprocess.report.charts import columns, curve, histogram, number
from preprocess.report.summary import REPORT_NAME, collect
from preprocess.run.pipeline import Prepared
from preprocess.run.progress import clock
from shards.format import MANIFEST_NAME
from shards.preview import contact_sheet
from shards.storage import write_whole

PAGE_NAME = "report.html"
_SHEETS = 4  # layouts shown; a page of megabytes is no help
_SUPER_IMAGES = 8
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1080px; padding: 0 1rem; color: #1c2330 }
h1 { font-size: 1.5rem; margin-bottom: .2rem }
h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; border-bottom: 1px solid #d6dbe3 }
h3 { font-size: .95rem; margin: 1rem 0 .3rem }
.state { color: #5b6575 }
.tiles { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0 }
.tile { background: #f1f4f8; border-radius: 8px; padding: .6rem 1rem; min-width: 7.5rem }
.tile b { display: block; font-size: 1.35rem; font-variant-numeric: tabular-nums }
.bad b { color: #b3261e }
table { border-collapse: collapse; width: 100%; margin-bottom: .8rem }
td, th { padding: .18rem .6rem .18rem 0; text-align: left; vertical-align: top; overflow-wrap: anywhere }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
th { color: #5b6575; font-weight: 500 }
td.bar { width: 45%; padding-top: .4rem }
.bar div { background: #3b6fb6; height: .8rem; border-radius: 2px; min-width: 1px }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(440px, 100%), 1fr)); gap: 0 2.5rem }
svg { width: 100%; height: auto }
svg text { font-size: 11px; fill: #5b6575 }
details { margin: .2rem 0 }
summary { cursor: pointer }
code { font-size: .82rem; overflow-wrap: anywhere; color: #5b6575 }
img { max-width: 100% }
"""


def write_report(prepared: Prepared) -> Path:
    """Write ``report.json`` and ``report.html`` of what is there; returns the path of the page."""
    output = Path(prepared.job.output)
    report = collect(prepared)
    write_whole(output / REPORT_NAME, (json.dumps(report, indent=1) + "\n").encode("ascii"))
    write_whole(output / PAGE_NAME, page(report, _sheets(prepared)).encode("utf-8", "replace"))
    return output / PAGE_NAME


def page(report: Mapping, sheets: Mapping[str, bytes]) -> str:
    """The page as HTML. Names of files come from strangers, so all text is escaped; there is no script in it."""
    body = "\n".join(
        part for section in (_head, _course, _failures, _shards, _videos, _classes) for part in section(report)
    )
    pictures = "\n".join(_contact_sheet(name, sheet) for name, sheet in sheets.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Conversion report</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n{body}\n{pictures}\n</body></html>\n"
    )


def _head(report: Mapping) -> Iterator[str]:
    videos = report["videos"]
    state = "complete" if report["complete"] else f"not complete: {videos['pending']} videos are still to come"
    yield "<h1>Conversion report</h1>"
    written = time.strftime("%Y-%m-%d %H:%M %Z")
    yield f'<p class="state">{state}; written {written}; digest {escape(report["digest"][:12])}</p>'
    yield '<div class="tiles">'
    yield _tile("videos", f"{videos['planned']:,}")
    yield _tile("converted", f"{videos['converted']:,}")
    yield _tile("failed", f"{videos['failed']:,}", bad=videos["failed"] > 0)
    yield _tile("missing", f"{videos['missing']:,}", bad=videos["missing"] > 0)
    yield _tile("samples", f"{sum(layout['samples'] for layout in report['layouts'].values()):,}")
    yield _tile("written", _bytes(sum(layout["bytes"] for layout in report["layouts"].values())))
    if report["work"]["cpu_seconds"]:
        yield _tile("CPU time", clock(report["work"]["cpu_seconds"]["sum"]))
    yield "</div>"


def _course(report: Mapping) -> Iterator[str]:
    points = report["history"]
    if len(points) < 2:
        return
    seconds = [point["seconds"] for point in points]
    end = clock(seconds[-1])
    steps = [(old, new) for old, new in itertools.pairwise(points) if new["seconds"] > old["seconds"]]
    rates = [(new["videos"] - old["videos"]) / (new["seconds"] - old["seconds"]) for old, new in steps]
    yield "<h2>Over time</h2>"
    yield f"<p>{end} of work, pauses between runs not counted.</p>"
    yield '<div class="pair">'
    yield f"<div><h3>videos done</h3>{curve(seconds, [point['videos'] for point in points], end=end)}</div>"
    yield f"<div><h3>videos a second</h3>{curve([new['seconds'] for _, new in steps], rates, end=end)}</div></div>"


def _failures(report: Mapping) -> Iterator[str]:
    if report["failures"]:
        yield "<h2>Left out, by reason</h2>"
        yield _bars({reason: entry["count"] for reason, entry in report["failures"].items()})
        for reason, entry in report["failures"].items():
            rows = "".join(
                f"<p>{escape(example['path'])}<br><code>{escape(example['detail'])}</code></p>"
                for example in entry["examples"]
            )
            yield f"<details><summary>{escape(reason)}: examples</summary>{rows}</details>"
    if report["videos"]["missing"]:
        names = ", ".join(escape(path) for path in report["missing_examples"])
        yield f"<h2>Missing</h2><p>{report['videos']['missing']:,} listed videos were not there, such as {names}.</p>"
    if report["source"]["concealed"]:
        yield "<h2>Damaged, and decoded all the same</h2>"
        yield "<p>The strict decoder gave up on these, for the reason shown; the other went over the damage.</p>"
        yield _bars(report["source"]["concealed"])
        yield f"<p>{_decoded_shares(report['source'])}</p>"


def _decoded_shares(source: Mapping) -> str:
    told = f"A video is left out when less than {source['min_decoded_share']:.0%} of its frames decode without damage."
    shares = source["decoded_share_of_damaged"]
    if shares is None:
        return f"{told} (min_decoded_share) No video with damaged frames was stored."
    return (
        f"{told} (min_decoded_share) {sum(shares['counts']):,} videos with damaged frames were stored: "
        f"{shares['min']:.0%} at least, {shares['median']:.0%} in the median, of their frames decode without damage."
    )


def _shards(report: Mapping) -> Iterator[str]:
    yield "<h2>Shards</h2>"
    yield _table(
        ("split", "videos", "missing", "views", "shards", "done"),
        [
            (name, split["videos"], split["missing"], split["views"], split["shards"], split["shards_done"])
            for name, split in report["splits"].items()
        ],
    )
    yield _table(
        ("layout", "pixels", "tars", "samples", "size", "per sample"),
        [
            (
                *(name, f"{layout['height']}x{layout['width']}", layout["tars"], layout["samples"]),
                *(_bytes(layout["bytes"]), _bytes(layout["bytes"] / max(layout["samples"], 1))),
            )
            for name, layout in report["layouts"].items()
        ],
    )


def _videos(report: Mapping) -> Iterator[str]:
    source, work = report["source"], report["work"]
    if not source["decoders"]:
        return
    yield "<h2>The videos</h2>"
    if work["shards_without_facts"]:
        yield f"<p>{work['shards_without_facts']} shards have left no facts, and are not counted from here on.</p>"
    yield '<div class="pair">'
    for title, counts in (
        ("codecs", source["codecs"]),
        ("frame sizes", source["sizes"]),
        ("decoders", source["decoders"]),
    ):
        yield f"<div><h3>{title}</h3>{_bars(counts)}</div>"
    yield f"<div><h3>machines</h3>{_bars(work['machines'])}</div>"
    yield _spread("duration, seconds", source["duration_seconds"])
    yield _spread("frames", source["frames"])
    yield _spread("file size, MB", source["file_bytes"], unit=1e6)
    yield _spread("CPU seconds a video", work["cpu_seconds"])
    yield "</div>"
    slowest = ", ".join(f"{escape(one['path'])} ({one['cpu_seconds']:.2f} s)" for one in work["slowest"])
    yield f"<p>Most CPU time: {slowest}.</p>"


def _classes(report: Mapping) -> Iterator[str]:
    yield "<h2>Classes</h2>"
    for split, counts in report["classes"].items():
        if counts:
            ordered = sorted(counts.items(), key=lambda item: item[1], reverse=True)
            ends = ordered if len(ordered) <= 10 else [*ordered[:5], *ordered[-5:]]
            yield f"<h3>{escape(split)}: {len(counts)} classes, {ordered[-1][1]} to {ordered[0][1]} videos each</h3>"
            chart = columns([count for _, count in ordered], left="the most", right="the fewest")
            yield f'<div class="pair"><div>{chart}</div><div>{_bars(dict(ends))}</div></div>'


def _contact_sheet(name: str, sheet: bytes) -> str:
    picture = base64.b64encode(sheet).decode("ascii")
    return f'<h2>{escape(name)}</h2><img alt="super images of {escape(name)}" src="data:image/jpeg;base64,{picture}">'


def _sheets(prepared: Prepared) -> dict[str, bytes]:
    """A contact sheet of each of the first layouts that are complete, as JPEG."""
    sheets = {}
    split = next(iter(prepared.job.config.splits))
    for layout in list(prepared.job.config.layouts)[:_SHEETS]:
        directory = Path(prepared.job.output) / layout
        if (directory / MANIFEST_NAME).exists():
            content = io.BytesIO()
            contact_sheet(directory, split=split, count=_SUPER_IMAGES).save(content, "JPEG", quality=85)
            sheets[layout] = content.getvalue()
    return sheets


def _spread(title: str, spread: Mapping | None, *, unit: float = 1.0) -> str:
    if spread is None:
        return ""
    low, middle, high = (number(spread[name] / unit) for name in ("min", "median", "max"))
    return f"<div><h3>{title}: {low} to {high}, half below {middle}</h3>{histogram(spread, unit=unit)}</div>"


def _bytes(count: float) -> str:
    """``12_300_000 -> 12.3 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _tile(name: str, value: str, *, bad: bool = False) -> str:
    return f'<div class="tile{" bad" if bad else ""}"><b>{value}</b>{name}</div>'


def _bars(counts: Mapping[str, int]) -> str:
    most = max(counts.values(), default=1) or 1
    rows = "".join(
        f'<tr><td>{escape(str(name))}</td><td class="n">{count:,}</td>'
        f'<td class="bar"><div style="width:{100 * count / most:.1f}%"></div></td></tr>'
        for name, count in counts.items()
    )
    return f"<table>{rows}</table>"


def _table(titles: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    head = "".join(f'<th class="{"n" if number else ""}">{title}</th>' for number, title in enumerate(titles))
    body = "".join("<tr>" + "".join(_cell(number, value) for number, value in enumerate(row)) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(number: int, value: object) -> str:
    shown = f"{value:,}" if isinstance(value, int) else escape(str(value))
    return f'<td class="{"n" if number else ""}">{shown}</td>'
