"""Target 1: the CPU of getting eight frames, ours against every rival's; and whether they are the frames asked for."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import av
import numpy as np

from benchmarks.extract import WAYS, pyav_in_order, version
from benchmarks.measure import Child, Cost, interleaved, median_cpu_seconds
from benchmarks.videos import KINDS, make
from preprocess.sampling import Sampling, indices_for_test

KIND_NAMES = ("a", "b", "c", "d", "d12", "e", "hevc", "av1")
_NEIGHBOURS = 3
# Gigabytes through a pipe: nobody would, and it would take minutes.
_LEFT_OUT = {("c", "ffmpeg naive"), ("e", "ffmpeg naive")}


def measure(folder: Path, repeats: int) -> dict:
    """``{"ms": {kind: {way: milliseconds}}, "right": {kind: {way: frames of 8}}, "missing": {way: why}}``.

    A way that cannot read a kind, or is left out of it, has no entry there.
    """
    children, missing = _start(folder)
    result = {"ms": {}, "right": {}, "missing": missing}
    for name in KIND_NAMES:
        path = str(make(KINDS[name], folder))
        indices = evenly_spaced(KINDS[name].num_frames, 8)
        tasks = {
            way: partial(child.run, WAYS[way][0], path, indices)
            for way, child in children.items()
            if (name, way) not in _LEFT_OUT and _works(child, way, path)
        }
        costs = interleaved(tasks, repeats if name != "e" else max(2, repeats // 2))
        result["ms"][name] = {way: 1000 * median_cpu_seconds(of_way) for way, of_way in costs.items()}
        result["right"][name] = _right_frames(path, indices, costs)
    for child in children.values():
        child.__exit__()
    return result


def _works(child: Child, way: str, path: str) -> bool:
    try:
        child.run(WAYS[way][0], path, [1])
    except RuntimeError:
        return False
    return True


def evenly_spaced(num_frames: int, count: int) -> list[int]:
    """The middles of ``count`` equal segments."""
    return indices_for_test(num_frames, count, Sampling()).tolist()


def _start(folder: Path) -> tuple[dict[str, Child], dict[str, str]]:
    """A process for each way that works here, and why the others do not."""
    children, missing = {}, {}
    probe = str(make(KINDS["b"], folder))
    for way, (function, package) in WAYS.items():
        if version(package) is None:
            missing[way] = f"{package} is not installed"
            continue
        child = Child(environment_with_libraries(folder) if package == "torchcodec" else None)
        try:
            child.run(function, probe, [1])
        except RuntimeError as error:
            missing[way] = f"{package} {version(package)} does not work: {str(error).strip().splitlines()[-1]}"
            child.__exit__()
        else:
            children[way] = child
    return children, missing


def environment_with_libraries(folder: Path) -> dict[str, str]:
    """torchcodec brings no ffmpeg: it gets the very libraries that PyAV brings, under the names that it looks for."""
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
    """Of each way's tiles, how many look more like the frame asked for than like one of its neighbours."""
    around = sorted({index + step for index in indices for step in range(-_NEIGHBOURS, _NEIGHBOURS + 1)})
    tiles = dict(zip(around, pyav_in_order(path, around).astype(np.int16)))
    return {
        way: sum(_nearest(tile, index, tiles) == index for tile, index in zip(of_way[0].result, indices))
        for way, of_way in costs.items()
        if of_way[0].result is not None
    }


def _nearest(tile: np.ndarray, index: int, tiles: dict[int, np.ndarray]) -> int:
    candidates = range(index - _NEIGHBOURS, index + _NEIGHBOURS + 1)
    return min(candidates, key=lambda candidate: np.abs(tiles[candidate] - tile).mean())
