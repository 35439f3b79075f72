"""Reads samples from tars in order. A missing or damaged sample is an error. Does not need torch."""

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from shards.format import IMAGE_EXTENSIONS
from shards.storage import UnreachableError, is_url, open_stream
from shards.write import Sample

_STREAM_BLOCK_BYTES = 1 << 18
_WAY_OUT = "run 'python -m shards check' on its directory, then convert that shard again"


class ShardError(ValueError):
    """A shard is missing or damaged. The message contains the file name and a way out."""


def iter_samples(
    path: str | Path, *, num_samples: int | None = None, start: int = 0, stop: int | None = None, alt_label: str = ""
) -> Iterator[Sample]:
    """Yield the samples ``start <= i < stop`` of one tar, a path or a URL, in one pass. Images are not decoded.

    With a split's ``alt_label``, only the samples of its subset are counted and returned, with the subset's labels.

    Pass the number of samples in the manifest as ``num_samples``. Without it, a tar that is cut between two members, or
    that has a broken header in its middle, looks like a shorter tar. Raises ShardError unless all samples are whole.
    """
    count = 0
    try:
        with open_stream(path) as file, _open_tar(file, path) as tar:
            for key, members in _groups(tar, is_seekable=not is_url(path)):
                if stop is not None and count >= stop:
                    return
                if alt_label and json.loads(members["json"]())[alt_label] < 0:
                    continue
                if count >= start:
                    yield _sample(key, members, alt_label)
                count += 1
    except FileNotFoundError as error:
        raise ShardError(f"{path}: no such shard; {_WAY_OUT}") from error
    except UnreachableError as error:
        raise ShardError(f"{error}; try the same command again when the network works") from error
    except (tarfile.TarError, OSError, EOFError, KeyError, ValueError) as error:
        raise ShardError(f"{path}: damaged after {count} whole samples ({error}); {_WAY_OUT}") from error
    if num_samples is not None and count != num_samples:
        raise ShardError(f"{path}: {count} samples, but the manifest says {num_samples}; {_WAY_OUT}")


def _open_tar(file: BinaryIO, path: str | Path) -> tarfile.TarFile:
    if is_url(path):
        return tarfile.open(fileobj=file, mode="r|", bufsize=_STREAM_BLOCK_BYTES)
    return tarfile.open(fileobj=file, mode="r:")


def _groups(tar: tarfile.TarFile, *, is_seekable: bool) -> Iterator[tuple[str, dict[str, Callable[[], bytes]]]]:
    """Group consecutive members with the same key: (key, {extension: function that returns the content}).

    If the file is seekable, content is read only on demand, since most loader workers begin in the middle of a shard.
    """
    key: str | None = None
    members: dict[str, Callable[[], bytes]] = {}
    for member in tar:
        if not member.isfile():
            raise ValueError(f"member {member.name!r} is not a file")
        name, _, extension = member.name.partition(".")
        if name != key and key is not None:
            yield key, members
            members = {}
        key = name
        read = partial(_content, tar, member)
        members[extension] = read if is_seekable else partial(bytes, read())
    if key is not None:
        yield key, members


def _sample(key: str, members: dict[str, Callable[[], bytes]], alt_label: str) -> Sample:
    extension = next((extension for extension in IMAGE_EXTENSIONS if extension in members), None)
    if extension is None:
        raise ValueError(f"sample {key!r} has no image, only {', '.join(sorted(members))}")
    metadata = json.loads(members["json"]())
    return Sample(
        key=key,
        image=members[extension](),
        extension=extension,
        label=metadata[alt_label] if alt_label else int(members["cls"]()),
        metadata=metadata,
    )


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None, "only regular files are read"
    content = file.read()
    if len(content) != member.size:
        raise EOFError(f"member {member.name!r} has {len(content)} of {member.size} bytes")
    return content


def decode_image(sample: Sample, path: str | Path) -> Image.Image:
    """Decode the super image as RGB. Raises ShardError, with ``path``, if it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(sample.image), formats=("JPEG", "PNG", "WEBP")) as image:
            image.load()
            return image if image.mode == "RGB" else image.convert("RGB")  # convert() would copy an RGB image too
    # Pillow raises SyntaxError for some broken PNGs.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ShardError(f"{path}: cannot decode the image of sample {sample.key!r} ({error}); {_WAY_OUT}") from error


def multi_hot(sample: Sample, num_classes: int, path: str | Path) -> np.ndarray:
    """The multi-hot target of a sample, float32 (C,): ``labels [0, 3]``, 4 classes -> ``[1 0 0 1]``.

    Raises ShardError, with ``path``, if the sample has no list of labels, or a label is out of range.
    """
    labels = sample.metadata.get("labels")
    if not isinstance(labels, list) or not all(isinstance(i, int) and 0 <= i < num_classes for i in labels):
        raise ShardError(
            f"{path}: sample {sample.key!r} has labels {labels}, not a list of 0 to {num_classes - 1}; {_WAY_OUT}"
        )
    target = np.zeros(num_classes, np.float32)
    target[labels] = 1
    return target


def decode_array(sample: Sample, path: str | Path) -> np.ndarray:
    """``decode_image`` as uint8 (H, W, 3)."""
    return np.asarray(decode_image(sample, path))
