"""A conversion's output on the disk: begun and continued under one configuration, completed by manifests."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from preprocess.config.schema import Config
from preprocess.decode.open import decoder_versions
from preprocess.plan import VideoBatch
from preprocess.run.identity import Identity, differences, packed, unpacked
from preprocess.worker.messages import Job
from preprocess.worker.statistics import STATISTICS_DIR
from preprocess.worker.versions import differences as version_differences
from preprocess.worker.versions import shaping_versions
from shards.format import (
    FORMAT_VERSION,
    IMAGENET_MEAN,
    IMAGENET_STD,
    MANIFEST_NAME,
    RECORDS_DIR,
    Split,
    shard_name,
    subset_field,
    subset_split,
    view_split,
)
from shards.records import Record, read_record, record_path
from shards.storage import remove_partial_files, write_whole

CONFIG_NAME = "_config.json"
VIDEOS_NAME = "_videos.json.gz"
_DIFFERENCES_SHOWN = 8


def begin(output: Path, config: Config, identity: Identity) -> None:
    """Prepare a directory for each layout, or find in it an earlier run of the same conversion.

    Raises ValueError for a directory that holds another conversion, and says what differs. Libraries that have changed
    since are no other conversion, but the person is told.
    """
    holds_conversion(output, config, identity)
    versions = shaping_versions()
    (output / STATISTICS_DIR).mkdir(parents=True, exist_ok=True)
    for layout in config.layouts:
        directory = output / layout
        path = directory / RECORDS_DIR / CONFIG_NAME
        first = json.loads(path.read_text()).get("versions", versions) if path.exists() else versions
        if changed := version_differences(versions, first):
            print(f"note: {directory} was begun with other libraries, here and there: {changed}", file=sys.stderr)
        content = json.dumps({**identity.to_dict(), "versions": first}, indent=1, sort_keys=True) + "\n"
        write_whole(path.parent / VIDEOS_NAME, packed(identity.fingerprints))
        write_whole(path, content.encode("ascii"))
        remove_partial_files(directory)
        remove_partial_files(directory / RECORDS_DIR)


def holds_conversion(output: Path, config: Config, identity: Identity) -> bool:
    """Whether this conversion was begun in ``output``; ValueError where another one was, or something else is there."""
    begun = False
    for layout in config.layouts:
        directory = output / layout
        path = directory / RECORDS_DIR / CONFIG_NAME
        if path.exists():
            _refuse_another(path.parent, identity)
            begun = True
        elif directory.exists() and any(directory.iterdir()):
            raise ValueError(f"{directory}: is not empty, and no conversion of ours; choose another --output")
    return begun


def _refuse_another(records: Path, identity: Identity) -> None:
    """ValueError where the conversion whose folder of records is ``records`` is another one, with what differs."""
    path, videos = records / CONFIG_NAME, records / VIDEOS_NAME
    try:
        before = json.loads(path.read_text())
        fingerprints = unpacked(videos.read_bytes()) if videos.exists() else None
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); delete that layout's directory to begin again") from error
    lines = differences(before, fingerprints, identity)
    if lines:
        more = len(lines) - _DIFFERENCES_SHOWN
        shown = "\n  ".join((*lines[:_DIFFERENCES_SHOWN], *([f"and {more} more differences"] if more > 0 else ())))
        raise ValueError(
            f"{records.parent}: holds the shards of another conversion. Choose another --output to have both; to go on "
            f"with the one that is there, undo what differs:\n  {shown}"
        )


def finished_records(job: Job, batch: VideoBatch) -> dict[str, Record] | None:
    """The batch's record in every layout, or None while one, or one of its tars, is not there."""
    records = {}
    for layout in job.config.layouts:
        directory = Path(job.output) / layout
        record = read_record(directory, batch.split, batch.number)
        if record is None or record.digest != job.digest or not _tars_are_there(directory, record):
            return None
        records[layout] = record
    return records


def _tars_are_there(directory: Path, record: Record) -> bool:
    """By name and size; ``python -m shards check`` reads the bytes."""
    return all(
        (directory / tar.name).exists() and (directory / tar.name).stat().st_size == tar.bytes for tar in record.tars
    )


