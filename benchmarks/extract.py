"""Functions that extract frames by different libraries: (path, ascending indices) -> uint8 (T, 224, 224, 3).

Every function takes the central square and uses one thread. Each follows the documentation of its library, and uses the
library's fast resizing if there is one. If a library is not installed, the results name it as missing.
"""

import subprocess
from collections.abc import Callable, Sequence
from importlib import metadata

import numpy as np

from benchmarks.measure import Cost, cpu_seconds
from preprocess.decode.frame import ArrayPicture, Picture

TILE = 224
_FOREVER = float("inf")


def ours(path: str, indices: Sequence[int]) -> np.ndarray:
    from preprocess.decode.pyav import PyavVideo

    with PyavVideo(path, deadline=_FOREVER) as video:
        return np.stack([_central_tile_of(picture) for _, picture in video.pictures(indices)])


def floor(path: str, indices: Sequence[int]) -> Cost:
    """Measure decoding only, without opening, inspecting or converting."""
    from preprocess.decode.pyav import PyavVideo

    with PyavVideo(path, deadline=_FOREVER) as video:
        begin = cpu_seconds()
        for _ in video.decoded(indices):
            pass
        return Cost(cpu_seconds=cpu_seconds() - begin, wall_seconds=0.0, result=None)


def decode_in_order(path: str, indices: Sequence[int]) -> None:
    """Decode every frame up to the last requested one."""
    import av

    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for number, _ in enumerate(container.decode(video=0)):
            if number == indices[-1]:
                return


def pyav_in_order(path: str, indices: Sequence[int]) -> np.ndarray:
    import av

    wanted, tiles = set(indices), []
    with av.open(path) as container:
        container.streams.video[0].codec_context.thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                tiles.append(_central_tile(frame.to_ndarray(format="rgb24")))
                if len(tiles) == len(wanted):
                    break
    return np.stack(tiles)


def torchcodec_exact(path: str, indices: Sequence[int]) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(path, seek_mode="exact", num_ffmpeg_threads=1, dimension_order="NHWC")
    return np.stack([_central_tile(frame) for frame in decoder.get_frames_at(list(indices)).data.numpy()])


def torchcodec_resizing(path: str, indices: Sequence[int]) -> np.ndarray:
    """torchcodec's decoder crops and resizes. It needs the size of the video first, so the header is read."""
    from torchcodec.decoders import VideoDecoder
    from torchcodec.transforms import CenterCrop, Resize

    header = VideoDecoder(path, seek_mode="approximate").metadata
    side = min(header.width, header.height)
    steps = [CenterCrop((side, side)), Resize((TILE, TILE))]
    decoder = VideoDecoder(path, seek_mode="exact", num_ffmpeg_threads=1, dimension_order="NHWC", transforms=steps)
    return decoder.get_frames_at(list(indices)).data.numpy()


def decord(path: str, indices: Sequence[int]) -> np.ndarray:
    import decord as library

    frames = library.VideoReader(path, num_threads=1).get_batch(list(indices)).asnumpy()
    return np.stack([_central_tile(frame) for frame in frames])


def opencv(path: str, indices: Sequence[int]) -> np.ndarray:
    import cv2

    cv2.setNumThreads(1)
    capture = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    wanted, tiles, number = set(indices), [], 0
    while len(tiles) < len(wanted) and capture.grab():
        if number in wanted:
            frame = cv2.cvtColor(capture.retrieve()[1], cv2.COLOR_BGR2RGB)
            height, width = frame.shape[:2]
            side = min(height, width)
            top, left = (height - side) // 2, (width - side) // 2
            square = frame[top : top + side, left : left + side]
            tiles.append(cv2.resize(square, (TILE, TILE), interpolation=cv2.INTER_AREA))
        number += 1
    capture.release()
    return np.stack(tiles)


def ffmpeg_select(path: str, indices: Sequence[int]) -> np.ndarray:
    """The ffmpeg command with its ``select`` filter. It gets the indices, which a user would have to compute first."""
    picked = "+".join(f"eq(n\\,{index})" for index in indices)
    square = "crop=w='min(iw,ih)':h='min(iw,ih)'"
    filters = f"select='{picked}',{square},scale={TILE}:{TILE}:flags=area"
    options = ("-vf", filters, "-fps_mode", "passthrough", "-frames:v", str(len(indices)))
    return np.frombuffer(_ffmpeg(path, options), np.uint8).reshape(-1, TILE, TILE, 3)


def ffmpeg_naive(path: str, indices: Sequence[int]) -> np.ndarray:
    """The approach of many scripts: get the size, decode everything to RGB through a pipe, select in NumPy."""
    import imageio_ffmpeg

    width, height = next(imageio_ffmpeg.read_frames(path))["source_size"]
    frames = np.frombuffer(_ffmpeg(path, ("-fps_mode", "passthrough")), np.uint8).reshape(-1, height, width, 3)
    return np.stack([_central_tile(frames[index]) for index in indices])


def _ffmpeg(path: str, options: Sequence[str]) -> bytes:
    import imageio_ffmpeg

    start = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-v", "error", "-threads", "1", "-i", path]
    command = [*start, *options, "-filter_threads", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def _central_tile(frame: np.ndarray) -> np.ndarray:
    return _central_tile_of(ArrayPicture(frame))


def _central_tile_of(picture: Picture) -> np.ndarray:
    """Cut a tile as our conversion does."""
    from preprocess.crops import crop_for_test

    return picture.tile(crop_for_test(*picture.size, number=0, num_crops=1), TILE)


# Name in the tables -> (function, package that it needs).
METHODS: dict[str, tuple[Callable, str]] = {
    "ours": (ours, "av"),
    "floor": (floor, "av"),
    "PyAV in order": (pyav_in_order, "av"),
    "torchcodec exact": (torchcodec_exact, "torchcodec"),
    "torchcodec resizing": (torchcodec_resizing, "torchcodec"),
    "decord": (decord, "decord"),
    "OpenCV": (opencv, "opencv-python-headless"),
    "ffmpeg select": (ffmpeg_select, "imageio-ffmpeg"),
    "ffmpeg naive": (ffmpeg_naive, "imageio-ffmpeg"),
}


def version(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
