"""Which stream of a file is its video: for both decoders the one that the ffmpeg command takes by itself."""

import json
import subprocess

import numpy as np
import pytest
from conversion import command
from media import FFMPEG, frame_number, numbered_frames, sound_only, write_video
from PIL import Image

from preprocess.__main__ import main
from preprocess.decode.open import open_video
from preprocess.decode.source import DecodeError
from shards.read import iter_samples

DECODERS = ("pyav", "ffmpeg")
COUNT = 12
OTHER = 100  # the frames of the other stream are numbered from here


def ffmpeg(*arguments):
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, arguments)], check=True)


def numbered(path, first, **size):
    return write_video(path, numbered_frames(first + COUNT, **size)[first:], vcodec="libx264", crf=12)


def two_streams(folder, sizes, dispositions, suffix=".mkv"):
    """A file of two video streams: numbered from 0, and from ``OTHER``."""
    inputs, options = [], []
    for number, (size, disposition) in enumerate(zip(sizes, dispositions)):
        width, height = size
        inputs += ["-i", numbered(folder / f"{number}.mp4", OTHER * number, width=width, height=height)]
        options += ["-map", number, f"-disposition:v:{number}", disposition]
    path = folder / f"two{suffix}"
    ffmpeg(*inputs, *options, "-c", "copy", path)
    return path


SMALL, LARGE, HUGE = (96, 64), (192, 128), (3072, 2048)
FILES = {
    "the same": ((SMALL, SMALL), ("0", "0")),
    "the second is larger": ((SMALL, LARGE), ("0", "0")),
    "the first is larger": ((LARGE, SMALL), ("0", "0")),
    "the second is the default": ((LARGE, SMALL), ("0", "default")),
    "the first is the default": ((SMALL, LARGE), ("default", "0")),
    "both are": ((SMALL, LARGE), ("default", "default")),
    "a default, and one of 6 million pixels": ((SMALL, HUGE), ("default", "0")),
}


def taken_by_ffmpeg(path):
    """The index of the stream that the command takes without ``-map``, as it prints it."""
    log = subprocess.run(
        [FFMPEG, "-hide_banner", "-i", str(path), "-an", "-frames:v", "1", "-f", "null", "-"],
        capture_output=True,
        text=True,
    ).stderr
    return int(log.split("Stream mapping:")[1].split("#0:")[1].split(" ")[0])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_both_decoders_take_the_stream_that_the_command_takes(name, suffix, tmp_path):
    path = two_streams(tmp_path, *FILES[name], suffix)
    expected = taken_by_ffmpeg(path)
    for decoder in DECODERS:
        with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
            assert video.info.stream == expected
            ((_, frame),) = video.frames([7])
        assert frame_number(frame) == 7 + OTHER * expected


def cover(folder):
    path = folder / "cover.png"
    Image.fromarray(np.full((640, 480, 3), 128, np.uint8)).save(path)
    return path


def with_cover_first(folder):
    """The picture's atom stands before the video's, so that it is stream 0."""
    path = folder / "covered.mp4"
    options = ["-map", 0, "-map", 1, "-c", "copy", "-disposition:v:1", "attached_pic"]
    ffmpeg("-i", numbered(folder / "plain.mp4", 0), "-i", cover(folder), *options, path)
    content = path.read_bytes()
    start = content.index(b"moov") - 4
    end = start + int.from_bytes(content[start : start + 4], "big")
    assert end == len(content)  # behind the samples, so that nothing in it moves them
    atoms, position = [], start + 8
    while position < end:
        size = int.from_bytes(content[position : position + 4], "big")
        atoms.append(content[position : position + size])
        position += size
    atoms.sort(key=lambda atom: atom[4:8] != b"udta")
    path.write_bytes(content[: start + 8] + b"".join(atoms))
    return path


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_cover_picture_is_no_video(decoder, tmp_path):
    path = with_cover_first(tmp_path)
    assert b"udta" in path.read_bytes().partition(b"trak")[0]
    with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
        assert video.info.num_frames == COUNT
        assert [frame_number(frame) for _, frame in video.frames(range(COUNT))] == list(range(COUNT))
        assert video.info.stream == 1


@pytest.mark.parametrize("decoder", DECODERS)
def test_sound_with_a_cover_is_no_video(decoder, tmp_path):
    path = tmp_path / "song.mp3"
    sound = sound_only(tmp_path / "sound.wav")
    ffmpeg("-i", sound, "-i", cover(tmp_path), "-map", 0, "-map", 1, "-c:v", "copy", path)
    with pytest.raises(DecodeError, match="it has audio, cover picture") as error:
        open_video(str(path), decoder=decoder, timeout_seconds=60)
    assert error.value.reason == "no video stream"


@pytest.mark.usefixtures("local_ray")
def test_the_stream_stands_in_the_sidecar(tmp_path):
    folder = tmp_path / "videos" / "train" / "a"
    folder.mkdir(parents=True)
    two_streams(tmp_path, *FILES["the second is the default"]).rename(folder / "two.mkv")
    changes = {"splits": {"train": {"mode": "test"}}}
    assert main(command(tmp_path, tmp_path / "videos", tmp_path / "out", changes=changes)) == 0
    (tar,) = (tmp_path / "out" / "grid").glob("*.tar")
    (sample,) = iter_samples(tar)
    assert sample.metadata["stream"] == 1
    assert (
        json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["source"]["min_decoded_share"]
        == 0.25
    )


KEY, KEY_ID = "76a6c65c5ea762046bd749a2e632ccbb", "a7e61c373e219033c21091fa607bf3b8"
ENCRYPTION = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", KEY, "-encryption_kid", KEY_ID)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("movflags", ["faststart", "frag_keyframe+empty_moov"])
@pytest.mark.parametrize("vcodec", ["libx264", "libx265"])
def test_an_encrypted_video_is_refused_by_name(vcodec, movflags, decoder, tmp_path):
    quiet = {"x265-params": "log-level=none"} if vcodec == "libx265" else {}
    plain = write_video(tmp_path / "plain.mp4", numbered_frames(COUNT), vcodec=vcodec, **quiet)
    path = tmp_path / "encrypted.mp4"
    ffmpeg("-i", plain, "-c", "copy", *ENCRYPTION, "-movflags", movflags, path)
    with pytest.raises(DecodeError, match=r"encrypted\.mp4") as error:
        open_video(str(path), decoder=decoder, timeout_seconds=60)
    assert error.value.reason == "encrypted video"
