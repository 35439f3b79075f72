"""Reads a whole shard directory and compares it with its manifest and records."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from shards.format import MANIFEST_NAME, RECORDS_DIR, Manifest, read_manifest, sample_key, subset_field
from shards.read import ShardError, decode_image, iter_samples, multi_hot
from shards.records import Record, Tar, read_all_records
from shards.storage import local_path
from shards.write import Sample

_CHUNK_BYTES = 1 << 20
_NAMES_SHOWN = 10


@dataclass
class CheckResult:
    """The result of ``check``. ``problems`` are faults of the files; ``notes`` are not."""

    shards: int = 0
    samples: int = 0
    bytes: int = 0
    failures: Counter = field(default_factory=Counter)
    labels: dict[str, Counter] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    classes: dict[str, set[int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def check_directory(directory: str | Path) -> CheckResult:
    """Verify every tar: SHA-256, counts, keys, labels, image sizes. Raises ValueError if there is no manifest."""
    directory = local_path(directory)
    manifest = read_manifest(directory)
    if manifest is None:
        raise ValueError(_no_manifest(directory))
    result = CheckResult()
    records = read_all_records(directory)
    result.failures.update(failure.reason for record in records for failure in record.failures)
    result.problems.extend(_disagreements(directory, manifest, records))
    for record in records:
        for view, tar in enumerate(record.tars):
            _check_tar(directory / tar.name, tar, record, view, manifest, result)
    result.notes.extend(_classes_without_training(manifest, result))
    return result


def _classes_without_training(manifest: Manifest, result: CheckResult) -> Iterator[str]:
    """A note if classes have no training sample, since a model cannot learn them."""
    splits = manifest.superimage.get("configuration", {}).get("splits", {})
    training = [name for name, split in splits.items() if split.get("mode") == "train"]
    seen = set().union(*(result.classes.get(name, set()) for name in training))
    absent = [name for label, name in enumerate(manifest.class_names) if label not in seen]
    if training and absent:
        more = len(absent) - _NAMES_SHOWN
        names = ", ".join(map(repr, absent[:_NAMES_SHOWN])) + (f", and {more} more" if more > 0 else "")
        yield f"{len(absent)} of {len(manifest.class_names)} classes have no sample in {', '.join(training)}: {names}"


def _no_manifest(directory: Path) -> str:
    if (directory / RECORDS_DIR).is_dir():
        return f"{directory}: no {MANIFEST_NAME}, so the conversion is incomplete; run the same conversion again"
    inside = sorted(path.parent.name for path in directory.glob(f"*/{MANIFEST_NAME}"))
    hint = f"; give one of its layouts: {', '.join(inside)}" if inside else ""
    return f"{directory}: no {MANIFEST_NAME}, so this is not a shard directory{hint}"


def _disagreements(directory: Path, manifest: Manifest, records: list[Record]) -> Iterator[str]:
    """A problem for each difference between the manifest, the records and the files on disk."""
    recorded = {tar.name: tar.samples for record in records for tar in record.tars}
    promised = {
        name: count
        for split in manifest.splits.values()
        if not split.alt_label
        for name, count in zip(split.filenames, split.shard_lengths)
    }
    yield from _subset_disagreements(manifest, records)
    for name in sorted(promised.keys() - recorded.keys()):
        yield f"{name}: in the manifest, but in no record of {RECORDS_DIR}"
    for name in sorted(recorded.keys() - promised.keys()):
        if recorded[name]:
            yield f"{name}: in a record, but in no split of the manifest"
    for name in sorted(recorded.keys() & promised.keys()):
        if recorded[name] != promised[name]:
            yield f"{name}: {promised[name]} samples in the manifest, {recorded[name]} in its record"
    for name in sorted({path.name for path in directory.glob("*.tar")} - recorded.keys()):
        yield f"{name}: on disk, but in no record"
    for record in records:
        if record.digest != manifest.digest:
            yield f"record {record.split}-{record.number:06d}: made with another configuration ({record.digest[:12]})"


def _subset_disagreements(manifest: Manifest, records: list[Record]) -> Iterator[str]:
    """A problem for each subset whose number of samples in a tar differs from the record."""
    recorded = {
        (tar.name, subset_field(subset)): count
        for record in records
        for tar in record.tars
        for subset, count in tar.subsets.items()
    }
    for split in manifest.splits.values():
        for name, count in zip(split.filenames, split.shard_lengths):
            if split.alt_label and recorded.get((name, split.alt_label), 0) != count:
                yield (
                    f"{name}: {count} samples of {split.name} in the manifest, "
                    f"{recorded.get((name, split.alt_label), 0)} in its record"
                )


def _check_tar(path: Path, tar: Tar, record: Record, view: int, manifest: Manifest, result: CheckResult) -> None:
    result.shards += 1
    if not path.exists():
        result.problems.append(f"{path}: missing; run the same conversion again, which writes it again")
        return
    result.bytes += path.stat().st_size
    digest = _sha256(path)
    if digest != tar.sha256:
        result.problems.append(
            f"{path}: SHA-256 is {digest[:12]}..., its record says {tar.sha256[:12]}...; write it again with --rebuild "
            f"{record.split}-{record.number:06d}"
        )
    labels = result.labels.setdefault(record.split, Counter())
    classes = result.classes.setdefault(record.split, set())
    keys: Counter[str] = Counter()
    members: Counter[str] = Counter()
    try:
        for sample in iter_samples(path, num_samples=tar.samples):
            result.samples += 1
            labels[sample.label] += 1
            classes.update(_labels_of(sample))
            keys[sample.key] += 1
            members.update(name for name in manifest.subsets if sample.metadata.get(subset_field(name), -1) >= 0)
            result.problems.extend(f"{path}: {problem}" for problem in _sample_problems(sample, path, view, manifest))
    except ShardError as error:
        result.problems.append(str(error))
    result.problems.extend(f"{path}: key {key!r} occurs {n} times" for key, n in keys.items() if n > 1)
    if members != Counter(tar.subsets):
        result.problems.append(f"{path}: {dict(members)} samples in subsets, but its record says {tar.subsets}")


def _labels_of(sample: Sample) -> set[int]:
    """All labels of a sample: the label in ``.cls``, and for multi-label data those in ``KEY.json``."""
    labels = sample.metadata.get("labels")
    labels = labels if isinstance(labels, list) else []
    return {sample.label, *(label for label in labels if isinstance(label, int))}


def _sample_problems(sample: Sample, path: Path, view: int, manifest: Manifest) -> Iterator[str]:
    names, metadata = manifest.class_names, sample.metadata
    if not 0 <= sample.label < len(names):
        yield f"{sample.key}: label {sample.label} is outside 0..{len(names) - 1}"
    elif (metadata.get("label"), metadata.get("label_name")) != (sample.label, names[sample.label]):
        yield (
            f"{sample.key}: .cls says {sample.label}, but .json says {metadata.get('label')} "
            f"{metadata.get('label_name')!r}"
        )
    if manifest.multi_label:
        try:
            multi_hot(sample, len(names), path)
        except ShardError as error:
            yield str(error)
    if sample.key != sample_key(str(metadata.get("video")), view) or metadata.get("view") != view:
        yield f"{sample.key}: is not view {view} of video {metadata.get('video')!r}"
    try:
        width, height = decode_image(sample, path).size
    except ShardError as error:
        yield str(error)
    else:
        if (height, width) != manifest.image_size:
            yield f"{sample.key}: {height}x{width} pixels, but the manifest says {manifest.image_size}"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
