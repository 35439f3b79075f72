"""Writes ``GPU.md`` from the results of ``benchmarks.gpu``."""

import statistics
from collections.abc import Mapping, Sequence

from benchmarks.tables import table

_HEADER = (
    "flags",
    "ours, img/s",
    "timm, img/s",
    "ours / timm",
    "batch already on the GPU, img/s",
    "lost to loading",
    "ours, GB",
    "timm, GB",
    "runs",
)

_METHOD = """`python -m benchmarks.gpu --data DIR --timm-scripts DIR --seconds 300` made this page. `--data` is a
layout that `python -m preprocess` wrote, and `--timm-scripts` is the directory of timm's `train.py` in its repository.

Both scripts train the same model on the same shards with the same flags, in turn. A rate counts the images between the
second and the last log line of a script, which are four batches apart, so it excludes start-up and the search for the
fastest convolutions. "Batch already on the GPU" is our training loop on one batch that is never loaded. The difference
is the cost of loading. Memory is the peak of the memory that tensors used.

Each rate is one run of 12 to 20 batches, so differences of a few percent are noise. The 144 super images of 72 real
clips are read from the page cache, so the page says nothing about disks, object storage or several GPUs."""


def markdown(results: Mapping) -> str:
    about = results["about"]
    workers = f"{about['workers']} loader workers"
    parts = [
        "# Training on one GPU",
        f"Commit {about['commit']}, {about['date']}, on {about['card']}, {about['cores']} CPU cores, {workers}; torch "
        f"{about['torch']}, CUDA {about['cuda']}, cuDNN {about['cudnn']}, timm {about['timm']}.",
        _METHOD,
    ]
    for model in dict.fromkeys(run["model"] for run in results["runs"]):
        parts.append(_model(model, [run for run in results["runs"] if run["model"] == model]))
    parts += [_torchrun(run) for run in results["torchrun"]]
    return "\n\n".join(parts) + "\n"


def _model(model: str, runs: Sequence[Mapping]) -> str:
    size, batch = "x".join(map(str, runs[0]["size"])), runs[0]["batch"]
    rows, errors = [], []
    for variant in dict.fromkeys(run["variant"] for run in runs):
        of_variant = [run for run in runs if run["variant"] == variant]
        rows.append(_row(variant, of_variant))
        errors += [f"{variant}, {run['script']}: {run['error']}." for run in of_variant if "error" in run]
    return "\n\n".join([f"## {model}, {size} px, batch {batch}", table(_HEADER, rows), *errors])


def _row(variant: str, runs: Sequence[Mapping]) -> list[str]:
    ours, timm = (
        [run for run in runs if run["script"] == script and "error" not in run] for script in ("ours", "timm")
    )
    mine, theirs = _median(ours, "images_per_second"), _median(timm, "images_per_second")
    held = _median(ours, "held_images_per_second")
    return [
        f"`{runs[0]['flags']}`" if runs[0]["flags"] else "none: float32, with TF32 where torch uses it",
        _number(mine, 1),
        _number(theirs, 1),
        _number(mine / theirs if mine and theirs else None, 2),
        _number(held, 1),
        "-" if not (mine and held) else f"{max(0.0, 100 * (1 - mine / held)):.0f} %",
        _number(_median(ours, "allocated_gb"), 1),
        _number(_median(timm, "allocated_gb"), 1),
        f"{len(ours)} + {len(timm)}",
    ]


def _median(runs: Sequence[Mapping], key: str) -> float | None:
    return statistics.median(run[key] for run in runs) if runs and key in runs[0] else None


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _torchrun(run: Mapping) -> str:
    result = run.get("error") or f"status {run['status']}, {_number(run['images_per_second'], 1)} img/s"
    return f"`torchrun --nproc-per-node 1`, {run['model']}, batch {run['batch']}, bfloat16 --channels-last: {result}."
