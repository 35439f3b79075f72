"""Shards on a web server give the same samples as on disk, even if connections break."""

import csv
import functools
import http.server
import shutil
import threading
from collections import Counter

import fsspec
import numpy as np
import pytest
import torch
from shard_samples import write_directory
from super_images import write_super_images
from timm.data import create_dataset
from torch.utils.data import DataLoader

import eval_video
import train_image
from shards import storage
from shards.__main__ import main as shards_main
from shards.format import read_manifest
from shards.preview import contact_sheet
from shards.read import ShardError, iter_samples
from shards.storage import UnreachableError, join, open_stream
from shards.timm_reader import ShardReader


class Server(http.server.ThreadingHTTPServer):
    """Serves a directory. For each file, it refuses ``refusals`` requests and then drops ``drops`` connections."""

    drops = 0
    dropped_after = 0  # bytes
    knows_ranges = True
    refusals = 0
    status: int | None = None

    def __init__(self, directory):
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=directory))
        self.asked = Counter()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked[self.path] += 1
        if self.server.status or self.server.asked[self.path] <= self.server.refusals:
            self.send_error(self.server.status or 503)
            return
        path = self.translate_path(self.path)
        try:
            with open(path, "rb") as file:
                content = file.read()
        except FileNotFoundError:
            self.send_error(404)
            return
        start = self._start(len(content))
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        is_dropped = self.server.asked[self.path] - self.server.refusals <= self.server.drops
        self.wfile.write(content[start:][: self.server.dropped_after] if is_dropped else content[start:])

    def _start(self, size: int) -> int:
        asked = self.headers["Range"]
        if not asked or not self.server.knows_ranges:
            self.send_response(200)
            return 0
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        return start

    def log_message(self, *message):
        """Log nothing to the terminal."""


@pytest.fixture
def serve():
    servers = []

    def start(directory, **settings):
        server = Server(directory)
        vars(server).update(settings)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def directory(tmp_path):
    return write_directory(tmp_path / "shards", {"train": [4, 4, 5], "validation": [3, 2]})


@pytest.fixture
def waits(monkeypatch):
    """Record the waits between tries instead of sleeping."""
    slept = []
    monkeypatch.setattr(storage.time, "sleep", slept.append)
    return slept


def test_timm_streams_what_lies_on_the_disk(directory, serve):
    server = serve(directory, knows_ranges=False)
    local = list(create_dataset("wds/tiny", root=str(directory), split="validation"))
    remote = list(create_dataset("wds/tiny", root=server.url, split="validation"))
    assert len(remote) == 5
    for (image, label), (expected, expected_label) in zip(remote, local):
        assert label == expected_label
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"drops": 1000, "dropped_after": 700},
        {"drops": 3, "dropped_after": 5000, "knows_ranges": False},
        {"refusals": 2},
    ],
    ids=["sound", "broken", "broken, without ranges", "overloaded"],
)
def test_samples_are_those_on_the_disk_whatever_the_connection(directory, serve, waits, settings):
    server = serve(directory, **settings)
    for name in read_manifest(directory).split("train").filenames:
        assert list(iter_samples(f"{server.url}/{name}")) == list(iter_samples(directory / name))
        assert list(iter_samples(f"{server.url}/{name}", start=1, stop=3)) == list(
            iter_samples(directory / name, start=1, stop=3)
        )
    if settings:
        assert waits
        assert max(server.asked.values()) > 2
    else:
        assert not waits
        assert set(server.asked.values()) == {2}


@pytest.mark.parametrize("is_training", [False, True])
def test_an_epoch_is_the_one_that_the_disk_gives(directory, serve, is_training):
    server = serve(directory)
    epochs = []
    for root in (directory, server.url, f"{server.url}/"):
        reader = ShardReader(root, split="train", is_training=is_training, batch_size=3)
        epochs.append([(np.asarray(image).tobytes(), label) for image, label in reader])
    assert epochs[0] == epochs[1] == epochs[2]
    assert len(epochs[0]) == (12 if is_training else 13)


def test_loader_workers_stream_each_sample_once(directory, serve):
    server = serve(directory)
    reader = ShardReader(server.url, split="train", batch_size=2)
    labels = torch.cat(list(DataLoader(Labels(reader), batch_size=2, num_workers=2)))
    expected = [label for _, label in ShardReader(directory, split="train")]
    assert sorted(labels.tolist()) == sorted(expected)


class Labels(torch.utils.data.IterableDataset):
    def __init__(self, reader):
        self.reader = reader

    def __iter__(self):
        return (label for _, label in self.reader)


def test_other_urls_go_through_fsspec(directory):
    memory = fsspec.filesystem("memory")
    memory.put(f"{directory}/", "/bucket/", recursive=True)
    assert read_manifest("memory://bucket") == read_manifest(directory)
    remote = [(np.asarray(image).tobytes(), label) for image, label in ShardReader("memory://bucket", split="train")]
    assert remote == [(np.asarray(image).tobytes(), label) for image, label in ShardReader(directory, split="train")]
    assert read_manifest("memory://bucket/none") is None


