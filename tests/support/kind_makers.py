"""Makers of small videos with the ffmpeg command: each writes one into a folder. And how ffmpeg decodes a file."""

import functools
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from field_coding import write_fields
from media import FFMPEG, numbered_frames, remux, write_video

Maker = Callable[[Path], Path]
COUNT, RATE = 40, 25
JOINED_AT = 18


@functools.cache
def frames_of(width: int = 96, height: int = 64) -> np.ndarray:
    """uint8 (COUNT, height, width, 3): numbered frames over a texture that drifts."""
    frames = numbered_frames(COUNT, width=width, height=height)
    coarse = np.random.default_rng(0).integers(0, 256, (height // 16 + 1, width // 8 + 1, 3), np.uint8)
    texture = coarse.repeat(8, 0).repeat(8, 1)[: height - height // 2, :width]
    for number, frame in enumerate(frames):
        frame[height // 2 :] = np.roll(texture, (number, 3 * number), axis=(0, 1))
    return frames


def encoded(name: str, vcodec: str, *, size: tuple[int, int] = (96, 64), part: slice = slice(None), **options) -> Maker:
    return lambda folder: write_video(folder / name, frames_of(*size)[part], vcodec=vcodec, **options)


def remuxed(make: Maker, name: str, **options) -> Maker:
    def make_copy(folder: Path) -> Path:
        source = make(folder)
        return remux(source.rename(source.with_name(f"source_{source.name}")), folder / name, **options)

    return make_copy


def h264(name: str, parameters: str = "", **options) -> Maker:
    defaults = {"preset": "veryfast", "bf": 3, "g": 12, "crf": 12}
    joined = {"x264-params": parameters} if parameters else {}
    return encoded(name, "libx264", **{**defaults, **joined, **options})


def hevc(name: str, parameters: str = "keyint=12:open-gop=0", **options) -> Maker:
    tag = {"tag:v": "hvc1"} if name.endswith(("mp4", "mov")) else {}
    x265 = {"preset": "ultrafast", "crf": 12, "x265-params": f"log-level=none:{parameters}"}
    return encoded(name, "libx265", **{**x265, **tag, **options})


def two_passes(name: str, vcodec: str) -> Maker:
    """libvpx plans hidden frames when it has seen the video once."""
    options = {"auto-alt-ref": 1, "lag-in-frames": 16, "g": 30, "b:v": "300k", "deadline": "good", "cpu-used": 4}

    def make(folder: Path) -> Path:
        for number in (1, 2):
            log = {"pass": number, "passlogfile": str(folder / "log")}
            path = write_video(folder / name, frames_of(), vcodec=vcodec, **options, **log)
        return path

    return make


# The order of decoding of a group of ten whose second and third of three are shown before the first.
_REORDERED = [start + place for start in range(0, COUNT, 10) for place in (0, 3, 1, 2, 6, 4, 5, 9, 7, 8)]


def field_coded(name: str, *, reordered: bool = False) -> Maker:
    """Two packets a frame, in a container that has a time for each."""
    # How much later (in frames) than decoded, by the place in the group: 0 3 1 2 6 4 5 9 7 8.
    place, third = "mod(floor(N/2),10)", "mod(mod(floor(N/2),10)+2,3)"
    later = f"if(eq({place},0),0,if(eq({third},0),2,-1))"
    shown = f"N+4+2*({later})" if reordered else "N"

    def make(folder: Path) -> Path:
        grey = frames_of().mean(3).astype(np.uint8)
        raw = write_fields(folder / "raw.h264", grey, shown=_REORDERED if reordered else None)
        times = f"setts=dts=N/50/TB:pts=({shown})/50/TB".replace(",", r"\,")
        return remux(raw, folder / name, input_options={"r": 50}, **{"bsf:v": times})

    return make


def joined(
    name: str,
    first: dict | None = None,
    second: dict | None = None,
    *,
    vcodec: str = "libx264",
    second_size: tuple[int, int] = (96, 64),
) -> Maker:
    """Two encodings one behind the other in one file."""

    def make(folder: Path) -> Path:
        suffix = name.rpartition(".")[2]
        common = {"crf": 12, "bf": 3} if vcodec == "libx264" else {"qscale": 3, "bf": 2}
        parts = [
            encoded(f"part1.{suffix}", vcodec, part=slice(JOINED_AT), **{**common, **(first or {})}),
            encoded(
                f"part2.{suffix}",
                vcodec,
                part=slice(JOINED_AT, None),
                size=second_size,
                **{**common, **(second or {})},
            ),
        ]
        path = folder / name
        path.write_bytes(b"".join(part(folder).read_bytes() for part in parts))
        return path

    return make


def full_decode(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(uint8 (F, H, W, 3), float64 (F,) seconds from the first) of all frames by the ffmpeg command alone."""
    shared = ["-map", "0:V", "-fps_mode", "passthrough", "-pix_fmt", "rgb24"]
    command = [FFMPEG, "-v", "error", "-i", str(path), *shared]
    raw = subprocess.run([*command, "-f", "rawvideo", "-"], stdout=subprocess.PIPE, check=False).stdout
    listing = [*command, "-enc_time_base", "demux", "-f", "framecrc", "-"]
    lines = subprocess.run(listing, stdout=subprocess.PIPE, text=True, check=False).stdout.splitlines()
    facts = dict(line.split(": ") for line in lines if line.startswith("#"))
    width, height = map(int, facts["#dimensions 0"].split("x"))
    frames = np.frombuffer(raw, np.uint8).reshape(-1, height, width, 3)
    ticks = [int(line.split(",")[2]) for line in lines if not line.startswith("#")]
    times = np.array([float(tick * Fraction(facts["#tb 0"])) for tick in ticks])
    return frames, times - times[0]
