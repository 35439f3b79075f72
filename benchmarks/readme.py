"""The results as tables in Markdown, each with its target and whether it was reached."""

from collections.abc import Mapping

from benchmarks.extract import WAYS
from benchmarks.tables import table
from benchmarks.videos import KINDS

_INTRODUCTION = """# Benchmarks

`make bench` makes the videos, runs everything below and writes this page, `results.json` and `results.png` anew. The
rivals are installed by hand (`pip install -e .[bench]`); one that is not there is named as missing.

CPU is user and system time of every thread and every process, on one thread a way. Every way runs in a process of its
own, all in turn, several times over, and the medians are shown. The videos are made by ffmpeg from a scene of cells
that live and die; real ones differ, so read the ratios. Training on a GPU has a page of its own, [GPU.md](GPU.md).
"""


def markdown(results: Mapping) -> str:
    """The whole page; a part that was not measured is left out."""
    parts = [_INTRODUCTION, _machine(results["about"])]
    for name, section in _SECTIONS.items():
        if name in results:
            parts.append(section(results[name]))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def verdict(target: str, measured: float, limit: float, *, at_least: bool = False) -> str:
    """``- a <= 0.75: 0.70, reached``."""
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
    ways = [way for way in WAYS if any(way in of_kind for of_kind in result["ms"].values())]
    rows = []
    for kind, of_kind in result["ms"].items():
        right = result["right"][kind]
        cells = [
            f"{of_kind[way]:.0f}" + ("" if right.get(way, 8) == 8 else f" ({right[way]} of 8 right)")
            if way in of_kind
            else "-"
            for way in ways
        ]
        rows.append([f"{kind}: {KINDS[kind].what}", *cells])
    lines = [
        "## 1. Eight frames as 224 px squares: CPU milliseconds a video",
        "",
        table(["", *ways], rows),
        "",
        "The floor is the decoding alone, with our skip. `-`: it cannot read that kind, or was left out (naive, on c "
        "and e).",
        *(f"\n{way} is missing: {why}." for way, why in result["missing"].items()),
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
            milliseconds[kind][way] for way in ("torchcodec exact", "decord", "OpenCV") if way in milliseconds[kind]
        ]
        if others:
            lines.append(
                verdict(f"{kind}: ours / the best of the others", milliseconds[kind]["ours"] / min(others), 1.0)
            )
    return lines


def _conversion(result: Mapping) -> str:
    whats = list(next(iter(result["ms"].values())))
    rows = [[kind, *(f"{of_kind[what]:.1f}" for what in whats)] for kind, of_kind in result["ms"].items()]
    lines = [
        "## 2. The whole conversion: CPU milliseconds a video",
        "",
        table(["", *whats], rows),
        "",
        "`python -m preprocess` has one worker, and its start-up is taken off; the other columns run the same "
        "code in one process, without Ray and the decoder's sandbox, and write a tar for each sample. The first "
        "layout is 3x3 x 224 px, the second 2x4 x 224 px, the third 1x8 x 112 px. The decoding alone is that with"
        " our skip: on d it is half of the decoding in order, so that the rest weighs more.",
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
                verdict(f"{kind}: the same / torchcodec's frames", of_kind["python -m preprocess"] / rival, 1.0)
            )
    of_a = result["ms"]["a"]
    lines.append(verdict("a: 2 layouts / 1 layout", of_a["2 layouts"] / of_a["1 layout"], 1.06))
    lines.append(verdict("a: 3 layouts / 2 layouts", of_a["3 layouts"] / of_a["2 layouts"], 1.06))
    lines.append(f"- a second training view, with frames of its own: {_added(result['ms'])}")
    return "\n".join(lines)


def _added(milliseconds: Mapping) -> str:
    return ", ".join(
        f"{kind} +{100 * (of_kind['2 training views'] / of_kind['1 training view'] - 1):.0f} %"
        for kind, of_kind in milliseconds.items()
    )


