"""Videos that were mended, shards that were damaged, and what the command tells while it works."""

import json
import shutil

import pytest
from conversion import command, hashes
from media import h264

from preprocess.__main__ import main
from shards.check import check_directory
from shards.format import read_manifest
from shards.records import read_all_records

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture(scope="module")
def sound(video_folder, tmp_path_factory):
    """(source, output) of a conversion without failures."""
    folder = tmp_path_factory.mktemp("sound")
    source = folder / "source"
    shutil.copytree(video_folder, source)
    h264(source / "train" / "left" / "late.mp4", 15)
    assert main(command(folder, source, folder / "out")) == 0
    return source, folder / "out"


def written(output):
    return {path.relative_to(output): path.stat().st_mtime_ns for path in output.rglob("*.tar")}


def test_failed_videos_that_were_mended_are_tried_again_and_only_their_shards_are_made(sound, tmp_path, capsys):
    source = tmp_path / "source"
    shutil.copytree(sound[0], source)
    mended = source / "train" / "left" / "late.mp4"
    content = mended.read_bytes()
    mended.write_bytes(b"not yet here")
    arguments = command(tmp_path, source, tmp_path / "out")
    assert main(arguments) == 0
    broken_shard = {
        record.number
        for record in read_all_records(tmp_path / "out" / "grid")
        if any(failure.path.endswith("late.mp4") for failure in record.failures)
    }
    assert len(broken_shard) == 1
    before = written(tmp_path / "out")

    mended.write_bytes(content)
    assert main(arguments) == 0
    assert written(tmp_path / "out") == before  # without the flag, a failure stands
    capsys.readouterr()
    assert main([*arguments, "--retry-failed"]) == 0
    assert "19 of 19 videos: 0 failed" in capsys.readouterr().out
    assert hashes(tmp_path / "out") == hashes(sound[1])
    changed = {path for path, when in written(tmp_path / "out").items() if before[path] != when}
    assert {(path.name[:5], int(path.stem[-6:])) for path in changed} == {("train", number) for number in broken_shard}
    for layout in ("grid", "strip"):
        assert check_directory(tmp_path / "out" / layout).problems == []
        assert read_manifest(tmp_path / "out" / layout).split("train_v00").num_samples == 13


def test_while_failures_are_tried_again_the_conversion_is_not_complete(sound, tmp_path):
    """Also when that is interrupted: a manifest promises shards, so it goes before the first of them."""
    from preprocess.config.schema import load_config
    from preprocess.run.pipeline import convert_dataset, prepare
    from preprocess.run.ray_pool import Workers

    source, _ = sound
    arguments = command(tmp_path, source, tmp_path / "out")
    prepared = prepare(load_config(arguments[1]), source=source, output=tmp_path / "out")
    assert convert_dataset(prepared, workers=Workers(count=2)).complete
    prepared.output.forget(prepared.batches[:1])
    assert not list((tmp_path / "out").glob("*/_info.json"))
    assert main(arguments) == 0
    assert hashes(tmp_path / "out") == hashes(sound[1])


@pytest.fixture
def copied(sound, tmp_path):
    source, output = sound
    shutil.copytree(output, tmp_path / "out")
    return command(tmp_path, source, tmp_path / "out"), tmp_path / "out"


@pytest.mark.parametrize("name", ["train-000002", "train-v01-000002.tar", "train-000002.json"])
def test_a_damaged_shard_is_made_again_and_its_hash_compared(name, sound, copied, capsys):
    arguments, output = copied
    damaged = output / "strip" / "train-v01-000002.tar"
    content = bytearray(damaged.read_bytes())
    content[700] ^= 1
    damaged.write_bytes(content)
    assert check_directory(output / "strip").problems
    assert main([*arguments, "--rebuild", name]) == 0
    assert "train-000002: the same bytes; restored" in capsys.readouterr().out
    assert check_directory(output / "strip").problems == []
    assert hashes(output) == hashes(sound[1])
    assert not list(output.glob(".rebuild*"))


def test_a_rebuilt_shard_of_other_bytes_is_not_put_in_place(sound, tmp_path, copied, capsys):
    arguments, output = copied
    source = tmp_path / "source"
    shutil.copytree(sound[0], source)
    h264(source / "train" / "left" / "late.mp4", 15, crf=40)  # another file under the same name
    arguments[arguments.index("--source") + 1] = str(source)
    before = written(output)
    names = sorted({f"train-{path.stem[-6:]}" for path in before if path.name.startswith("train")})
    assert main([*arguments, "--rebuild", *names]) == 1
    text = capsys.readouterr()
    assert text.out.count("the same bytes; restored") == len(names) - 1
    assert text.out.count("different bytes; not replaced") == 1
    assert "recorded, " in text.out
    assert "--retry-failed" in text.err
    for layout in ("grid", "strip"):
        assert check_directory(output / layout).problems == []


