"""Writes ``README.md`` from the results: tables, targets, and whether they were reached."""

from collections.abc import Mapping

from benchmarks.extract import METHODS
from benchmarks.tables import table
from benchmarks.videos import KINDS

_INTRODUCTION = """# Benchmarks

`make bench` makes the test videos, runs all measurements, and writes this page, `results.json` and `results.png`.
Install the other libraries first (`pip install -e .[bench]`); a missing one is named below.

CPU time is the user and system time of all threads and processes. Every method uses one thread and has its own process.
The methods run in turn, several times, and the tables show medians. ffmpeg makes the videos from Conway's game of life.
Real videos differ, so compare ratios rather than milliseconds. [GPU.md](GPU.md) has the figures for training on a GPU.
"""


def markdown(results: Mapping) -> str:
    """The whole page. Parts without results are omitted."""
    parts = [_INTRODUCTION, _machine(results["about"])]
    for name, section in _SECTIONS.items():
        if name in results:
            parts.append(section(results[name]))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def verdict(target: str, measured: float, limit: float, *, at_least: bool = False) -> str:
    """One line about a target: ``- a <= 0.75: 0.70, reached``."""
    reached = measured >= limit if at_least else measured <= limit
    sign = ">=" if at_least else "<="
    return f"- {target} {sign} {limit:g}: **{measured:.3g}**, {'reached' if reached else 'NOT reached'}"


def _machine(about: Mapping) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    missing = ", ".join(about["missing"]) or "none"
    return (
        f"## Last run\n\nCommit {about['commit']}, {about['date']}, on {about['cpu']} ({about['cores']} cores), load "
        f"average {about['load_before']:.1f} before it and {about['load_after']:.1f} after it.\n\n{versions}. "
        f"Not installed: {missing}.\n\n![the ratios](results.png)"
    )


def _extraction(result: Mapping) -> str:
    methods = [method for method in METHODS if any(method in of_kind for of_kind in result["ms"].values())]
    rows = []
    for kind, of_kind in result["ms"].items():
        right = result["right"][kind]
        cells = [
            f"{of_kind[method]:.0f}" + ("" if right.get(method, 8) == 8 else f" ({right[method]} of 8 right)")
            if method in of_kind
            else "-"
            for method in methods
        ]
        rows.append([f"{kind}: {KINDS[kind].what}", *cells])
    lines = [
        "## 1. Eight frames as 224 px squares: CPU milliseconds per video",
        "",
        table(["", *methods], rows),
        "",
        "`floor` is decoding only, and skips what our decoder skips. `-`: the method cannot read this kind of video, "
        "or was not measured (`ffmpeg naive` on c and e).",
        *(f"\n{method} is missing: {why}." for method, why in result["missing"].items()),
        "",
        *_extraction_verdicts(result["ms"]),
    ]
    return "\n".join(lines)


def _extraction_verdicts(milliseconds: Mapping) -> list[str]:
    lines = []
    for kind, limit in (("a", 0.75), ("c", 0.70), ("e", 0.75)):
        if "torchcodec exact" in milliseconds[kind]:
            ratio = milliseconds[kind]["ours"] / milliseconds[kind]["torchcodec exact"]
            lines.append(verdict(f"{kind}: ours / torchcodec exact", ratio, limit))
    for kind in ("b", "d"):
        others = [
            milliseconds[kind][method]
            for method in ("torchcodec exact", "decord", "OpenCV")
            if method in milliseconds[kind]
        ]
        if others:
            lines.append(verdict(f"{kind}: ours / fastest other", milliseconds[kind]["ours"] / min(others), 1.0))
    return lines


def _conversion(result: Mapping) -> str:
    whats = list(next(iter(result["ms"].values())))
    rows = [[kind, *(f"{of_kind[what]:.1f}" for what in whats)] for kind, of_kind in result["ms"].items()]
    lines = [
        "## 2. The whole conversion: CPU milliseconds per video",
        "",
        table(["", *whats], rows),
        "",
        "`python -m preprocess` uses one worker; its start-up is subtracted. The other columns run the same code in "
        "one process, without Ray and without the decoder's sandbox, and write a tar for each sample. The first layout "
        "is 3x3 x 224 px, the second 2x4 x 224 px, the third 1x8 x 112 px. `decoding alone` skips what our decoder "
        "skips. On d it is half of decoding in order, so the other work is a larger part.",
        "",
    ]
    for kind, limit in (("a", 1.25), ("c", 1.25), ("b", 2.0), ("d", 2.0)):
        of_kind = result["ms"][kind]
        ratio = of_kind["python -m preprocess"] / of_kind["decoding alone"]
        lines.append(verdict(f"{kind}: python -m preprocess / decoding alone", ratio, limit))
    for kind in ("a", "c"):
        of_kind = result["ms"][kind]
        rival = of_kind.get("torchcodec exact, frames alone")
        if rival:
            lines.append(
                verdict(
                    f"{kind}: python -m preprocess / torchcodec's frames", of_kind["python -m preprocess"] / rival, 1.0
                )
            )
    of_a = result["ms"]["a"]
    lines.append(verdict("a: 2 layouts / 1 layout", of_a["2 layouts"] / of_a["1 layout"], 1.06))
    lines.append(verdict("a: 3 layouts / 2 layouts", of_a["3 layouts"] / of_a["2 layouts"], 1.06))
    lines.append(f"- added by a second training view, which has other frames: {_added(result['ms'])}")
    return "\n".join(lines)


