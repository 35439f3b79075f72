"""``_records/SPLIT-NUMBER.json``: the result of one planned shard. A record is written after its tars are complete."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from shards.format import RECORDS_DIR, record_name
from shards.storage import whole_file


@dataclass(frozen=True, kw_only=True)
class Tar:
    """The tar of one view of a planned shard. ``subsets``: number of samples in each subset."""

    name: str
    sha256: str
    bytes: int
    samples: int
    subsets: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A video that is not in the shard. ``reason``: a short category, for counting. ``detail``: the error message."""

    video: str
    path: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Record:
    """One planned shard: a tar for each view, and the videos that could not be converted."""

    split: str
    number: int
    digest: str
    tars: tuple[Tar, ...]
    failures: tuple[Failure, ...]

    def write(self, directory: Path) -> None:
        content = json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"
        with whole_file(record_path(directory, self.split, self.number)) as file:
            file.write(content.encode("ascii"))


def record_path(directory: Path, split: str, number: int) -> Path:
    return directory / RECORDS_DIR / record_name(split, number)


def read_record(directory: Path, split: str, number: int) -> Record | None:
    """The record of a shard, or None if there is none yet. Raises ValueError, with the file name, if it is damaged."""
    path = record_path(directory, split, number)
    try:
        return parse_record(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path}: not a valid record ({error}); delete it and run the conversion again") from error


def parse_record(text: str) -> Record:
    fields = json.loads(text)
    tars = tuple(Tar(**tar) for tar in fields.pop("tars"))
    failures = tuple(Failure(**failure) for failure in fields.pop("failures"))
    return Record(**fields, tars=tars, failures=failures)


def read_all_records(directory: Path) -> list[Record]:
    """All records of a shard directory, sorted by split and number."""
    names = sorted(path.stem for path in (directory / RECORDS_DIR).glob("*-[0-9]*.json"))
    records = (read_record(directory, *_split_and_number(name)) for name in names)
    return [record for record in records if record is not None]  # None: deleted after glob() found it


def _split_and_number(stem: str) -> tuple[str, int]:
    split, _, number = stem.rpartition("-")
    return split, int(number)
