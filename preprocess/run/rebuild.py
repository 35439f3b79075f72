"""Convert batches again, and put their shards in place only if the bytes equal the recorded ones."""

import dataclasses
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from preprocess.plan import VideoBatch
from preprocess.run.lock import locked
from preprocess.run.pipeline import Prepared
from preprocess.run.ray_pool import Workers, run_on_ray
from preprocess.worker.statistics import STATISTICS_DIR
from shards.format import RECORDS_DIR
from shards.records import Record, read_record

_SCRATCH = ".rebuild"
# train-000012, or the file name of its record or of one of its tars
_NAME = re.compile(r"(?P<split>[A-Za-z0-9_-]+?)(-v\d+)?-(?P<number>\d{6,})(\.tar|\.json)?")


def rebuild(prepared: Prepared, names: Sequence[str], *, workers: Workers) -> Iterator[tuple[str, list[str]]]:
    """Yield (batch, differences from its record) for each named batch. One without differences is put in place.

    Raises ValueError for a name that is not planned, or that was never converted.
    """
    output = prepared.output.path
    with locked(output):
        prepared.output.begin()
        batches = [_planned(prepared, name) for name in names]
        recorded = {(batch.split, batch.number): _recorded(prepared, batch) for batch in batches}
        scratch = output / _SCRATCH
        _make_room(scratch, prepared)
        try:
            job = dataclasses.replace(prepared.job, output=str(scratch))
            for batch, state in run_on_ray(job, batches, workers):
                if state.records:
                    before = recorded[batch.split, batch.number]
                    differences = [
                        line
                        for layout in before
                        for line in _differences(layout, before[layout], state.records[layout])
                    ]
                    if not differences:
                        _put_in_place(scratch, output, before)
                    yield f"{batch.split}-{batch.number:06d}", differences
        finally:
            shutil.rmtree(scratch)


def _planned(prepared: Prepared, name: str) -> VideoBatch:
    match = _NAME.fullmatch(name)
    for batch in prepared.batches:
        if match and (batch.split, batch.number) == (match["split"], int(match["number"])):
            return batch
    last = {batch.split: f"{batch.split}-{batch.number:06d}" for batch in prepared.batches}
    known = ", ".join(f"{split}-000000 to {name}" for split, name in last.items())
    raise ValueError(f"--rebuild {name}: no such video batch; there are {known}")


def _recorded(prepared: Prepared, batch: VideoBatch) -> dict[str, Record]:
    records = {
        layout: read_record(directory, batch.split, batch.number)
        for layout, directory in prepared.output.layouts.items()
    }
    if None in records.values():
        name = f"{batch.split}-{batch.number:06d}"
        raise ValueError(f"--rebuild {name}: not converted yet; run the same command without --rebuild")
    return records


def _make_room(scratch: Path, prepared: Prepared) -> None:
    shutil.rmtree(scratch, ignore_errors=True)  # left by a rebuild that was killed
    (scratch / STATISTICS_DIR).mkdir(parents=True)
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
        yield f"{layout}: {path} is skipped in only one of the two conversions"


def _put_in_place(scratch: Path, output: Path, records: dict[str, Record]) -> None:
    for layout, record in records.items():
        for tar in record.tars:
            os.replace(scratch / layout / tar.name, output / layout / tar.name)
