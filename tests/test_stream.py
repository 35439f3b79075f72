"""Shards behind a web server, streamed by timm's own reader as any user of WebDataset would."""

import functools
import http.server
import threading

import numpy as np
import pytest
from shard_samples import write_directory
from timm.data import create_dataset


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *message):
        pass


@pytest.fixture
def served(tmp_path):
    directory = write_directory(tmp_path, {"train": [4, 4], "validation": [3, 2]})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=directory))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield directory, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_timm_streams_what_lies_on_the_disk(served):
    directory, url = served
    local = list(create_dataset("wds/tiny", root=str(directory), split="validation"))
    remote = list(create_dataset("wds/tiny", root=url, split="validation"))
    assert len(remote) == 5
    for (image, label), (expected, expected_label) in zip(remote, local):
        assert label == expected_label
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))