@pytest.mark.parametrize("name", ["train-000099", "test-000000", "../train-000000", "train"])
def test_a_shard_that_is_not_planned_is_a_mistake(name, copied, capsys):
    arguments, output = copied
    before = written(output)
    assert main([*arguments, "--rebuild", name]) == 2
    assert f"--rebuild {name}: no such video batch; there are train-000000 to train-000003" in capsys.readouterr().err
    assert written(output) == before


def test_a_shard_that_was_never_made_is_not_rebuilt(copied, capsys):
    arguments, output = copied
    (output / "grid" / "_records" / "train-000001.json").unlink()
    assert main([*arguments, "--rebuild", "train-000001"]) == 2
    assert "not converted yet; run the same command without --rebuild" in capsys.readouterr().err


def test_progress_as_json_is_one_object_a_line_and_adds_up(sound, tmp_path, capsys):
    source = tmp_path / "source"
    shutil.copytree(sound[0], source)
    (source / "train" / "left" / "late.mp4").write_bytes(b"")
    arguments = [*command(tmp_path, source, tmp_path / "out"), "--progress", "json"]
    assert main(arguments) == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    progress = [event for event in events if event["event"] == "progress"]
    assert [event["videos"] for event in progress] == sorted(event["videos"] for event in progress)
    assert {event["total"] for event in progress} == {19}
    last = progress[-1]
    assert (last["videos"], last["failures"], last["earlier"]) == (19, 1, 0)
    assert last["videos_per_second"] == pytest.approx(19 / last["seconds"], rel=0.1)
    assert events[-1] == {"event": "end", "complete": True, "videos": 19, "reasons": {"empty file": 1}}
    # A second run finds all of it done, and its rate is its own.
    assert main(arguments) == 0
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert (events[-2]["videos"], events[-2]["earlier"], events[-2]["videos_per_second"]) == (19, 19, 0)


def test_libraries_that_have_changed_are_reported_of(copied, capsys):
    arguments, output = copied
    path = output / "grid" / "_records" / "_config.json"
    begun = json.loads(path.read_text(encoding="utf-8"))
    begun["versions"]["av"] = "0.1"
    path.write_text(json.dumps(begun), encoding="utf-8")
    for _ in range(2):  # it stays said
        assert main(arguments) == 0
        assert "begun with other versions of libraries: av " in capsys.readouterr().err


MISTAKES = {
    "--rebuild x --dry-run": "--dry-run and --rebuild cannot be combined",
    "--workers 0": "must be at least 1",
    "--runtime-env env.yaml": "needs --ray-address",
    "--ray-address ray://host:10001": "HOST:6379",
    "--ray-address local": "leave out --ray-address",
    "--ray-address :6379": "must be auto or the HOST:PORT",
    "--ray-address http://host:8265": "must be auto or the HOST:PORT",
    "--ray-address host": "must be auto or the HOST:PORT",
    "--ray-address auto --runtime-env none.yaml": "none.yaml",
    "--dry-run --train-ranks 0": "must be at least 1",
    "--output s3://bucket/shards": "s3://bucket/shards: must be a local path",
    "--source https://host/videos": "https://host/videos: must be a local path",
}


def status_of(arguments):
    try:
        return main(arguments)
    except SystemExit as ended:  # argparse's way
        return ended.code


@pytest.mark.parametrize("flags", MISTAKES)
def test_flags_that_cannot_be_met_are_one_line(flags, sound, tmp_path, capsys):
    arguments = [*command(tmp_path, sound[0], tmp_path / "out")[:-2], *flags.split()]
    assert status_of(arguments) == 2
    assert MISTAKES[flags] in capsys.readouterr().err.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("variables", "flags", "words"),
    [
        ({"RAY_ADDRESS": "ray://host:10001"}, ["--ray-address", "auto"], "RAY_ADDRESS=ray://host:10001: Ray's client"),
        ({"RAY_ADDRESS": "http://host:8265"}, ["--ray-address", "auto"], "RAY_ADDRESS=http://host:8265: must be auto"),
        ({"RAY_ADDRESS": "local"}, ["--ray-address", "auto"], "RAY_ADDRESS=local: is not a cluster"),
        ({"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}"}, [], "add --ray-address auto"),  # Ray sets it in a submitted job
        ({}, ["--ray-address", ""], "must be auto or the HOST:PORT"),  # such as an unset variable of a script
    ],
)
def test_variables_that_lead_elsewhere_are_refused_before_anything_is_read(
    variables, flags, words, video_folder, tmp_path, capsys, monkeypatch
):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main([*command(tmp_path, video_folder, tmp_path / "out")[:-2], *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    assert not (tmp_path / "out").exists()
