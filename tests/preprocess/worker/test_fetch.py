"""Videos behind a URL become the same shards as videos on a disk."""

import functools
import http.server
import os
import shutil
import threading
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from conversion import command, hashes

from preprocess.__main__ import main
from shards.check import check_directory
from shards.records import read_all_records
from shards.storage import fetch

LISTS = {"annotations": {"format": "list", "classes": "classes.txt", "separator": ";"}}


@pytest.fixture(scope="module")
def listed(video_folder, tmp_path_factory):
    """The videos of ``video_folder`` with plain lists beside them; some of their names need quoting in a URL."""
    source = tmp_path_factory.mktemp("listed")
    shutil.copytree(video_folder, source, dirs_exist_ok=True)
    (source / "classes.txt").write_text("left\nright\n", encoding="utf-8")
    for split, name in (("train", "train.txt"), ("validation", "val.txt")):
        rows = []
        for number, path in enumerate(sorted((source / split).rglob("*.*"))):
            path = path.rename(path.with_name(f"{'50%#ü?' if number == 1 else 'v'}{number}{path.suffix}"))
            rows.append(f"{path.relative_to(source)};1;20;{('left', 'right').index(path.parent.name)}\n")
        (source / name).write_text("".join(rows), encoding="utf-8")
    return source


class Server(http.server.SimpleHTTPRequestHandler):
    """Fails the first time that it is asked for some of the files, as overloaded servers do."""

    asked: ClassVar[Counter] = Counter()

    def do_GET(self):
        Server.asked[self.path] += 1
        if Server.asked[self.path] == 1 and self.path.endswith(".avi"):
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *args):
        """Not to the terminal."""


@pytest.fixture
def url(listed):
    Server.asked.clear()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(listed)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def only_lists(listed, folder):
    """What a person has who keeps the videos elsewhere."""
    folder.mkdir()
    for path in listed.glob("*.txt"):
        shutil.copy(path, folder)
    return folder


def test_fetched_videos_give_the_same_bytes_and_are_not_kept(listed, url, tmp_path, local_ray, monkeypatch):
    assert main(command(tmp_path, listed, tmp_path / "local", changes=LISTS)) == 0
    source = only_lists(listed, tmp_path / "lists")
    arguments = [*command(tmp_path, source, tmp_path / "fetched", changes=LISTS), "--videos-url", url]
    assert main(arguments) == 0
    assert len(Server.asked) == 18
    # Once more: the 6 .avi files, whose first request fails, and 8 of each split at most, to find where the videos lie.
    assert Server.asked.total() == 18 + 6 + (8 + 6)
    assert hashes(tmp_path / "fetched") == hashes(tmp_path / "local")
    for layout in ("grid", "strip"):
        assert check_directory(tmp_path / "fetched" / layout).problems == []
    assert not list(source.rglob("*.mp4"))
    # What is on the disk is not fetched, and the same output goes on wherever the videos are.
    assert main(command(tmp_path, listed, tmp_path / "fetched", changes=LISTS)) == 0


def test_a_video_that_the_server_lacks_is_left_out_by_its_address(listed, url, tmp_path, local_ray):
    source = only_lists(listed, tmp_path / "lists")
    with open(source / "train.txt", "a", encoding="utf-8") as rows:
        rows.write("train/left/none.mp4;1;20;0\n")
    arguments = [*command(tmp_path, source, tmp_path / "out", changes={**LISTS, "max_failures": 0.2})]
    assert main([*arguments, "--videos-url", url]) == 0
    failures = [failure for record in read_all_records(tmp_path / "out" / "grid") for failure in record.failures]
    assert [(failure.path, failure.reason) for failure in failures] == [("train/left/none.mp4", "missing file")]
    assert f"{url}train/left/none.mp4" in failures[0].detail


def test_what_no_server_delivers_is_an_error_that_names_it(tmp_path):
    with pytest.raises(OSError, match="refused"):
        fetch("http://127.0.0.1:1/video.mp4", tmp_path / "x", timeout_seconds=5)


def test_other_addresses_go_through_fsspec(listed, tmp_path):
    pytest.importorskip("fsspec")
    source = next((listed / "train").rglob("*.mp4"))
    fetch(Path(source).as_uri().replace("%23", "#"), tmp_path / "copy", timeout_seconds=5)
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
    assert os.listdir(tmp_path) == ["copy"]


KINETICS_LAYOUTS = {
    "split and class": "{split}/{name}/{file}",
    "class with underscores": "{split}/{underscored}/{file}",
    "split alone": "{split}/{file}",
    "flat": "{file}",
}


@pytest.fixture
def kinetics(video_folder, tmp_path):
    """Lists of Kinetics alone in one folder; the function puts the videos below another in one of the usual layouts."""
    (tmp_path / "lists").mkdir()
    header = "label,youtube_id,time_start,time_end,split\n"

    def put(layout: str):
        for split, list_name in (("train", "train.csv"), ("validation", "val.csv")):
            rows = []
            for number, path in enumerate(sorted((video_folder / split).rglob("*.mp4"))):
                # The first class has one word, which does not tell how the spaces of others are written.
                name = {"left": "abseiling"}.get(path.parent.name, f"playing {path.parent.name}")
                file = f"{split[0]}{number:010d}_000000_000010.mp4"
                folder = {"train": "train", "validation": "val"}[split]
                place = layout.format(split=folder, name=name, underscored=name.replace(" ", "_"), file=file)
                (tmp_path / "store" / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, tmp_path / "store" / place)
                rows.append(f"{name},{split[0]}{number:010d},0,10,{split}\n")
            (tmp_path / "lists" / list_name).write_text(header + "".join(rows), encoding="utf-8")
        return tmp_path

    return put


@pytest.mark.parametrize("layout", KINETICS_LAYOUTS)
def test_the_usual_layout_of_kinetics_is_found_behind_a_url(kinetics, layout, local_ray, capsys):
    folder = kinetics(KINETICS_LAYOUTS[layout])
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Server, directory=str(folder / "store"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    changes = {"annotations": {"format": "kinetics"}}
    arguments = command(folder, folder / "lists", folder / "out", changes=changes)
    try:
        assert main([*arguments, "--videos-url", f"http://127.0.0.1:{server.server_port}"]) == 0
    finally:
        server.shutdown()
    report = check_directory(folder / "out" / "grid")
    assert report.problems == []
    assert report.failures == {}


def test_a_url_without_the_videos_is_said_before_the_work(kinetics, capsys):
    folder = kinetics("{file}")
    (folder / "empty").mkdir()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Server, directory=str(folder / "empty"))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    changes = {"annotations": {"format": "kinetics"}}
    arguments = command(folder, folder / "lists", folder / "out", changes=changes)
    try:
        assert main([*arguments, "--videos-url", f"http://127.0.0.1:{server.server_port}"]) == 2
    finally:
        server.shutdown()
    (line,) = capsys.readouterr().err.splitlines()
    assert "of split 'train' was found there; tried t0000000002_000000_000010.mp4, train/playing right/" in line
    assert not (folder / "out").exists()
