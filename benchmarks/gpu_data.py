"""Enlarges a small directory of super images for a measurement, by repeating its shards."""

import json
import math
import os
from itertools import cycle, islice
from pathlib import Path


def enlarge(source: Path, target: Path, *, samples: int, multiple_of: int) -> Path:
    """Make ``target`` with at least ``samples`` training samples, by repeating the shards of ``source``.

    The number of shards is a multiple of ``multiple_of``, so that timm's reader gives each worker equally many. All
    views count as one. The validation split is not changed. Shards are hard links, or copies if links are impossible.
    """
    manifest = json.loads((source / "_info.json").read_bytes())
    train, validation = manifest["splits"]["train"], manifest["splits"]["validation_v00"]
    pairs = list(zip(train["filenames"], train["shard_lengths"]))
    wanted = math.ceil(samples / (sum(train["shard_lengths"]) / len(pairs)))
    chosen = list(islice(cycle(pairs), math.ceil(wanted / multiple_of) * multiple_of))
    target.mkdir(parents=True, exist_ok=True)
    files = []
    for number, (name, length) in enumerate(chosen):
        files.append((f"train-v00-{number:06d}.tar", length))
        _link(source / name, target / files[-1][0])
    for name in validation["filenames"]:
        _link(source / name, target / name)
    of_train = _split("train", files)
    of_validation = _split("validation", list(zip(validation["filenames"], validation["shard_lengths"])))
    splits = {"train": of_train, "validation": of_validation}
    splits |= {f"{name}_v00": {**split, "name": f"{name}_v00"} for name, split in splits.items()}
    superimage = {**manifest["superimage"], "views": {"train": 1, "validation": 1}, "subsets": {}}
    (target / "_info.json").write_text(json.dumps({"splits": splits, "superimage": superimage}), encoding="utf-8")
    return target


def _split(name: str, files: list[tuple[str, int]]) -> dict:
    lengths = [length for _, length in files]
    return {
        "name": name,
        "num_samples": sum(lengths),
        "filenames": [file for file, _ in files],
        "shard_lengths": lengths,
    }


def _link(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        target.write_bytes(source.read_bytes())