def _workers(result: Mapping) -> str:
    seconds = result["seconds"]
    rows = [[way, f"{of_way['wall']:.1f}", f"{of_way['cpu']:.1f}"] for way, of_way in seconds.items()]
    one, two, pool = (seconds[way] for way in ("Ray, 1 worker", "Ray, 2 workers", "pool, 2 workers"))
    lines = [
        f"## 3. Workers: seconds for {result['clips']} clips of kind b, start-up apart",
        "",
        table(["", "wall", "CPU"], rows),
        "",
        verdict("two workers, times as fast as one", one["wall"] / two["wall"], 1.85, at_least=True),
        verdict("Ray / pool, wall", two["wall"] / pool["wall"], 1.07),
        verdict("Ray / pool, CPU", two["cpu"] / pool["cpu"], 1.07),
    ]
    return "\n".join(lines)


def _memory(result: Mapping) -> str:
    rows = [[case, f"{of_case['worker']:.0f}", f"{of_case['decoder']:.0f}"] for case, of_case in result["mb"].items()]
    most = max(sum(of_case.values()) for of_case in result["mb"].values())
    lines = [
        "## 4. Memory of a worker on 1080p: peak resident MB",
        "",
        table(["", "worker", "its decoder's process"], rows),
        "",
        verdict("both together", most, 400),
    ]
    return "\n".join(lines)


def _training_input(result: Mapping) -> str:
    rows = []
    for case, of_case in result["ms"].items():
        shard, sizes = of_case["shard"], result["bytes"][case]
        rivals = [
            f"{of_case[way]:.1f} ({of_case[way] / shard:.1f} x)" if way in of_case else "missing"
            for way in ("on line, torchcodec exact", "on line, our skip")
        ]
        rows.append([case, f"{shard:.2f}", *rivals, f"{sizes['shard'] / 1000:.0f}", f"{sizes['video'] / 1000:.0f}"])
    header = ["", "shard, ms", "torchcodec exact, ms", "our skip, ms", "shard, kB", "video, kB"]
    lines = [
        "## 5. Training input: CPU a sample and bytes read, a super image of 224 px tiles as uint8",
        "",
        table(header, rows),
        "",
        "The shard is read by timm's own reader and decoded by Pillow; on line, the video's frames are decoded, "
        "cut and laid out to the same array. All keep freed memory, as `train_image.py` does. The limits below are "
        "ratios measured by hand, on other clips, before our own skip was what it is: the quicker it gets, the less"
        " a shard saves.",
        "",
    ]
    for kind, by_torchcodec, by_ours in (("a", 40, 26), ("b", 12.7, 10.5), ("c", 277, 166), ("d", 8.4, 6.9)):
        of_case = result["ms"][f"{kind}, 8 frames"]
        for way, limit in (("on line, torchcodec exact", by_torchcodec), ("on line, our skip", by_ours)):
            if way in of_case:
                lines.append(verdict(f"{kind}: {way} / shard", of_case[way] / of_case["shard"], limit, at_least=True))
    return "\n".join(lines)


def _quality(result: Mapping) -> str:
    rows = [
        [name, *(f"{row[key]:.{digits}f}" for key, digits in _QUALITY_COLUMNS.items())] for name, row in result.items()
    ]
    lines = [
        "## 6. Quality kept: means over a, b, c and d, 8 frames in 3x3 x 224 px",
        "",
        table(["", "PSNR, dB", "kB", "encode, ms", "decode, ms"], rows),
        "",
        "Against every frame decoded, exact colours, and the plain mean over each pixel's area. What `before "
        "encoding` lacks is the triangle that tiles are averaged with in place of the plain mean. JPEGs of 4:2:0 "
        "are made of the video's own luma and chroma, all else of RGB.",
        "",
        "The default is JPEG of quality 90, 4:2:0: the last step before 95 costs the most bytes for each tenth of"
        " a dB; most sources are 4:2:0 themselves; WebP is smaller, but takes over twenty times as long to encode"
        " and twice as long to decode, in every epoch anew; PNG keeps what the video's own coder had already "
        "lost.",
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
