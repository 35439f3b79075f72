"""How much is decoded of a long video: a few groups where a seek is exact, everything where only decoding counts."""

import itertools
import time

import pytest
from kind_makers import h264
from kinds import KINDS
from media import frame_number

from preprocess.config.schema import config_from
from preprocess.decode import packet_reader
from preprocess.decode.pyav import PyavVideo
from preprocess.decode.source import DecodeError
from preprocess.run.pipeline import read_dataset

WANTED = [13, 37]  # the second frames of two groups of twelve
KINDS_TO_SEEK_IN = ("h264 in mp4", "h264 in mkv", "h264 in ts", "h264 in m2ts", "h264 in avi", "hevc in ts")
JOINS_TO_SEEK_IN = ("joined with a mark", "joined, stamps collide", "joined, from 100 s back to 0")


class Counting(PyavVideo):
    """It counts the packets that the decoder gets."""

    num_decoded = 0

    def _decode(self, packet):
        self.num_decoded += packet is not None
        return super()._decode(packet)


@pytest.fixture
def as_if_long(monkeypatch):
    """No packet is kept from the first look, as with videos of more than 16 MB."""
    monkeypatch.setattr(packet_reader, "_KEPT_BYTES", 0)


@pytest.mark.usefixtures("as_if_long")
@pytest.mark.parametrize("name", KINDS_TO_SEEK_IN)
def test_only_the_groups_of_wanted_frames_are_decoded(name, tmp_path):
    with Counting(str(KINDS[name](tmp_path)), deadline=time.monotonic() + 60) as video:
        assert [frame_number(frame) for _, frame in video.frames(WANTED)] == WANTED
        assert video.num_decoded < 15


@pytest.mark.usefixtures("as_if_long")
@pytest.mark.parametrize("name", JOINS_TO_SEEK_IN)
def test_a_seek_finds_its_part_of_a_joined_stream(name, tmp_path):
    """The same time stands in both parts, so the place in the file is sought."""
    with Counting(str(KINDS[name](tmp_path)), deadline=time.monotonic() + 60) as video:
        assert [frame_number(frame) for _, frame in video.frames([19])] == [19]
        assert video.num_decoded < 10


def test_who_must_decode_everything_says_so_at_the_time_limit(tmp_path, monkeypatch):
    path = KINDS["mpeg-2 in ts"](tmp_path)
    clock = itertools.count()  # a second at each look; the packets take 85, decoding 40 more
    monkeypatch.setattr(packet_reader.time, "monotonic", lambda: next(clock))
    with pytest.raises(DecodeError, match="only be counted by decoding them all: raise timeout_seconds") as error:
        PyavVideo(str(path), deadline=110)
    assert error.value.reason == "time limit"


def test_the_time_limit_of_others_says_no_such_thing(tmp_path, monkeypatch):
    path = h264("a.mp4")(tmp_path)
    clock = itertools.count()
    monkeypatch.setattr(packet_reader.time, "monotonic", lambda: next(clock))
    with pytest.raises(DecodeError) as error:
        PyavVideo(str(path), deadline=20)
    assert "counted" not in error.value.detail


@pytest.mark.parametrize("suffix", ["vob", "m2ts", "asf", "mxf", "dv", "ogg", "VOB"])
def test_files_of_every_container_are_listed(suffix, tmp_path):
    folder = tmp_path / "train" / "class"
    folder.mkdir(parents=True)
    (folder / f"a.{suffix}").write_bytes(b"")
    config = config_from(
        {
            "annotations": {"format": "folder"},
            "layouts": {"grid": {"frames": 8, "tile": 32}},
            "splits": {"train": {"mode": "train", "views": 1}},
        },
        "test",
    )
    assert [video.path for video in read_dataset(config, tmp_path).splits["train"]] == [f"train/class/a.{suffix}"]
