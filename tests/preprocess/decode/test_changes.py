"""Streams whose size, pixels, range or orientation change midway: each index is still the frame that it names."""

import numpy as np
import pytest
from media import frame_number, numbered_frames, write_video

from preprocess.decode.open import open_video

FIRST, SECOND = 45, 55
LARGE = {"width": 192, "height": 128}
# What the second part has that the first has not: frames of another size, and options of its encoder.
CHANGES = {
    "nothing": ({}, {}),
    "range": ({}, {"color_range": "pc"}),
    "pixel format": ({}, {"pix_fmt": "yuv444p"}),
    "ten bits": ({}, {"pix_fmt": "yuv420p10le"}),
    "matrix": ({}, {"colorspace": "bt709"}),
    "size": (LARGE, {}),
    "smaller": ({"width": 48, "height": 32}, {}),
    "size and range": (LARGE, {"color_range": "pc"}),
    "mirrored": ({}, {"bsf:v": "h264_metadata=display_orientation=insert:rotate=180"}),
}


def joined(folder, size, options):
    """Two parts one behind the other in one transport stream."""
    parts = []
    for number, (frames, part_options) in enumerate(
        [
            (numbered_frames(FIRST), {}),
            (numbered_frames(FIRST + SECOND, **size)[FIRST:], options),
        ]
    ):
        if part_options.get("bsf:v"):  # stored the other way up, so that it is shown upright
            frames = np.ascontiguousarray(frames[:, ::-1, ::-1])
        path = folder / f"{number}.ts"
        parts.append(write_video(path, frames, vcodec="libx264", preset="ultrafast", crf=12, **part_options))
    whole = folder / "joined.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("step", [1, 12])
def test_ffmpeg_gives_the_frames_that_are_named(change, step, tmp_path):
    with open_video(str(joined(tmp_path, *CHANGES[change])), decoder="ffmpeg", timeout_seconds=60) as video:
        assert video.info.num_frames == FIRST + SECOND
        frames = dict(video.frames(range(0, FIRST + SECOND, step)))
    assert {index: frame_number(frame) for index, frame in frames.items()} == {index: index for index in frames}
    assert {frame.shape for frame in frames.values()} == {(64, 96, 3)}


def test_only_one_frame_is_held_at_a_time(tmp_path):
    """Frames are arrays of their own, and none waits for the ones behind it."""
    path = write_video(tmp_path / "a.mp4", numbered_frames(30), vcodec="libx264")
    with open_video(str(path), decoder="ffmpeg", timeout_seconds=60) as video:
        frames = video.frames(range(30))
        index, first = next(frames)
        held = first.copy()
        assert [index, *(index for index, _ in frames)] == list(range(30))
    np.testing.assert_array_equal(first, held)
