"""Writes deterministic tars: the same samples give the same bytes. An interrupted write leaves no file."""

import contextlib
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shards.format import IMAGE_EXTENSIONS, MAX_KEY_LENGTH
from shards.storage import whole_file


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One super image in a tar: ``KEY.<extension>``, ``KEY.cls`` and ``KEY.json``."""

    key: str
    image: bytes
    extension: str
    label: int
    metadata: dict

    def __post_init__(self) -> None:
        if self.extension not in IMAGE_EXTENSIONS:
            raise ValueError(f"{self.key}: extension {self.extension!r} must be one of {', '.join(IMAGE_EXTENSIONS)}")
        if "." in self.key or "/" in self.key or not 0 < len(self.key) <= MAX_KEY_LENGTH:
            raise ValueError(f"{self.key!r}: a key must have no dot, no slash and 1 to {MAX_KEY_LENGTH} characters")


Member = tuple[tarfile.TarInfo, bytes]  # header and content


def members_of(sample: Sample) -> tuple[Member, ...]:
    """The three members of a sample. The image comes first, so that a reader can begin to decode it.

    Raises ValueError for a name, size or metadata that a ustar archive cannot store.
    """
    return (
        _member(f"{sample.key}.{sample.extension}", sample.image),
        _member(f"{sample.key}.cls", str(sample.label).encode("ascii")),
        _member(f"{sample.key}.json", json.dumps(sample.metadata, sort_keys=True).encode("ascii")),
    )


def _member(name: str, content: bytes) -> Member:
    member = tarfile.TarInfo(name)  # mtime, uid and gid are 0 by default
    member.size = len(content)
    member.tobuf(tarfile.USTAR_FORMAT)  # raises ValueError for what the header cannot store
    return member, content


class ShardWriter:
    """Adds samples to one tar. ``sha256``, ``num_bytes`` and ``num_samples`` are final after ``open_shard``."""

    def __init__(self, file: BinaryIO):
        self._file = _HashingFile(file)
        # ustar has no pax headers, so only name, size and content determine the bytes.
        # Typeshed requires a readable file, but tarfile does not read with mode "w:".
        self._tar = tarfile.open(fileobj=self._file, mode="w:", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload]
        self.num_samples = 0

    def add(self, sample: Sample) -> None:
        """Append a sample. Raises ValueError, before anything is written, for a sample that a tar cannot store."""
        self.add_members(members_of(sample))

    def add_members(self, members: Sequence[Member]) -> None:
        """Append the members of one sample, from ``members_of``. Fails only if the disk fails."""
        for member, content in members:
            self._tar.addfile(member, io.BytesIO(content))
        self.num_samples += 1

    def close(self) -> None:
        self._tar.close()

    @property
    def sha256(self) -> str:
        return self._file.digest.hexdigest()

    @property
    def num_bytes(self) -> int:
        return self._file.num_bytes


class _HashingFile:
    """Forwards writes to a file, and counts and hashes the bytes."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self.digest = hashlib.sha256()
        self.num_bytes = 0

    def tell(self) -> int:
        return self.num_bytes

    def write(self, content: bytes) -> int:
        self.digest.update(content)
        self.num_bytes += len(content)
        return self._file.write(content)


@contextlib.contextmanager
def open_shard(path: str | Path) -> Iterator[ShardWriter]:
    """``with open_shard(path) as shard: shard.add(sample)``; an exception leaves ``path`` unchanged."""
    with whole_file(path) as file:
        writer = ShardWriter(file)
        yield writer
        writer.close()
