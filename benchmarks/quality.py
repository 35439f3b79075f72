"""Target 6: image quality and size for each encoding."""

import io
import statistics
import time
from functools import partial
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.extraction import evenly_spaced
from benchmarks.videos import KINDS, make
from preprocess.config.schema import Encoding
from preprocess.crops import crop_for_test
from preprocess.decode.pyav import PyavVideo
from preprocess.render import Frames, Planes, encode, render, stores_ycbcr
from preprocess.views import Clip, View
from shards.layouts import Layout, clip_order, untile

KIND_NAMES = ("a", "b", "c", "d")
ENCODINGS = {
    "before encoding": None,
    **{
        f"jpeg q{quality} {subsampling}": Encoding(quality=quality, subsampling=subsampling)
        for quality in (80, 85, 90, 95)
        for subsampling in ("4:2:0", "4:4:4")
    },
    "webp q90": Encoding(format="webp", quality=90),
    "png": Encoding(format="png"),
}
_FRAMES, _TILE = 8, 224
_ACCURATE_ROUNDING, _FULL_CHROMA = 0x40000, 0x2000  # libswscale's flags; PyAV has names for them since version 18
_LAYOUT = Layout(name="grid", frames=_FRAMES, rows=3, columns=3, tile=_TILE)


def measure(folder: Path) -> dict:
    """``{encoding: {"psnr_db", "kilobytes", "encode_ms", "decode_ms"}}``, averaged over the kinds of videos."""
    rows: dict[str, list[dict]] = {name: [] for name in ENCODINGS}
    for name in KIND_NAMES:
        path = str(make(KINDS[name], folder))
        indices = evenly_spaced(KINDS[name].num_frames, _FRAMES)
        reference = _reference(path, indices)
        rgb, ycbcr = _planes(path, indices)
        for encoding in ENCODINGS:
            rows[encoding].append(_row(rgb, ycbcr, reference, ENCODINGS[encoding]))
    return {
        encoding: {key: statistics.mean(row[key] for row in of_encoding) for key in of_encoding[0]}
        for encoding, of_encoding in rows.items()
    }


def _row(rgb: Planes, ycbcr: Planes, reference: np.ndarray, encoding: Encoding | None) -> dict:
    if encoding is None:
        return {"psnr_db": _psnr(*rgb, reference), "kilobytes": rgb[0].nbytes / 1000, "encode_ms": 0, "decode_ms": 0}
    planes = ycbcr if stores_ycbcr(encoding, _LAYOUT) else rgb
    encode_ms, content = _timed(lambda: encode(planes, encoding))
    decode_ms, decoded = _timed(lambda: np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))
    return {
        "psnr_db": _psnr(decoded, reference),
        "kilobytes": len(content) / 1000,
        "encode_ms": encode_ms,
        "decode_ms": decode_ms,
    }


def _timed(function) -> tuple[float, object]:
    """(median CPU milliseconds of five calls, result)."""
    spent = []
    for _ in range(5):
        begin = time.process_time()
        result = function()
        spent.append(1000 * (time.process_time() - begin))
    return statistics.median(spent), result


def _psnr(image: np.ndarray, reference: np.ndarray) -> float:
    """PSNR of the tiles, without the pad."""
    error = untile(image, _LAYOUT).astype(np.float64) - reference
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def _planes(path: str, indices: list[int]) -> tuple[Planes, Planes]:
    """The super image from our conversion, as RGB and as YCbCr planes of a JPEG."""
    clip = Clip(layout=_LAYOUT, indices=np.array(indices), order=clip_order(_LAYOUT))
    view = View(number=0, clip_number=0, clips=(clip,))
    both = []
    for encoding in (ENCODINGS["png"], Encoding()):
        with PyavVideo(path, deadline=float("inf")) as video:
            frames = Frames(video, [view])
            crops = {0: crop_for_test(*frames.size, number=0, num_crops=1)}
            (image,) = render(frames, [view], crops, is_ycbcr=partial(stores_ycbcr, encoding))
        both.append(image.planes)
    return tuple(both)


def _reference(path: str, indices: list[int]) -> np.ndarray:
    """Reference tiles float64 (T, 224, 224, 3): every frame decoded, 16-bit colors, averaged over pixel areas."""
    tiles = []
    with av.open(path) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number in indices:
                tiles.append(_area_mean(_exact_rgb(frame)))
    return np.stack(tiles)


def _exact_rgb(frame: av.VideoFrame) -> np.ndarray:
    """Frame as float32 (H, W, 3) in 0 to 255, with chroma interpolated at full precision."""
    from av.video.reformatter import Interpolation, VideoReformatter

    precise = int(Interpolation.BICUBIC) | _ACCURATE_ROUNDING | _FULL_CHROMA
    return VideoReformatter().reformat(frame, format="rgb48le", interpolation=precise).to_ndarray() / np.float32(257)


def _area_mean(rgb: np.ndarray) -> np.ndarray:
    height, width = rgb.shape[:2]
    box = crop_for_test(width, height, number=0, num_crops=1).box
    planes = (Image.fromarray(np.ascontiguousarray(rgb[..., channel])).crop(box) for channel in range(3))
    return np.stack([plane.resize((_TILE, _TILE), Image.Resampling.BOX) for plane in planes], axis=-1).astype(float)
