"""``_info.json`` of a finished conversion, out of the records of its shards. Pure."""

from collections.abc import Sequence

from preprocess.config.schema import Config
from preprocess.decode.open import decoder_versions
from preprocess.worker.messages import Job
from shards.format import (
    FORMAT_VERSION,
    IMAGENET_MEAN,
    IMAGENET_STD,
    Split,
    shard_name,
    subset_field,
    subset_split,
    view_split,
)
from shards.records import Record


def manifest_of(job: Job, layout: str, records: Sequence[Record]) -> dict:
    """The manifest of the layout named ``layout``. ``records`` are those of all its shards. docs/format.md."""
    shaping = job.config.shaping()
    superimage = {
        "format_version": FORMAT_VERSION,
        "layout": job.config.layouts[layout].to_dict(),
        "image_size": list(job.config.layouts[layout].image_size),
        "sampling": shaping["layout_sampling"][layout],
        "views": {split: entry.num_views for split, entry in job.config.splits.items()},
        "class_names": list(job.class_names),
        "subsets": {subset: list(names) for subset, names in job.subsets.items()},
        "multi_label": job.multi_label,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "digest": job.digest,
        "configuration": shaping,
        "versions": {"format": FORMAT_VERSION, **decoder_versions()},
    }
    return {"splits": _splits(job.config, records), "superimage": superimage}


def _splits(config: Config, records: Sequence[Record]) -> dict[str, dict]:
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


def _files(records: Sequence[Record], split: str, view: int, subset: str | None = None) -> list[tuple[str, int]]:
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
