"""Deterministic tars: the same samples give the same bytes, whole files or none."""

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
    """One super image as it stands in a tar: ``KEY.<extension>``, ``KEY.cls`` and ``KEY.json``."""

    key: str
    image: bytes
    extension: str
    label: int
    metadata: dict

    def __post_init__(self) -> None:
        if self.extension not in IMAGE_EXTENSIONS:
            raise ValueError(f"{self.key}: extension {self.extension!r} is none of {', '.join(IMAGE_EXTENSIONS)}")
        if "." in self.key or "/" in self.key or not 0 < len(self.key) <= MAX_KEY_LENGTH:
            raise ValueError(f"{self.key!r}: a key has no dot, no slash and 1 to {MAX_KEY_LENGTH} characters")


Member = tuple[tarfile.TarInfo, bytes]  # header and content


def members_of(sample: Sample) -> tuple[Member, ...]:
    """A sample's three members, the image first, so that a reader can begin to decode.

    Raises ValueError for a name, size or metadata that a ustar archive cannot hold.
    """
    return (
        _member(f"{sample.key}.{sample.extension}", sample.image),
        _member(f"{sample.key}.cls", str(sample.label).encode("ascii")),
        _member(f"{sample.key}.json", json.dumps(sample.metadata, sort_keys=True).encode("ascii")),
    )


def _member(name: str, content: bytes) -> Member:
    member = tarfile.TarInfo(name)  # mtime, uid and gid are 0 by default
    member.size = len(content)
    member.tobuf(tarfile.USTAR_FORMAT)  # raises ValueError for what the header cannot hold
    return member, content


class ShardWriter:
    """Adds samples to one tar; ``sha256``, ``num_bytes`` and ``num_samples`` are final when ``open_shard`` ends."""

    def __init__(self, file: BinaryIO):
        self._file = _HashingFile(file)
        # ustar knows no pax headers, so nothing but name, size and bytes can vary between two runs.
        # Typeshed asks for a file that can be read too, which tarfile does not do with mode "w:".
        self._tar = tarfile.open(fileobj=self._file, mode="w:", format=tarfile.USTAR_FORMAT)  # type: ignore[call-overload]
        self.num_samples = 0

    def add(self, sample: Sample) -> None:
        """Append a sample. Raises ValueError, before anything is written, for a sample that no tar can hold."""
        self.add_members(members_of(sample))

    def add_members(self, members: Sequence[Member]) -> None:
        """Append the members of one sample, from ``members_of``. Only the disk can fail here."""
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
    """Passes writes on while it counts and hashes them."""

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
    """``with open_shard(path) as shard: shard.add(sample)``; on an exception ``path`` is not touched."""
    with whole_file(path) as file:
        writer = ShardWriter(file)
        yield writer
        writer.close()
