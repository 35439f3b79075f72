"""The report: its sums are those of the shards, it stands alone, and hostile names stay text."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conversion import command
from media import h264, sound_only

from preprocess.__main__ import main
from preprocess.config.schema import load_config
from preprocess.report.page import page
from preprocess.report.summary import collect
from preprocess.run.pipeline import prepare
from preprocess.run.progress import HISTORY_NAME
from preprocess.worker.statistics import STATISTICS_DIR
from shards.check import check_directory

pytestmark = pytest.mark.usefixtures("local_ray")
HOSTILE = '<script>alert(1)</script> & "quoted".mp4'


@pytest.fixture(scope="module")
def arguments(video_folder, tmp_path_factory):
    """A conversion with failures, a truncated video and a hostile name."""
    folder = tmp_path_factory.mktemp("report")
    source = folder / "source"
    shutil.copytree(video_folder, source)
    (source / "train" / "left" / "empty.mp4").write_bytes(b"")
    (source / "train" / "left" / HOSTILE.replace("/", "∕")).write_text("no video", encoding="utf-8")
    sound_only(source / "train" / "right" / "sound.mp4")
    whole = h264(folder / "whole.mp4", 120, movflags="faststart", width=160, height=128).read_bytes()
    (source / "train" / "right" / "cut.mp4").write_bytes(whole[: len(whole) * 6 // 10])
    arguments = command(folder, source, folder / "out", changes={"max_failures": 0.5})
    assert main(arguments) == 0
    return arguments


@pytest.fixture(scope="module")
def output(arguments):
    return Path(arguments[arguments.index("--output") + 1])


@pytest.fixture(scope="module")
def report(output):
    return json.loads((output / "report.json").read_text(encoding="utf-8"))


def test_the_sums_are_those_of_the_shards(report, output):
    assert report["complete"]
    assert report["videos"] == {"planned": 22, "converted": 19, "failed": 3, "pending": 0, "missing": 0}
    for layout, summed in report["layouts"].items():
        checked = check_directory(output / layout)
        assert (summed["tars"], summed["samples"], summed["bytes"]) == (checked.shards, checked.samples, checked.bytes)
        assert {reason: entry["count"] for reason, entry in report["failures"].items()} == checked.failures
        views = {split: entry["views"] for split, entry in report["splits"].items()}
        assert {
            split: {label: count // views[split] for label, count in labels.items()}
            for split, labels in checked.labels.items()
        } == {split: dict(enumerate(counts.values())) for split, counts in report["classes"].items()}


def test_the_statistics_are_those_of_the_videos(report):
    source = report["source"]
    assert source["decoders"] == {"pyav": 18, "ffmpeg": 1}
    assert source["codecs"] == {"h264": 6, "vp9": 6, "mpeg4": 6, "unknown": 1}
    assert source["sizes"] == {"96x64": 10, "112x64": 8, "160x128": 1}
    assert source["fallback_reasons"].keys() <= {"truncated or damaged file", "truncated or damaged stream"}
    assert sum(source["fallback_reasons"].values()) == 1
    for spread in (source["duration_seconds"], source["frames"], report["work"]["cpu_seconds"]):
        assert spread["min"] <= spread["median"] <= spread["max"] <= spread["sum"]
    assert sum(source["frames"]["counts"]) == 19
    assert sum(report["work"]["nodes"].values()) == 22


class Tags(HTMLParser):
    """Every element is closed where it should be; what a page refers to is collected."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.open, self.references, self.names = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.names.add(tag)
        self.references += [value for name, value in attributes if name in ("src", "href", "xlink:href", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.names.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_alone_and_names_of_files_are_text(report, output):
    text = (output / "report.html").read_text(encoding="utf-8")
    tags = Tags(text)
    assert tags.open == []
    assert "script" not in tags.names
    assert tags.references
    assert all(reference.startswith(("data:image/jpeg;base64,", "#")) for reference in tags.references)
    assert not re.search(r"@import|url\((?!#)", text)  # a chart refers to its own clip paths alone
    assert "&lt;script&gt;alert(1)" in text
    for words in ("not a video", "no video stream", "empty file", "Damaged, and decoded all the same", "complete"):
        assert words in text


def test_a_report_can_be_made_while_the_work_goes_on(arguments, output, tmp_path, capsys):
    part = tmp_path / "out"
    shutil.copytree(output, part)
    for layout in ("grid", "strip"):
        (part / layout / "_info.json").unlink()
    (part / "grid" / "_records" / "validation-000000.json").unlink()
    (part / STATISTICS_DIR / "train-000000.json").unlink()
    (part / STATISTICS_DIR / "train-000001.json").write_text("{ cut off", encoding="utf-8")
    with open(part / STATISTICS_DIR / HISTORY_NAME, "a", encoding="utf-8") as history:
        history.write('{"begins": true, "sec')  # a run that was killed as it wrote
    before = {path: path.stat().st_mtime_ns for path in part.rglob("*.tar")}
    command = [*arguments, "--report"]
    command[command.index("--output") + 1] = str(part)
    assert main(command) == 0
    assert capsys.readouterr().out.strip() == str(part / "report.html")
    report = json.loads((part / "report.json").read_text(encoding="utf-8"))
    assert not report["complete"]
    assert report["videos"]["pending"] == 3
    assert report["work"]["batches_without_statistics"] == 2
    assert "not complete: 3 videos are still to come" in (part / "report.html").read_text(encoding="utf-8")
    assert {path: path.stat().st_mtime_ns for path in part.rglob("*.tar")} == before


def test_an_output_whose_statistics_have_their_former_name_is_continued(arguments, output, tmp_path):
    """Versions before this one wrote ``_facts``; the report counts the batches whose statistics it does not read."""
    former = tmp_path / "out"
    shutil.copytree(output, former)
    (former / STATISTICS_DIR).rename(former / "_facts")
    before = {path: path.stat().st_mtime_ns for path in former.rglob("*.tar")}
    again = list(arguments)
    again[again.index("--output") + 1] = str(former)
    assert main(again) == 0
    report = json.loads((former / "report.json").read_text(encoding="utf-8"))
    assert report["complete"]
    assert report["work"]["batches_without_statistics"] == sum(s["batches_done"] for s in report["splits"].values()) > 0
    assert {path: path.stat().st_mtime_ns for path in former.rglob("*.tar")} == before


def test_there_is_nothing_to_report_where_nothing_was_begun(arguments, tmp_path, capsys):
    command = [*arguments, "--report"]
    command[command.index("--output") + 1] = str(tmp_path / "none")
    assert main(command) == 2
    assert "no conversion was started there" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_time_between_runs_is_no_work(arguments, output, tmp_path):
    (tmp_path / STATISTICS_DIR).mkdir()
    runs = [(True, 0, 10.0, 5), (False, 0, 20.0, 9), (True, 9, 30.0, 12)]
    lines = [
        json.dumps({"begins": begins, "earlier": earlier, "seconds": seconds, "videos": videos, "failures": 0})
        for begins, earlier, seconds, videos in runs
    ]
    (tmp_path / STATISTICS_DIR / HISTORY_NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = Path(arguments[arguments.index("--source") + 1])
    report = collect(prepare(load_config(arguments[1]), source=source, output=tmp_path))
    assert [(point["seconds"], point["videos"]) for point in report["history"]] == [
        *((0.0, 0), (10.0, 5), (20.0, 9)),
        *((20.0, 9), (50.0, 12)),
    ]
    assert Tags(page(report, {}).decode()).open == []
