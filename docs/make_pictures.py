"""Make the pictures of ``docs/layouts.md``: ``python -m docs.make_pictures``.

The script draws a clip of 64 frames, writes it as H.264, and converts it by the project's own code: decoder, sampling,
crops, layouts, and the frame numbers of ``--inspect``.
"""

import math
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from demo.make_videos import CODECS, encode
from preprocess.annotations.dataset import Video
from preprocess.config.schema import config_from
from preprocess.report.inspect import numbered, picture, super_images

TARGET = Path(__file__).parent / "pictures"
NUM_FRAMES, WIDTH, HEIGHT, FPS = 64, 288, 216, 25
LAYOUTS = {
    "row_major-3x3": {"frames": 8},
    "row_major-4x4": {"frames": 16},
    "row_major-1x8": {"frames": 8, "grid": "1x8"},
    "row_major-2x4": {"frames": 8, "grid": "2x4"},
    "column_major-4x4": {"frames": 16, "order": "column_major"},
    "snake-4x4": {"frames": 16, "order": "snake"},
    "reverse-4x4": {"frames": 16, "order": "reverse"},
    "random-4x4": {"frames": 16, "order": "random"},
    "nested-4x4": {"frames": 16, "order": "nested", "groups": 4},
    "nested-6x6-4": {"frames": 36, "order": "nested", "groups": 4, "tile": 64},
    "nested-6x6-sqrt": {"frames": 36, "order": "nested", "tile": 64},
    "pad-black": {"frames": 8, "pad": "black"},
    "pad-last": {"frames": 8, "pad": "last"},
}


def draw_clip() -> np.ndarray:
    """uint8 (T, H, W, 3): a ball flies from left to right and changes its color; each frame shows its number."""
    return np.stack([_draw_frame(number) for number in range(NUM_FRAMES)])


def _draw_frame(number: int) -> np.ndarray:
    time = number / (NUM_FRAMES - 1)
    image = Image.new("RGB", (WIDTH, HEIGHT), (70, 110, 150))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, HEIGHT * 4 // 5, WIDTH, HEIGHT), fill=(90, 120, 70))
    x, y = 60 + time * (WIDTH - 120), HEIGHT * (0.75 - 0.45 * math.sin(math.pi * time))
    draw.ellipse((x - 20, y - 20, x + 20, y + 20), fill=(255, int(60 + 180 * time), 40))
    # At the upper right of the central square, so that the captions of --inspect do not hide it.
    draw.text(((WIDTH + HEIGHT) / 2 - 8, 6), f"{number}", font=ImageFont.load_default(36), fill="white", anchor="ra")
    return np.asarray(image)


def main(target: Path = TARGET) -> None:
    """Write all pictures to ``target``. A file is only written again if its pixels have changed."""
    entries = {name: {"tile": 96, **entry} for name, entry in LAYOUTS.items()}
    splits = {"test": {"mode": "test"}, "train": {"mode": "train", "crop": "multiscale", "flip": True, "views": 1}}
    config = config_from({"annotations": {"format": "folder"}, "layouts": entries, "splits": splits}, __file__)
    target.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ball.mp4"
        encode(draw_clip(), FPS, path, CODECS[0])
        video = Video(key="ball", path=str(path), labels=(0,))
        info, images = super_images(config, config.splits["test"], video, path)
        for image, _ in images:
            _save(numbered(image, info), target / f"{image.clip.layout.name}.png")
        info, images = super_images(config, config.splits["train"], video, path)
        for image, frame in images:
            if image.clip.layout.name == "row_major-3x3":
                _save(picture(image, info, frame), target / "inspect.png")


def _save(image: Image.Image, path: Path) -> None:
    # Other versions of zlib compress the same pixels to other bytes.
    if not (path.exists() and _has_pixels(path, image)):
        image.save(path, optimize=True)
    print(path)


def _has_pixels(path: Path, image: Image.Image) -> bool:
    with Image.open(path) as before:
        return before.size == image.size and before.convert("RGB").tobytes() == image.convert("RGB").tobytes()


if __name__ == "__main__":
    main()
