"""Tars have the same bytes each time, webdataset reads them, and no tar is ever incomplete."""

import json
import subprocess
import tarfile
from dataclasses import replace

import pytest
import webdataset
from shard_samples import sample

from shards.format import IMAGE_EXTENSIONS, MAX_KEY_LENGTH, MAX_VIEWS, sample_key, video_keys
from shards.read import ShardError, decode_array, iter_samples
from shards.storage import remove_partial_files, whole_file
from shards.write import Sample, open_shard


@pytest.fixture
def shard(tmp_path):
    with open_shard(tmp_path / "a.tar") as writer:
        for number in range(5):
            writer.add(sample(number))
    return tmp_path / "a.tar"


def test_the_same_samples_make_the_same_bytes(shard, tmp_path):
    with open_shard(tmp_path / "b.tar") as writer:
        for number in range(5):
            writer.add(sample(number))
    assert shard.read_bytes() == (tmp_path / "b.tar").read_bytes()
    assert writer.num_bytes == shard.stat().st_size
    done = subprocess.run(["sha256sum", shard], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == writer.sha256
    with tarfile.open(shard) as tar:
        assert {(member.mtime, member.uid, member.gid, member.uname) for member in tar} == {(0, 0, 0, "")}


def test_webdataset_reads_what_we_wrote(shard):
    theirs = list(webdataset.WebDataset(str(shard), shardshuffle=False))
    ours = list(iter_samples(shard, num_samples=5))
    assert [sample["__key__"] for sample in theirs] == [sample.key for sample in ours]
    for their, our in zip(theirs, ours):
        assert (their["jpg"], int(their["cls"]), json.loads(their["json"])) == (our.image, our.label, our.metadata)


def test_a_part_of_a_shard(shard):
    assert [s.key for s in iter_samples(shard, start=1, stop=3)] == ["video0001_v00", "video0002_v00"]


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7])
def test_a_truncated_shard_is_an_error_that_names_it(shard, share):
    content = shard.read_bytes()
    shard.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ShardError, match=r"a\.tar.*check"):
        list(iter_samples(shard, num_samples=5))


def test_a_shard_cut_between_samples_is_missed_by_count(shard, tmp_path):
    """tarfile, and therefore webdataset, takes this for the end of a shorter tar."""
    with tarfile.open(shard) as tar:
        border = tar.getmembers()[6].offset
    shard.write_bytes(shard.read_bytes()[:border])
    assert len(list(webdataset.WebDataset(str(shard), shardshuffle=False))) == 2
    with pytest.raises(ShardError, match="2 samples, but the manifest says 5"):
        list(iter_samples(shard, num_samples=5))


@pytest.mark.parametrize("member", [0, 3, 7])
def test_a_damaged_header_is_an_error(shard, member):
    with tarfile.open(shard) as tar:
        offset = tar.getmembers()[member].offset
    content = bytearray(shard.read_bytes())
    content[offset : offset + 200] = b"\xff" * 200
    shard.write_bytes(content)
    with pytest.raises(ShardError, match=r"a\.tar"):
        list(iter_samples(shard, num_samples=5))


def test_a_damaged_image_names_file_and_key(tmp_path):
    broken = Sample(key="k_v00", image=b"\xff\xd8 no picture", extension="jpg", label=0, metadata={})
    with pytest.raises(ShardError, match=r"s\.tar.*'k_v00'"):
        decode_array(broken, tmp_path / "s.tar")


def test_a_missing_shard_is_an_error(tmp_path):
    with pytest.raises(ShardError, match="no such shard"):
        list(iter_samples(tmp_path / "none.tar"))


@pytest.mark.parametrize("key", ["a.b", "../a", "a/b", "", "k" * 101])
def test_unsafe_keys_are_refused(key):
    with pytest.raises(ValueError, match="a key must have no dot"):
        Sample(key=key, image=b"", extension="jpg", label=0, metadata={})


def test_an_interrupted_writer_leaves_nothing(tmp_path):
    def interrupted():
        with open_shard(tmp_path / "a.tar") as writer:
            writer.add(sample(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_writer_leaves_only_what_is_swept(tmp_path):
    with whole_file(tmp_path / "a.tar") as file:
        file.write(b"half")
        file.flush()
        left = next(tmp_path.iterdir()).read_bytes()  # as after kill -9 here
    (tmp_path / ".b.tar.0123.partial").write_bytes(left)
    assert remove_partial_files(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_a_url_is_refused_not_taken_for_a_path(tmp_path):
    with pytest.raises(ValueError, match=r"s3://bucket/a\.tar: must be a local path"), whole_file("s3://bucket/a.tar"):
        pass


@pytest.mark.parametrize("extension", IMAGE_EXTENSIONS)
def test_the_longest_key_of_the_largest_view_fits_a_tar(tmp_path, extension):
    (key,) = video_keys(["x" * 300 + ".mp4"])
    longest = replace(sample(0), key=sample_key(key, MAX_VIEWS - 1), extension=extension)
    assert len(longest.key) == MAX_KEY_LENGTH
    with open_shard(tmp_path / "a.tar") as shard:
        shard.add(longest)
    (found,) = iter_samples(tmp_path / "a.tar")
    assert found.key == longest.key
    assert max(map(len, tarfile.open(tmp_path / "a.tar").getnames())) <= 100


def test_a_sample_that_no_tar_can_hold_writes_nothing(tmp_path):
    with open_shard(tmp_path / "a.tar") as shard:
        with pytest.raises(TypeError):
            shard.add(replace(sample(0), metadata={"frames": {1, 2}}))
        shard.add(sample(1))
    assert [found.key for found in iter_samples(tmp_path / "a.tar")] == [sample(1).key]
