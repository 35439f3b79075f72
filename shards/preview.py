"""Makes a contact sheet: some super images of a split with their labels in one picture."""

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from shards.format import Manifest, read_manifest
from shards.read import decode_image, iter_samples
from shards.storage import join
from shards.write import Sample

_CAPTION_HEIGHT = 36
_MARGIN = 12
_FONT_SIZE = 13
_BACKGROUND = "white"
_SAMPLES_READ_PER_PICTURE = 16


def contact_sheet(directory: str | Path, *, split: str, count: int = 12, thumbnail: int = 240) -> Image.Image:
    """A picture of ``count`` super images, each at most ``thumbnail`` pixels wide, as evenly over classes as possible.

    The captions are the class name, the sample key, and the indices of the first and the last frame. Raises ValueError
    if there is no manifest, no such split, or no sample in it.
    """
    manifest = read_manifest(directory)
    if manifest is None:
        raise ValueError(f"{directory}: no manifest of super images; give the directory of a layout")
    if count < 1 or thumbnail < 32:
        raise ValueError(f"count={count}, thumbnail={thumbnail}: must be at least 1 image of at least 32 pixels")
    chosen = _choose(directory, manifest, split, count)
    if not chosen:
        raise ValueError(f"{directory}: split {split!r} has no samples to show")
    names = manifest.class_names_of(split)
    return _lay_out([_captioned(sample, path, thumbnail, names) for path, sample in chosen])


def _choose(directory: str | Path, manifest: Manifest, split: str, count: int) -> list[tuple[str | Path, Sample]]:
    """The first samples of each class.

    Reads at most ``_SAMPLES_READ_PER_PICTURE * count`` samples, since some classes may be missing. The conversion
    shuffled the videos, so the first samples cover many classes.
    """
    num_classes = len(manifest.class_names_of(split))
    wanted = math.ceil(count / max(num_classes, 1))
    by_class: dict[int, list] = defaultdict(list)
    for path, sample in itertools.islice(_samples(directory, manifest, split), _SAMPLES_READ_PER_PICTURE * count):
        if len(by_class[sample.label]) < wanted:
            by_class[sample.label].append((path, sample))
        if sum(map(len, by_class.values())) >= wanted * num_classes:
            break
    # The first sample of every class comes before the second of any class.
    ranked = sorted((rank, label) for label, chosen in by_class.items() for rank in range(len(chosen)))[:count]
    return [by_class[label][rank] for label, rank in sorted((label, rank) for rank, label in ranked)]


def _samples(directory: str | Path, manifest: Manifest, split: str) -> Iterator[tuple[str | Path, Sample]]:
    files = manifest.split(split)
    for name, length in zip(files.filenames, files.shard_lengths):
        path = join(directory, name)
        for sample in iter_samples(path, num_samples=length, alt_label=files.alt_label):
            yield path, sample


def _captioned(sample: Sample, path: str | Path, thumbnail: int, class_names: Sequence[str]) -> Image.Image:
    image = decode_image(sample, path)
    # Small super images are enlarged by whole factors, which keeps them sharp. Larger ones are reduced.
    factor = max(thumbnail // max(image.size), 1) if max(image.size) <= thumbnail else thumbnail / max(image.size)
    resampling = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    image = image.resize((round(image.width * factor), round(image.height * factor)), resampling)
    canvas = Image.new("RGB", (thumbnail, image.height + _CAPTION_HEIGHT), _BACKGROUND)
    canvas.paste(image, ((thumbnail - image.width) // 2, 0))
    draw = ImageDraw.Draw(canvas)
    frames = sample.metadata.get("frames") or ["?"]
    font = ImageFont.load_default(_FONT_SIZE)
    name = class_names[sample.label] if 0 <= sample.label < len(class_names) else f"class {sample.label}"
    lines = (name, f"{sample.key} [{frames[0]}..{frames[-1]}]")
    for number, (line, color) in enumerate(zip(lines, ("black", "dimgray"))):
        draw.text((0, image.height + 2 + 16 * number), _fit(line, font, thumbnail), fill=color, font=font)
    return canvas


def _fit(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """Shorten a line that is too long in its middle, since names often differ only at their ends."""
    keep = len(line)
    while keep > 8 and font.getlength(shown := _shortened(line, keep)) > width:
        keep -= 1
    return shown if keep < len(line) and keep > 8 else _shortened(line, keep)


def _shortened(line: str, keep: int) -> str:
    return line if keep >= len(line) else f"{line[: keep // 2]}...{line[len(line) - (keep - keep // 2) :]}"


def _lay_out(pictures: Sequence[Image.Image]) -> Image.Image:
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    width, height = max(p.width for p in pictures) + _MARGIN, max(p.height for p in pictures) + _MARGIN
    sheet = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), _BACKGROUND)
    for number, picture in enumerate(pictures):
        sheet.paste(picture, (_MARGIN + number % columns * width, _MARGIN + number // columns * height))
    return sheet
