"""Make shards again, and put them in place only where their bytes are those that were recorded."""

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from preprocess.plan import PlannedShard
from preprocess.run.lock import locked
from preprocess.run.pipeline import Prepared
from preprocess.run.ray_pool import Workers, convert_on_ray
from preprocess.worker.facts import FACTS_DIR
from shards.format import RECORDS_DIR
from shards.records import Record, read_record

_SCRATCH = ".rebuild"
# train-000012, or the name of its record or of one of its tars
_NAME = re.compile(r"(?P<split>[A-Za-z0-9_-]+?)(-v\d+)?-(?P<number>\d{6,})(\.tar|\.json)?")


def rebuild(prepared: Prepared, names: Sequence[str], *, workers: Workers) -> Iterator[tuple[str, list[str]]]:
    """(shard, differences from its record) of each shard that was named; one without differences is put in place.

    Raises ValueError for a name that is not planned, or that was never converted.
    """
    output = prepared.output.path
    with locked(output):
        prepared.output.begin()
        shards = [_planned(prepared, name) for name in names]
        recorded = {(shard.split, shard.number): _recorded(prepared, shard) for shard in shards}
        scratch = output / _SCRATCH
        _make_room(scratch, prepared)
        try:
            job = dataclasses.replace(prepared.job, output=str(scratch))
            for shard, state in convert_on_ray(job, shards, workers):
                if state.records:
                    before = recorded[shard.split, shard.number]
                    differences = [
                        line
                        for layout in before
                        for line in _differences(layout, before[layout], state.records[layout])
                    ]
                    if not differences:
                        _put_in_place(scratch, output, before)
                    yield f"{shard.split}-{shard.number:06d}", differences
        finally:
            shutil.rmtree(scratch)


def _planned(prepared: Prepared, name: str) -> PlannedShard:
    match = _NAME.fullmatch(name)
    for shard in prepared.shards:
        if match and (shard.split, shard.number) == (match["split"], int(match["number"])):
            return shard
    last = {shard.split: f"{shard.split}-{shard.number:06d}" for shard in prepared.shards}
    known = ", ".join(f"{split}-000000 to {name}" for split, name in last.items())
    raise ValueError(f"--rebuild {name}: no such shard; there are {known}")


def _recorded(prepared: Prepared, shard: PlannedShard) -> dict[str, Record]:
    records = {
        layout: read_record(directory, shard.split, shard.number)
        for layout, directory in prepared.output.layouts.items()
    }
    if None in records.values():
        name = f"{shard.split}-{shard.number:06d}"
        raise ValueError(f"--rebuild {name}: not converted yet; run the same command without --rebuild")
    return records


def _make_room(scratch: Path, prepared: Prepared) -> None:
    shutil.rmtree(scratch, ignore_errors=True)  # of a rebuild that was killed
    (scratch / FACTS_DIR).mkdir(parents=True)
    for layout in prepared.job.config.layouts:
        (scratch / layout / RECORDS_DIR).mkdir(parents=True)


def _differences(layout: str, before: Record, now: Record) -> Iterator[str]:
    for old, new in zip(before.tars, now.tars):
        if old.sha256 != new.sha256:
            yield (
                f"{layout}/{old.name}: {old.samples} samples with SHA-256 {old.sha256[:12]}... recorded, "
                f"{new.samples} with {new.sha256[:12]}... now"
            )
    left_out = {failure.path for failure in before.failures} ^ {failure.path for failure in now.failures}
    for path in sorted(left_out):
        yield f"{layout}: {path} is left out in one of them"


def _put_in_place(scratch: Path, output: Path, records: dict[str, Record]) -> None:
    for layout, record in records.items():
        for tar in record.tars:
            os.replace(scratch / layout / tar.name, output / layout / tar.name)