@pytest.mark.parametrize(
    ("url", "message"),
    [("nosuch://bucket", "nosuch"), ("http://127.0.0.1:1", "refused")],
)
def test_a_url_that_leads_nowhere_is_told_by_its_name(waits, url, message):
    with pytest.raises(UnreachableError, match=message) as raised:
        read_manifest(url)
    assert f"{url}/_info.json" in str(raised.value)
    # Permanent errors are not retried.
    assert waits == ([] if url.startswith("nosuch") else [1, 2, 4, 8, 16])


def test_a_server_that_refuses_is_asked_once(directory, serve, waits):
    server = serve(directory, status=403)
    with pytest.raises(UnreachableError, match=r"_info\.json: HTTP Error 403"):
        read_manifest(server.url)
    assert not waits
    server.status = 404
    assert read_manifest(server.url) is None


def test_a_server_that_goes_away_ends_the_epoch_by_name(directory, serve, waits):
    server = serve(directory)
    name = read_manifest(directory).split("train").filenames[0]
    server.status = 500
    with pytest.raises(ShardError, match=rf"{name}: .*500.*try the same command again"):
        list(iter_samples(f"{server.url}/{name}", num_samples=4))
    assert waits == [1, 2, 4, 8, 16]


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.8])
def test_a_truncated_shard_is_not_taken_for_a_broken_connection(directory, serve, waits, kept):
    name = read_manifest(directory).split("train").filenames[2]
    content = (directory / name).read_bytes()
    (directory / name).write_bytes(content[: int(len(content) * kept)])
    server = serve(directory)
    with pytest.raises(ShardError, match=rf"{name}: (damaged|. samples, but the manifest says 5)"):
        list(iter_samples(f"{server.url}/{name}", num_samples=5))
    assert not waits


def test_an_object_that_became_shorter_is_an_error(directory, serve, waits):
    server = serve(directory, drops=1, dropped_after=5000, knows_ranges=False)
    name = read_manifest(directory).split("train").filenames[0]
    with open_stream(f"{server.url}/{name}") as stream:
        stream.read(10)
        (directory / name).write_bytes(b"short")
        with pytest.raises(UnreachableError, match="bytes shorter than before"):
            stream.read()


@pytest.mark.usefixtures("as_if_alone")
def test_training_and_evaluation_from_a_url_are_those_from_the_disk(tmp_path, serve, capsys):
    """A URL without a layout, or above the layouts, is a user error in one line."""
    data = write_super_images(tmp_path / "data", train=16, validation=6)
    server = serve(data)
    made = []
    for name, root in (("disk", str(data)), ("url", server.url)):
        arguments = ["--model", "test_resnet", "--batch-size", "8", "--workers", "1", "--warmup-epochs", "0"]
        arguments += ["--device", "cpu", "--epochs", "1", "--output", str(tmp_path), "--experiment", name]
        assert train_image.main([*arguments, "--data-dir", root]) == 0
        checkpoint = str(tmp_path / name / "last.pth.tar")
        output = tmp_path / f"{name}-eval"
        evaluation = ["--checkpoint", checkpoint, "--data-dir", root, "--output", str(output), "--device", "cpu"]
        assert eval_video.main([*evaluation, "--workers", "1"]) == 0
        with open(tmp_path / name / "summary.csv", newline="", encoding="utf-8") as file:
            made.append(
                (
                    [row["train_loss"] for row in csv.DictReader(file)],
                    (output / "predictions.csv").read_text(encoding="utf-8"),
                )
            )
    assert made[0] == made[1]
    shutil.rmtree(data)
    capsys.readouterr()
    assert train_image.main([*arguments, "--data-dir", server.url, "--experiment", "none"]) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("train_image: --data-dir http://127.0.0.1")


def test_preview_reads_a_url_and_check_refuses_it(directory, serve, capsys):
    server = serve(directory)
    sheet, expected = (contact_sheet(root, split="train") for root in (server.url, directory))
    np.testing.assert_array_equal(np.asarray(sheet), np.asarray(expected))
    assert shards_main(["check", server.url]) == 2
    assert f"{server.url}: must be a local path" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("root", "name", "whole"),
    [
        ("https://host/videos/", "playing guitar/a#1.mp4", "https://host/videos/playing%20guitar/a%231.mp4"),
        ("https://host/videos?sig=a%2Fb&x=1", "a b.mp4", "https://host/videos/a%20b.mp4?sig=a%2Fb&x=1"),
        ("https://host?sig=1", "a.mp4", "https://host/a.mp4?sig=1"),
        ("s3://bucket/k400", "playing guitar/50% #1?.mp4", "s3://bucket/k400/playing guitar/50% #1?.mp4"),
        ("gs://bucket/k400/", "ünder.mp4", "gs://bucket/k400/ünder.mp4"),
    ],
)
def test_names_are_joined_to_urls_as_their_scheme_wants(root, name, whole):
    assert join(root, name) == whole


def test_object_keys_are_found_as_they_are():
    """In an object store without directories, such as s3 and gs."""

    with fsspec.open("memory://bucket/playing guitar/50% #1.mp4", "wb") as file:
        file.write(b"video")
    with open_stream(join("memory://bucket", "playing guitar/50% #1.mp4")) as file:
        assert file.read() == b"video"
