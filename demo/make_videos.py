"""Make the demo's videos: ``python -m demo.make_videos DIR`` -> ``DIR/{train,validation}/<class>/<video>``.

The videos have three codecs and many sizes, lengths and frame rates. The pixels of a video depend only on the seed and
on its name. A file gets its name when it is complete, so an interrupted run continues where it stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import signal
import sys
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import ffmpeg
import imageio_ffmpeg
import numpy as np
from tqdm import tqdm

from demo import motions

STAMP_NAME = ".made.json"


@dataclass(frozen=True, kw_only=True)
class Codec:
    """The ffmpeg options of a codec."""

    suffix: str
    muxer: str
    options: dict[str, str | int]


# Video n of a class has codec n modulo 3, so the codec reveals nothing about the class.
CODECS = (
    Codec(suffix=".mp4", muxer="mp4", options={"vcodec": "libx264", "preset": "ultrafast", "crf": 20, "bf": 2}),
    Codec(
        suffix=".webm",
        muxer="webm",
        options={"vcodec": "libvpx-vp9", "deadline": "realtime", "cpu-used": 8, "crf": 24, "b:v": 0},
    ),
    Codec(suffix=".avi", muxer="avi", options={"vcodec": "mpeg4", "q:v": 3}),
)
# The same frames give the same file: without encoder version and time, and independent of the number of threads.
REPRODUCIBLE = {"threads": 1, "fflags": "+bitexact", "flags:v": "+bitexact", "map_metadata": -1}


@dataclass(frozen=True, kw_only=True)
class Video:
    """A video to make."""

    split: str
    class_name: str
    number: int

    @property
    def codec(self) -> Codec:
        return CODECS[self.number % len(CODECS)]

    @property
    def name(self) -> str:
        """``train/grows/0007.webm``: the path below the root, which also seeds the drawing."""
        return f"{self.split}/{self.class_name}/{self.number:04d}{self.codec.suffix}"


def planned_videos(videos_per_class: dict[str, int]) -> Iterator[Video]:
    """``{"train": 200, "validation": 40}`` -> 2,000 and 400 videos, equally many for each of the ten classes."""
    for split, count in videos_per_class.items():
        for number in range(count):
            for class_name in motions.CLASSES:
                yield Video(split=split, class_name=class_name, number=number)


def draw_video(video: Video, seed: int) -> tuple[np.ndarray, int]:
    """(frames uint8 (T, H, W, 3), frames per second) of a video."""
    scene = motions.draw_scene(video.class_name, motions.video_generator(seed, video.name))
    return motions.render(scene), scene.frames_per_second


def encode(frames: np.ndarray, frames_per_second: int, path: Path, codec: Codec) -> None:
    """Write frames uint8 (T, H, W, 3) to ``path`` atomically. RuntimeError with the last line of ffmpeg's output."""
    _, height, width, _ = frames.shape
    unfinished = path.with_name(path.name + ".part")
    source = ffmpeg.input("pipe:", format="rawvideo", pix_fmt="rgb24", s=f"{width}x{height}", r=frames_per_second)
    target = source.output(str(unfinished), format=codec.muxer, pix_fmt="yuv420p", **codec.options, **REPRODUCIBLE)
    try:
        target.overwrite_output().run(cmd=imageio_ffmpeg.get_ffmpeg_exe(), input=frames.tobytes(), quiet=True)
    except ffmpeg.Error as error:
        last_line = error.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise RuntimeError(f"ffmpeg could not write {path}: {' '.join(last_line)}") from error
    unfinished.replace(path)


def make_videos(root: Path, *, videos_per_class: dict[str, int], seed: int, workers: int = 2) -> int:
    """Make the missing videos; returns their number. ValueError if ``root`` contains videos of other settings."""
    planned = list(planned_videos(videos_per_class))
    _claim(root, videos_per_class=videos_per_class, seed=seed)
    missing = [video for video in planned if not (root / video.name).exists()]
    for folder in {(root / video.name).parent for video in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    if not missing:
        return 0
    # Only this process handles Ctrl-C. The pool then finishes the videos that it has begun.
    with ProcessPoolExecutor(workers, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)) as pool:
        made = pool.map(partial(_make_video, root=root, seed=seed), missing, chunksize=4)
        deque(tqdm(made, total=len(missing), desc="videos", unit="video", disable=None), maxlen=0)
    return len(missing)


def _make_video(video: Video, *, root: Path, seed: int) -> None:
    frames, frames_per_second = draw_video(video, seed)
    encode(frames, frames_per_second, root / video.name, video.codec)


def _claim(root: Path, *, videos_per_class: dict[str, int], seed: int) -> None:
    """Write the settings to ``root``, so that videos of other settings or drawing code are never mixed."""
    drawing = hashlib.sha256(Path(motions.__file__).read_bytes()).hexdigest()[:12]
    wanted = {"videos_per_class": videos_per_class, "seed": seed, "drawing": drawing}
    stamp = root / STAMP_NAME
    if stamp.exists() and (found := json.loads(stamp.read_text(encoding="utf-8"))) != wanted:
        raise ValueError(
            f"{root} contains other videos ({found}) than requested ({wanted}); delete it or choose another"
        )
    root.mkdir(parents=True, exist_ok=True)
    stamp.write_text(json.dumps(wanted), encoding="utf-8")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo.make_videos", description="make the demo's videos")
    parser.add_argument("root", type=Path, help="directory to make ROOT/{train,validation}/<class>/<video> in")
    parser.add_argument(
        "--train", type=int, default=200, metavar="N", help="training videos per class (default: %(default)s)"
    )
    parser.add_argument(
        "--validation", type=int, default=40, metavar="N", help="validation videos per class (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="number of processes (default: %(default)s)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    counts = {"train": args.train, "validation": args.validation}
    try:
        made = make_videos(args.root, videos_per_class=counts, seed=args.seed, workers=args.workers)
    except (ValueError, RuntimeError, OSError) as error:
        print(f"make_videos: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("make_videos: interrupted; run the same command again to continue", file=sys.stderr)
        return 130
    total = sum(counts.values()) * len(motions.CLASSES)
    print(f"{args.root}: {total} videos of {len(motions.CLASSES)} classes, {made} made now")
    return 0


if __name__ == "__main__":
    sys.exit(main())
