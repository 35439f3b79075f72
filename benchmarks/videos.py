"""Makes the test videos by ffmpeg. They are the same on every computer, and are kept between runs."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

# Conway's game of life, smoothed, rotated and tinted: edges, motion and new content in every frame, at usual bit rates.
# It is drawn small and enlarged, like most videos on the web.
_SCENE = (
    "life=s=160x120:mold=20:ratio=0.1:seed=7:death_color=#205080:life_color=#e0b090:r={rate},gblur=1,"
    "hue=H=t/3:s=1+0.3*sin(t),rotate=0.05*sin(t*2):c=gray,scale={size}:flags=bicubic,noise=alls=4:allf=t:all_seed=1"
)
_H264 = ("-c:v", "libx264", "-preset", "medium", "-bf", "3")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of video. ``loops``: how often its packets are repeated, so that long videos are made quickly."""

    name: str
    what: str
    suffix: str
    size: str
    rate: int
    seconds: int
    codec: tuple[str, ...]
    loops: int = 1

    @property
    def num_frames(self) -> int:
        return self.rate * self.seconds * self.loops


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="a",
            what="10 s H.264 340x256, B-frames, a key frame every 250, 600 kb/s (as in Kinetics)",
            suffix=".mp4",
            size="340:256",
            rate=30,
            seconds=10,
            codec=(*_H264, "-g", "250", "-b:v", "600k"),
        ),
        Kind(
            name="b",
            what="4 s VP9 427x240",
            suffix=".webm",
            size="427:240",
            rate=25,
            seconds=4,
            codec=("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "6", "-b:v", "300k", "-g", "128"),
        ),
        Kind(
            name="c",
            what="10 s H.264 1280x720, B-frames",
            suffix=".mp4",
            size="1280:720",
            rate=30,
            seconds=10,
            codec=(*_H264, "-preset", "veryfast", "-b:v", "2500k"),
        ),
        Kind(
            name="d",
            what="7 s MPEG-4 ASP avi 320x240, B-frames, a key frame every 250",
            suffix=".avi",
            size="320:240",
            rate=25,
            seconds=7,
            codec=("-c:v", "mpeg4", "-bf", "2", "-g", "250", "-b:v", "500k"),
        ),
        Kind(
            name="d12",
            what="7 s MPEG-4 ASP avi 320x240, no B-frames, a key frame every 12 (as in UCF101)",
            suffix=".avi",
            size="320:240",
            rate=25,
            seconds=7,
            codec=("-c:v", "mpeg4", "-bf", "0", "-g", "12", "-b:v", "500k"),
        ),
        Kind(
            name="e",
            what="3 min H.264 640x360, B-frames, a key frame every 250 or less",
            suffix=".mp4",
            size="640:360",
            rate=25,
            seconds=20,
            loops=9,
            codec=(*_H264, "-preset", "veryfast", "-b:v", "600k"),
        ),
        Kind(
            name="hevc",
            what="10 s HEVC 640x360, B-frames",
            suffix=".mp4",
            size="640:360",
            rate=25,
            seconds=10,
            codec=("-c:v", "libx265", "-preset", "veryfast", "-b:v", "500k", "-x265-params", "log-level=none"),
        ),
        Kind(
            name="av1",
            what="10 s AV1 640x360",
            suffix=".mp4",
            size="640:360",
            rate=25,
            seconds=10,
            codec=("-c:v", "libsvtav1", "-preset", "10", "-b:v", "400k", "-g", "125"),
        ),
        Kind(
            name="long",
            what="3 min H.264 1920x1080",
            suffix=".mp4",
            size="1920:1080",
            rate=30,
            seconds=10,
            loops=18,
            codec=(*_H264, "-preset", "ultrafast", "-b:v", "4000k"),
        ),
        Kind(
            name="short",
            what="20 s H.264 1920x1080",
            suffix=".mp4",
            size="1920:1080",
            rate=30,
            seconds=10,
            loops=2,
            codec=(*_H264, "-preset", "ultrafast", "-b:v", "4000k"),
        ),
    )
}


def make(kind: Kind, folder: Path) -> Path:
    """The path of a video, which is made if it does not exist."""
    path = folder / f"{kind.name}{kind.suffix}"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        once = path.with_name(f".once-{path.name}")
        scene = _SCENE.format(rate=kind.rate, size=kind.size)
        encode = ("-t", str(kind.seconds), "-pix_fmt", "yuv420p", *kind.codec)
        _run("-f", "lavfi", "-i", scene, *encode, str(once))
        whole = path.with_name(f".whole-{path.name}")
        _run("-stream_loop", str(kind.loops - 1), "-i", str(once), "-c", "copy", str(whole))
        once.unlink()
        whole.rename(path)
    return path


def _run(*arguments: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *arguments]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL if "libsvtav1" in arguments else None)