def forget(job: Job, batches: list[VideoBatch]) -> None:
    """Make batches pending again: the manifests first, since nothing is complete without, then the records."""
    for layout in job.config.layouts if batches else ():
        (Path(job.output) / layout / MANIFEST_NAME).unlink(missing_ok=True)
    for layout in job.config.layouts:
        for batch in batches:
            record_path(Path(job.output) / layout, batch.split, batch.number).unlink(missing_ok=True)


def complete(job: Job, records: Mapping[str, Sequence[Record]]) -> None:
    """Write each layout's manifest, last of all. ``records`` holds every planned batch's, by layout.

    Raises OSError where tars are no longer there.
    """
    for name in job.config.layouts:
        remove_partial_files(Path(job.output) / name)
        _refuse_lost_tars(Path(job.output) / name, records[name])
    versions = {"format": FORMAT_VERSION, **decoder_versions()}
    for name, layout in job.config.layouts.items():
        superimage = {
            "format_version": FORMAT_VERSION,
            "layout": layout.to_dict(),
            "image_size": list(layout.image_size),
            "sampling": job.config.shaping()["layout_sampling"][name],
            "views": {split: entry.num_views for split, entry in job.config.splits.items()},
            "class_names": list(job.class_names),
            "subsets": {subset: list(names) for subset, names in job.subsets.items()},
            "multi_label": job.multi_label,
            "mean": IMAGENET_MEAN,
            "std": IMAGENET_STD,
            "digest": job.digest,
            "configuration": job.config.shaping(),
            "versions": versions,
        }
        manifest = {"splits": _splits(job.config, records[name]), "superimage": superimage}
        content = json.dumps(manifest, indent=1) + "\n"
        write_whole(Path(job.output) / name / MANIFEST_NAME, content.encode("ascii"))


def _refuse_lost_tars(directory: Path, records: Sequence[Record]) -> None:
    there = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    lost = [tar.name for record in records for tar in record.tars if tar.name not in there]
    if lost:
        raise OSError(
            f"{directory}: {len(lost)} tars were removed while the conversion ran, {lost[0]} among them; run the same "
            "command again to make them anew"
        )


def _splits(config: Config, records: list[Record]) -> dict[str, dict]:
    """``train`` with all views, ``train_v00``, ... with one each; view by view, so that no two views stand together."""
    splits = {}
    for name, entry in config.splits.items():
        of_split = sorted((record for record in records if record.split == name), key=lambda record: record.number)
        splits |= _with_views(name, [_files(of_split, name, view) for view in range(entry.num_views)])
        for subset in config.subsets:
            if subset == config.only:
                continue
            files = [_files(of_split, name, view, subset) for view in range(entry.num_views)]
            # A split without samples is left out: timm's trainer would divide by their number.
            if any(files):
                splits |= _with_views(subset_split(name, subset), files, subset_field(subset))
    return splits


def _with_views(name: str, by_view: list[list[tuple[str, int]]], alt_label: str = "") -> dict[str, dict]:
    splits = {name: _split(name, [file for files in by_view for file in files], alt_label)}
    for view, files in enumerate(by_view):
        splits[view_split(name, view)] = _split(view_split(name, view), files, alt_label)
    return splits


def _files(records: list[Record], split: str, view: int, subset: str | None = None) -> list[tuple[str, int]]:
    """(name, samples, or those in a subset) of one view's tars; one that holds none is not listed."""
    files = []
    for record in records:
        tar = record.tars[view]
        assert tar.name == shard_name(split, view, record.number)
        count = tar.samples if subset is None else tar.subsets.get(subset, 0)
        if count:
            files.append((tar.name, count))
    return files


def _split(name: str, files: list[tuple[str, int]], alt_label: str) -> dict:
    names, lengths = [name for name, _ in files], [length for _, length in files]
    return Split(
        name=name,
        num_samples=sum(lengths),
        filenames=tuple(names),
        shard_lengths=tuple(lengths),
        alt_label=alt_label,
    ).to_dict()
