"""Damaged copies of real videos, each a different kind of damage; the same number gives the same copy."""

import random
from collections.abc import Callable
from pathlib import Path

_SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".ts", ".mov", ".flv", ".mpg", ".gif", ".wmv", ".ogv", ".m4v")
_HEADER_BYTES = 4096


def truncated(content: bytearray, rng: random.Random) -> bytearray:
    return content[: rng.randrange(len(content) + 1)]


def bits_flipped(content: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 3, 10, 100, 1000))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return content


def with_a_hole(content: bytearray, rng: random.Random) -> bytearray:
    """Zeros, as a download leaves them that came in pieces."""
    start = rng.randrange(len(content))
    length = min(rng.choice((16, 1000, 50_000)), len(content) - start)
    content[start : start + length] = bytes(length)
    return content


def with_a_part_missing(content: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(content))
    del content[start : start + rng.choice((1, 188, 5000))]
    return content


def halves_swapped(content: bytearray, rng: random.Random) -> bytearray:
    middle = rng.randrange(len(content))
    return content[middle:] + content[:middle]


def header_spoilt(content: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice((1, 4, 16))):
        content[rng.randrange(min(_HEADER_BYTES, len(content)))] = rng.randrange(256)
    return content


def end_spoilt(content: bytearray, rng: random.Random) -> bytearray:
    """Where many containers keep their index."""
    for _ in range(rng.choice((1, 4, 16))):
        content[-1 - rng.randrange(min(_HEADER_BYTES, len(content)))] = rng.randrange(256)
    return content


def doubled(content: bytearray, rng: random.Random) -> bytearray:
    return content + content


def noise(content: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(content))
    return content[:start] + rng.randbytes(len(content) - start)


def unchanged(content: bytearray, rng: random.Random) -> bytearray:
    """Only its suffix is another."""
    return content


KINDS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    *(truncated, bits_flipped, with_a_hole, with_a_part_missing, halves_swapped),
    *(header_spoilt, end_spoilt, doubled, noise, unchanged),
)


def damaged_copy(clips: list[Path], number: int, folder: Path) -> Path:
    """Copy ``number``: the kinds take turns, and the clips too."""
    rng = random.Random(number)
    damage = KINDS[number % len(KINDS)]
    clip = clips[number // len(KINDS) % len(clips)]
    suffix = rng.choice(_SUFFIXES) if damage is unchanged or rng.random() < 0.1 else clip.suffix
    path = folder / f"{number:05d}-{damage.__name__}{suffix}"
    path.write_bytes(damage(bytearray(clip.read_bytes()), rng))
    return path
