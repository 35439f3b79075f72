"""The output directory of a conversion: begun and continued under one configuration, completed by manifests."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preprocess.plan import VideoBatch
from preprocess.run.identity import Identity, differences, packed, unpacked
from preprocess.run.manifest import manifest_of
from preprocess.worker.messages import Job
from preprocess.worker.statistics import STATISTICS_DIR
from preprocess.worker.versions import differences as version_differences
from preprocess.worker.versions import shaping_versions
from shards.format import MANIFEST_NAME, RECORDS_DIR
from shards.records import Record, read_record, record_path
from shards.storage import remove_partial_files, write_whole

CONFIG_NAME = "_config.json"
VIDEOS_NAME = "_videos.json.gz"
_DIFFERENCES_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class Output:
    """The directory that a conversion writes to, with one subdirectory for each layout.

    It holds no state of its own: every answer is read from the disk.
    """

    job: Job
    identity: Identity

    @property
    def path(self) -> Path:
        return Path(self.job.output)

    @property
    def layouts(self) -> dict[str, Path]:
        """The directory of each layout, by its name."""
        return {name: self.path / name for name in self.job.config.layouts}

    def is_begun(self) -> bool:
        """Whether this conversion was begun here. Raises ValueError if the directory holds anything else."""
        begun = False
        for directory in self.layouts.values():
            records = directory / RECORDS_DIR
            if (records / CONFIG_NAME).exists():
                _refuse_another(records, self.identity)
                begun = True
            elif directory.exists() and any(directory.iterdir()):
                raise ValueError(f"{directory}: is not empty, and holds no conversion; choose another --output")
        return begun

    def begin(self) -> None:
        """Create the layouts' directories, or continue in those of an interrupted run of the same conversion.

        Raises ValueError for a directory that holds another conversion, with the differences. Libraries that have
        changed since the conversion began do not make it another one; a note names them.
        """
        self.is_begun()
        versions = shaping_versions()
        (self.path / STATISTICS_DIR).mkdir(parents=True, exist_ok=True)
        for directory in self.layouts.values():
            path = directory / RECORDS_DIR / CONFIG_NAME
            first = json.loads(path.read_bytes()).get("versions", versions) if path.exists() else versions
            if changed := version_differences(versions, first):
                print(f"note: {directory} was begun with other versions of libraries: {changed}", file=sys.stderr)
            content = json.dumps({**self.identity.to_dict(), "versions": first}, indent=1, sort_keys=True) + "\n"
            write_whole(path.parent / VIDEOS_NAME, packed(self.identity.fingerprints))
            write_whole(path, content.encode("ascii"))
            remove_partial_files(directory)
            remove_partial_files(directory / RECORDS_DIR)

    def finished(self, batch: VideoBatch) -> dict[str, Record] | None:
        """The batch's record in every layout, by layout. None if a record or one of its tars is absent."""
        records = {}
        for layout, directory in self.layouts.items():
            record = read_record(directory, batch.split, batch.number)
            if record is None or record.digest != self.job.digest or not _tars_are_there(directory, record):
                return None
            records[layout] = record
        return records

    def forget(self, batches: Sequence[VideoBatch]) -> None:
        """Make batches pending again.

        The manifests are removed before the records, since a manifest promises that every batch is finished.
        """
        for directory in self.layouts.values() if batches else ():
            (directory / MANIFEST_NAME).unlink(missing_ok=True)
        for directory in self.layouts.values():
            for batch in batches:
                record_path(directory, batch.split, batch.number).unlink(missing_ok=True)

    def is_complete(self) -> bool:
        """Whether every layout has its manifest."""
        return all((directory / MANIFEST_NAME).exists() for directory in self.layouts.values())

    def complete(self, records: Iterable[Mapping[str, Record]]) -> None:
        """Write the manifest of each layout. ``records``: the records of every planned batch, by layout.

        Raises OSError if a tar has disappeared.
        """
        by_layout = {layout: [of_batch[layout] for of_batch in records] for layout in self.layouts}
        for layout, directory in self.layouts.items():
            remove_partial_files(directory)
            _refuse_lost_tars(directory, by_layout[layout])
        for layout, directory in self.layouts.items():
            content = json.dumps(manifest_of(self.job, layout, by_layout[layout]), indent=1) + "\n"
            write_whole(directory / MANIFEST_NAME, content.encode("ascii"))


def _refuse_another(records: Path, identity: Identity) -> None:
    """Raise ValueError with the differences if the folder ``records`` belongs to another conversion."""
    path, videos = records / CONFIG_NAME, records / VIDEOS_NAME
    try:
        before = json.loads(path.read_bytes())
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


def _tars_are_there(directory: Path, record: Record) -> bool:
    """Compare names and sizes. ``python -m shards check`` compares the bytes."""
    return all(
        (directory / tar.name).exists() and (directory / tar.name).stat().st_size == tar.bytes for tar in record.tars
    )


def _refuse_lost_tars(directory: Path, records: Sequence[Record]) -> None:
    there = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
    lost = [tar.name for record in records for tar in record.tars if tar.name not in there]
    if lost:
        raise OSError(
            f"{directory}: {len(lost)} tars were removed while the conversion ran, {lost[0]} among them; run the same "
            "command again to make them anew"
        )
