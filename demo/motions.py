"""What the demo's videos show: five motions, each played forwards and backwards, which makes ten classes.

A class and its mirror are one random process, played in the two directions. So a set of frames without its order
has the same distribution under both, and nothing but order tells them apart.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

# Class name -> (the motion, whether it is played backwards). Neighbours are mirrors of one another.
CLASSES = {
    "moves_right": ("right", False),
    "moves_left": ("right", True),
    "moves_up": ("up", False),
    "moves_down": ("up", True),
    "grows": ("grow", False),
    "shrinks": ("grow", True),
    "turns_clockwise": ("turn", False),
    "turns_anticlockwise": ("turn", True),
    "appears": ("appear", False),
    "vanishes": ("appear", True),
}

# Outlines in a box of -1 .. 1, y downwards. None looks the same after a turn of less than 360 degrees,
# or a rotation could not be followed through the few frames that are sampled.
SHAPES = {
    "arrow": ((1, 0), (0.1, -0.8), (0.1, -0.25), (-1, -0.25), (-1, 0.25), (0.1, 0.25), (0.1, 0.8)),
    "wedge": ((1, 0), (-0.95, -0.5), (-0.95, 0.5)),
    "hammer": ((1, -0.75), (1, 0.75), (0.4, 0.75), (0.4, 0.25), (-1, 0.25), (-1, -0.25), (0.4, -0.25), (0.4, -0.75)),
    "flag": ((-1, -0.15), (1, -0.75), (1, 0.75), (0, 0.5), (0, 0.15), (-1, 0.15)),
    "kite": ((1, 0), (-0.5, -0.55), (-1, 0), (-0.5, 0.55)),
}

SIDES_PX = (64, 80, 96, 112)
FRAME_COUNTS = (16, 32)  # both ends included
FRAME_RATES = (12, 15, 24, 25, 30)
MIN_CONTRAST = 150.0  # Euclidean distance in RGB between a shape and what it stands on
OVERSAMPLING = 2  # Pillow draws polygons without anti-aliasing


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything about one video but its frames: pixels that stay, and where the shape is in each frame."""

    background: np.ndarray  # uint8 (H, W, 3)
    shape: str
    colour: np.ndarray  # float (3,), 0 .. 255
    poses: np.ndarray  # float (T, 5): x, y and radius in px, angle in radians (clockwise), opacity
    frames_per_second: int


def video_generator(seed: int, video: str) -> np.random.Generator:
    """A generator of its own for each video: the same video whichever process draws it, in whatever order."""
    digest = hashlib.sha256(f"{seed}/{video}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def draw_scene(class_name: str, rng: np.random.Generator) -> Scene:
    """Draw one video of a class. A generator in the same state gives its mirror the same scene, reversed."""
    if class_name not in CLASSES:
        raise ValueError(f"no class {class_name!r}; the demo has {', '.join(CLASSES)}")
    motion, backwards = CLASSES[class_name]
    height, width = (int(side) for side in rng.choice(SIDES_PX, size=2))
    num_frames = int(rng.integers(FRAME_COUNTS[0], FRAME_COUNTS[1] + 1))
    base_colour = rng.uniform(30, 225, size=3)
    poses = _poses(motion, num_frames, height, width, rng)
    return Scene(
        background=_background(base_colour, height, width, rng),
        shape=str(rng.choice(list(SHAPES))),
        colour=_contrasting_colour(base_colour, rng),
        poses=poses[::-1] if backwards else poses,
        frames_per_second=int(rng.choice(FRAME_RATES)),
    )


def render(scene: Scene) -> np.ndarray:
    """Scene -> frames uint8 (T, H, W, 3)."""
    background = scene.background.astype(np.float32)
    colour = scene.colour.astype(np.float32)
    frames = np.empty((len(scene.poses), *scene.background.shape), np.uint8)
    for frame, pose in zip(frames, scene.poses, strict=True):
        cover = _cover(scene.shape, pose, background.shape[:2])[..., None]
        frame[:] = np.rint(background + cover * (colour - background))
    return frames


def _poses(motion: str, num_frames: int, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """The shape's way in the forward direction: float (T, 5), the columns of ``Scene.poses``."""
    short = min(height, width)
    progress = np.linspace(0, 1, num_frames) ** np.exp(rng.uniform(-0.3, 0.3))  # speeds up or slows down a little
    poses = np.empty((num_frames, 5))
    poses[:] = (
        width / 2 + short * rng.uniform(-0.06, 0.06),
        height / 2 + short * rng.uniform(-0.06, 0.06),
        short * rng.uniform(0.24, 0.32),
        rng.uniform(0, 2 * np.pi),
        rng.uniform(0.85, 1),
    )
    # So wide that the motion shows in a heap of frames; which way it goes, in their order alone.
    from_middle = progress - 0.5
    if motion == "right":
        poses[:, 0] += short * rng.uniform(0.6, 0.9) * from_middle
    elif motion == "up":
        poses[:, 1] -= short * rng.uniform(0.6, 0.9) * from_middle
    elif motion == "grow":
        poses[:, 2] *= np.exp(np.log(rng.uniform(3, 5)) * from_middle)
    elif motion == "turn":
        poses[:, 3] += np.radians(rng.uniform(150, 270)) * progress
    else:
        assert motion == "appear", motion
        poses[:, 4] *= rng.uniform(0, 0.2) + rng.uniform(0.7, 0.8) * progress
    return poses


def _background(base_colour: np.ndarray, height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Soft blobs around one colour, and a still grain: uint8 (H, W, 3)."""
    blobs = np.clip(base_colour + rng.uniform(-45, 45, size=(3, 4, 3)), 0, 255).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(blobs).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)
    return np.clip(smooth + rng.normal(0, 4, size=(height, width, 1)), 0, 255).astype(np.uint8)


def _contrasting_colour(base_colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random colour far enough from the background's to be seen: float (3,)."""
    while True:
        colour = rng.uniform(0, 255, size=3)
        if np.linalg.norm(colour - base_colour) >= MIN_CONTRAST:
            return colour


def _cover(shape: str, pose: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """How much of each pixel the shape covers, times its opacity: float (H, W), 0 .. 1."""
    x, y, radius, angle, opacity = pose
    # Positive angles turn x towards y; y points downwards, so that is clockwise on the screen.
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    outline = (np.array(SHAPES[shape]) @ rotation * radius + (x, y)) * OVERSAMPLING
    mask = Image.new("L", (size[1] * OVERSAMPLING, size[0] * OVERSAMPLING))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in outline], fill=255)
    return np.asarray(mask.reduce(OVERSAMPLING), dtype=np.float32) * np.float32(opacity / 255)