def _added(milliseconds: Mapping) -> str:
    return ", ".join(
        f"{kind} +{100 * (of_kind['2 training views'] / of_kind['1 training view'] - 1):.0f} %"
        for kind, of_kind in milliseconds.items()
    )


def _workers(result: Mapping) -> str:
    seconds = result["seconds"]
    rows = [[method, f"{of_method['wall']:.1f}", f"{of_method['cpu']:.1f}"] for method, of_method in seconds.items()]
    one, two, pool = (seconds[method] for method in ("Ray, 1 worker", "Ray, 2 workers", "pool, 2 workers"))
    lines = [
        f"## 3. Workers: seconds for {result['clips']} clips of kind b, without start-up",
        "",
        table(["", "wall", "CPU"], rows),
        "",
        verdict("speed-up by a second worker", one["wall"] / two["wall"], 1.85, at_least=True),
        verdict("Ray / pool, wall", two["wall"] / pool["wall"], 1.07),
        verdict("Ray / pool, CPU", two["cpu"] / pool["cpu"], 1.07),
    ]
    return "\n".join(lines)


def _memory(result: Mapping) -> str:
    rows = [[case, f"{of_case['worker']:.0f}", f"{of_case['decoder']:.0f}"] for case, of_case in result["mb"].items()]
    most = max(sum(of_case.values()) for of_case in result["mb"].values())
    lines = [
        "## 4. Memory of a worker for 1080p: peak resident MB",
        "",
        table(["", "worker", "decoder process"], rows),
        "",
        verdict("sum of both", most, 400),
    ]
    return "\n".join(lines)


def _training_input(result: Mapping) -> str:
    rows = []
    for case, of_case in result["ms"].items():
        shard, sizes = of_case["shard"], result["bytes"][case]
        rivals = [
            f"{of_case[method]:.1f} ({of_case[method] / shard:.1f} x)" if method in of_case else "missing"
            for method in ("on line, torchcodec exact", "on line, our skip")
        ]
        rows.append([case, f"{shard:.2f}", *rivals, f"{sizes['shard'] / 1000:.0f}", f"{sizes['video'] / 1000:.0f}"])
    header = ["", "shard, ms", "torchcodec exact, ms", "our skip, ms", "shard, kB", "video, kB"]
    lines = [
        "## 5. Training input: CPU time and bytes per sample, for a super image of 224 px tiles as uint8",
        "",
        table(header, rows),
        "",
        "`shard`: timm's own reader reads the shard, and Pillow decodes it. The other columns decode the video "
        "online, and cut and tile its frames to the same array. All methods keep freed memory, as `train_image.py` "
        "does. The limits below were measured on other clips with an earlier version of our decoder. The faster our "
        "decoder is, the less a shard saves.",
        "",
    ]
    for kind, by_torchcodec, by_ours in (("a", 40, 26), ("b", 12.7, 10.5), ("c", 277, 166), ("d", 8.4, 6.9)):
        of_case = result["ms"][f"{kind}, 8 frames"]
        for method, limit in (("on line, torchcodec exact", by_torchcodec), ("on line, our skip", by_ours)):
            if method in of_case:
                ratio = of_case[method] / of_case["shard"]
                lines.append(verdict(f"{kind}: {method} / shard", ratio, limit, at_least=True))
    return "\n".join(lines)


def _quality(result: Mapping) -> str:
    rows = [
        [name, *(f"{row[key]:.{digits}f}" for key, digits in _QUALITY_COLUMNS.items())] for name, row in result.items()
    ]
    lines = [
        "## 6. Image quality: mean of a, b, c and d, 8 frames in 3x3 x 224 px",
        "",
        table(["", "PSNR, dB", "kB", "encode, ms", "decode, ms"], rows),
        "",
        "The reference decodes every frame, converts colors exactly, and averages over each pixel's area. `before "
        "encoding` differs from it, since our tiles are resized with a triangle filter instead of the plain average. "
        "JPEGs with 4:2:0 are made from the video's own luma and chroma, all others from RGB.",
        "",
        "The default is JPEG of quality 90 with 4:2:0. The step from 90 to 95 costs the most bytes for a tenth of a "
        "dB. Most videos are 4:2:0 themselves. WebP files are smaller, but take over twenty times as long to encode, "
        "and twice as long to decode, in every epoch. PNG preserves artifacts that the video's codec has already "
        "caused.",
    ]
    return "\n".join(lines)


_QUALITY_COLUMNS = {"psnr_db": 2, "kilobytes": 0, "encode_ms": 1, "decode_ms": 1}
_SECTIONS = {
    "extraction": _extraction,
    "conversion": _conversion,
    "workers": _workers,
    "memory": _memory,
    "training_input": _training_input,
    "quality": _quality,
}
