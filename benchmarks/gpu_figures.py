"""Computes speed and memory from the answers of ``benchmarks.gpu_child``. Pure."""

import statistics
from collections.abc import Sequence
from itertools import pairwise


def figures(answer: dict, batch: int) -> dict:
    """Compute the results from the times of the log lines. The first log interval is warm-up."""
    if "error" in answer:
        return {"error": answer["error"], "wall_seconds": answer.get("wall_seconds")}
    result = {
        "images_per_second": rate(answer["marks"], batch),
        "intervals": intervals(answer["marks"], batch),
        "loss": answer["marks"][-1][2],
        "allocated_gb": answer["allocated"] / 1e9,
        "reserved_gb": answer["reserved"] / 1e9,
        "wall_seconds": answer["wall_seconds"],
    }
    if "held" in answer:
        result["held_images_per_second"] = rate(answer["held"], batch)
    return result


def rate(marks: list, batch: int) -> float:
    """Images per second from the second log line to the last."""
    (began, first, _), (ended, last, _) = marks[1], marks[-1]
    return (last - first) * batch / (ended - began)


def intervals(marks: list, batch: int) -> list[float]:
    """Images per second between each two log lines, from the second line on."""
    return [(b[1] - a[1]) * batch / (b[0] - a[0]) for a, b in pairwise(marks[1:])]


def median(values: Sequence[float]) -> float | None:
    """The median, or None without values."""
    return statistics.median(values) if values else None
