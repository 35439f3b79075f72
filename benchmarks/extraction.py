"""Target 1: the CPU time of extracting eight frames, ours and other libraries'; and whether the frames are right."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import av
import numpy as np

from benchmarks.extract import METHODS, pyav_in_order, version
from benchmarks.measure import Child, Cost, interleaved, median_cpu_seconds
from benchmarks.videos import KINDS, make
from preprocess.sampling import Sampling, indices_for_test

KIND_NAMES = ("a", "b", "c", "d", "d12", "e", "hevc", "av1")
_NEIGHBORS = 3
# Gigabytes would pass through a pipe, which would take minutes.
_LEFT_OUT = {("c", "ffmpeg naive"), ("e", "ffmpeg naive")}


def measure(folder: Path, repeats: int) -> dict:
    """``{"ms": {kind: {method: milliseconds}}, "right": {kind: {method: number of right frames}},
    "missing": {method: reason}}``.

    A method that cannot read a kind, or is not measured on it, has no entry.
    """
    children, missing = _start(folder)
    result = {"ms": {}, "right": {}, "missing": missing}
    for name in KIND_NAMES:
        path = str(make(KINDS[name], folder))
        indices = evenly_spaced(KINDS[name].num_frames, 8)
        tasks = {
            method: partial(child.run, METHODS[method][0], path, indices)
            for method, child in children.items()
            if (name, method) not in _LEFT_OUT and _works(child, method, path)
        }
        costs = interleaved(tasks, repeats if name != "e" else max(2, repeats // 2))
        result["ms"][name] = {method: 1000 * median_cpu_seconds(of_method) for method, of_method in costs.items()}
        result["right"][name] = _right_frames(path, indices, costs)
    for child in children.values():
        child.__exit__()
    return result


def _works(child: Child, method: str, path: str) -> bool:
    try:
        child.run(METHODS[method][0], path, [1])
    except RuntimeError:
        return False
    return True


def evenly_spaced(num_frames: int, count: int) -> list[int]:
    """Indices of the middle frames of ``count`` equal segments."""
    return indices_for_test(num_frames, count, Sampling()).tolist()


def _start(folder: Path) -> tuple[dict[str, Child], dict[str, str]]:
    """(a process for each method that works here, the reason for each other method)."""
    children, missing = {}, {}
    probe = str(make(KINDS["b"], folder))
    for method, (function, package) in METHODS.items():
        if version(package) is None:
            missing[method] = f"{package} is not installed"
            continue
        child = Child(environment_with_libraries(folder) if package == "torchcodec" else None)
        try:
            child.run(function, probe, [1])
        except RuntimeError as error:
            missing[method] = f"{package} {version(package)} does not work: {str(error).strip().splitlines()[-1]}"
            child.__exit__()
        else:
            children[method] = child
    return children, missing


def environment_with_libraries(folder: Path) -> dict[str, str]:
    """Environment with links to PyAV's ffmpeg libraries, since torchcodec ships none."""
    source = Path(av.__file__).parent.with_name("av.libs")
    links = folder / "ffmpeg-libraries"
    links.mkdir(parents=True, exist_ok=True)
    for library in source.glob("lib*.so.*"):
        plain, _, number = library.name.partition(".so.")
        link = links / f"{plain.rsplit('-', 1)[0]}.so.{number.split('.')[0]}"
        link.unlink(missing_ok=True)
        link.symlink_to(library)
    own = os.environ.get("LD_LIBRARY_PATH", "")
    return {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, (own, str(links.absolute()), str(source))))}


def _right_frames(path: str, indices: Sequence[int], costs: dict[str, list[Cost]]) -> dict[str, int]:
    """For each method: the number of tiles that are closer to the requested frame than to its neighbors."""
    around = sorted({index + step for index in indices for step in range(-_NEIGHBORS, _NEIGHBORS + 1)})
    tiles = dict(zip(around, pyav_in_order(path, around).astype(np.int16)))
    return {
        method: sum(_nearest(tile, index, tiles) == index for tile, index in zip(of_method[0].result, indices))
        for method, of_method in costs.items()
        if of_method[0].result is not None
    }


def _nearest(tile: np.ndarray, index: int, tiles: dict[int, np.ndarray]) -> int:
    candidates = range(index - _NEIGHBORS, index + _NEIGHBORS + 1)
    return min(candidates, key=lambda candidate: np.abs(tiles[candidate] - tile).mean())
