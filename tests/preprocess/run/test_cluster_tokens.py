"""A cluster that asks for a token, and one that does not: the command finds out which it joins."""

import shutil
import tempfile
from pathlib import Path

import pytest
from conversion import Run, command
from ray_nodes import head_of

TOKEN = "0123456789abcdef" * 4
UNSET = {"RAY_AUTH_MODE": "", "RAY_AUTH_TOKEN": ""}  # an empty variable counts as none


def home_of(folder: Path, token: str | None) -> str:
    """A home directory with a token where ``ray get-auth-token --generate`` writes one."""
    (folder / ".ray").mkdir(parents=True)
    if token:
        (folder / ".ray" / "auth_token").write_text(token, encoding="utf-8")
    return str(folder)


@pytest.fixture(scope="module", params=["token", "disabled"])
def cluster(request, tmp_path_factory):
    """(the mode, the address) of a head whose home holds a token, as earlier Rays leave one there."""
    folder = Path(tempfile.mkdtemp(prefix="t-", dir="/tmp"))
    home = home_of(tmp_path_factory.mktemp("head"), TOKEN)
    with head_of(folder, RAY_AUTH_MODE=request.param, RAY_AUTH_TOKEN="", HOME=home) as address:
        yield request.param, address
    shutil.rmtree(folder, ignore_errors=True)


def run_in(cluster, folder, source, token):
    arguments = [*command(folder, source, folder / "out"), "--ray-address", cluster[1], "--progress", "none"]
    return Run(arguments, **UNSET, HOME=home_of(folder / "home", token)).finish()


def test_who_has_the_token_converts_whether_or_not_the_cluster_asks_for_it(cluster, video_folder, tmp_path):
    status, out, err = run_in(cluster, tmp_path, video_folder, TOKEN)
    assert status == 0, err
    assert "18 of 18 videos: 0 failed" in out
    assert "InvalidAuthToken" not in err


def test_who_has_no_token_is_reported_in_one_line_where_to_get_it(cluster, video_folder, tmp_path):
    mode, address = cluster
    status, out, err = run_in(cluster, tmp_path, video_folder, None)
    if mode == "disabled":
        assert status == 0, err
        return
    assert status == 2
    assert out == ""
    assert "InvalidAuthToken" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith(f"preprocess: --ray-address {address}: the cluster asks for a token")
    assert "copy ~/.ray/auth_token from the head" in last


def test_who_has_another_token_is_reported_so(cluster, video_folder, tmp_path):
    mode, _ = cluster
    status, _, err = run_in(cluster, tmp_path, video_folder, TOKEN[::-1])
    assert status == (2 if mode == "token" else 0), err
    if mode == "token":
        last = err.strip().splitlines()[-1]
        assert "the cluster asks for a token, and this machine has none or another one" in last
