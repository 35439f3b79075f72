"""Attacks by hostile files fail. Each attack is first shown to work on an unprotected decoder."""

import ast
import functools
import http.server
import struct
import threading
import time
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media import h264, write_video
from PIL import Image
from places import ROOT

from preprocess.decode.open import open_video
from preprocess.decode.source import DecodeError
from shards.format import sample_key, shard_name, video_keys
from shards.read import ShardError, decode_image
from shards.write import Sample

DECODERS = ("pyav", "ffmpeg")


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """(URL of a folder with a secret video on a web server, the requests that the server has received)."""
    folder = tmp_path_factory.mktemp("web")
    h264(folder / "secret.mp4", 12)
    write_video(folder / "secret.ts", np.zeros((12, 64, 64, 3), np.uint8), vcodec="libx264")
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", folder, requests
    server.shutdown()


PLAYLISTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{target}.ts\n#EXT-X-ENDLIST\n",
    "concat": "ffconcat version 1.0\nfile '{target}.mp4'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'profiles="urn:mpeg:dash:profile:isoff-on-demand:2011" mediaPresentationDuration="PT1S"><Period><AdaptationSet '
    'contentType="video"><Representation id="0" bandwidth="1" mimeType="video/mp4" codecs="avc1"><BaseURL>{target}.mp4'
    "</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", ["hls", "concat"])
def test_the_attack_works_on_a_decoder_that_nobody_guards(kind, web, tmp_path):
    """Without protection, decoders follow the playlist. Otherwise the tests below would prove nothing."""
    _, folder, _ = web
    path = folder / f"{kind}.m3u8"
    path.write_text(PLAYLISTS[kind].format(target="secret"), encoding="utf-8")
    with av.open(str(path), options={"allowed_extensions": "ALL", "extension_picky": "0"}) as container:
        assert next(container.decode(video=0)).width == {"hls": 64, "concat": 96}[kind]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("kind", PLAYLISTS)
@pytest.mark.parametrize("reach", ["neighbour", "network"])
@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
def test_no_playlist_opens_another_file_or_an_address(decoder, kind, reach, suffix, web):
    address, folder, requests = web
    target = "secret" if reach == "neighbour" else f"{address}/secret"
    path = folder / f"{kind}-{reach}{suffix}"
    path.write_text(PLAYLISTS[kind].format(target=target), encoding="utf-8")
    with pytest.raises(DecodeError) as caught, open_video(str(path), decoder=decoder, timeout_seconds=60):
        pass
    assert caught.value.reason == "not a video"
    assert requests == []


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    "name", ["frame%03d.mp4", "-i.mp4", "concat:a.mp4", "http:__x.mp4", "a;touch b.mp4", "$(x) `y`.mp4"]
)
def test_a_name_is_only_a_name(decoder, name, tmp_path):
    h264(tmp_path / "plain.mp4", 5).rename(tmp_path / name)
    before = set(tmp_path.iterdir())
    with open_video(str(tmp_path / name), decoder=decoder, timeout_seconds=60) as video:
        assert video.info.num_frames == 5
    assert set(tmp_path.iterdir()) == before


def gif_of_claimed_size(path, width, height):
    """A real gif of 64x64 pixels with another size in its header."""
    frames = [Image.fromarray(np.full((64, 64, 3), shade, np.uint8)) for shade in (0, 200)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    content = bytearray(path.read_bytes())
    content[6:10] = struct.pack("<HH", width, height)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("size", [(65535, 65535), (12000, 12000), (65535, 1025)])
def test_a_giant_header_costs_neither_memory_nor_time(decoder, size, tmp_path):
    path = gif_of_claimed_size(tmp_path / "giant.gif", *size)
    began = time.process_time()
    with pytest.raises(DecodeError) as caught, open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
        list(video.frames([0]))
    assert time.process_time() - began < 5
    # libavformat reads the frames of a gif before it reports their size, so PyAV only reports that decoding failed.
    assert decoder == "pyav" or caught.value.reason == "picture too large"


@pytest.mark.parametrize("decoder", DECODERS)
def test_the_limit_on_pixels_is_the_configured_one(decoder, tmp_path):
    path = h264(tmp_path / "sound.mp4", 5, width=96, height=64)
    with (
        pytest.raises(DecodeError) as caught,
        open_video(str(path), decoder=decoder, timeout_seconds=60, max_pixels=96 * 64 - 1) as video,
    ):
        list(video.frames([0]))
    assert caught.value.reason == "picture too large"
    # Some decoders count the padding of the last macroblocks too.
    with open_video(str(path), decoder=decoder, timeout_seconds=60, max_pixels=(96 + 16) * (64 + 16)) as video:
        assert [frame.shape for _, frame in video.frames([0])] == [(64, 96, 3)]


@pytest.mark.parametrize("decoder", DECODERS)
def test_a_video_of_a_single_pixel_is_a_video(decoder, tmp_path):
    path = write_video(tmp_path / "dot.mkv", np.full((6, 1, 1, 3), 99, np.uint8), vcodec="ffv1", pix_fmt="bgr0")
    with open_video(str(path), decoder=decoder, timeout_seconds=60) as video:
        assert [frame.shape for _, frame in video.frames([0, 5])] == [(1, 1, 3)] * 2


def png_of_claimed_size(path, width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b""))
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def test_frames_of_a_folder_have_the_same_limit_and_are_pictures_alone(tmp_path):
    png_of_claimed_size(tmp_path / "1.png", 65535, 65535)
    with (
        pytest.raises(DecodeError, match="picture too large"),
        open_video(str(tmp_path), decoder="folder", timeout_seconds=9) as video,
    ):
        list(video.frames([0]))
    # Pillow would pass PostScript to Ghostscript for any file name.
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png", "EPS")
    with (
        pytest.raises(DecodeError, match="cannot identify"),
        open_video(str(tmp_path), decoder="folder", timeout_seconds=9) as video,
    ):
        list(video.frames([0]))


def test_an_image_of_a_shard_is_a_picture_too(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "x.eps", "EPS")
    sample = Sample(key="a", image=(tmp_path / "x.eps").read_bytes(), extension="jpg", label=0, metadata={})
    with pytest.raises(ShardError):
        decode_image(sample, "x.tar")


HOSTILE = ["../../etc/passwd", "/etc/passwd", "..", ".", "a\0b", "a\nb", "..\\..\\x", "C:\\x", "~/x", "x" * 300, "ü/ß"]


@given(st.lists(st.one_of(st.text(min_size=1), st.sampled_from(HOSTILE)), unique=True, max_size=8), st.integers(0, 99))
def test_no_key_leaves_the_output_directory(names, view):
    for key in video_keys(names):
        name = sample_key(key, view)
        assert Path("out", name).resolve().parent == Path("out").resolve()
        assert name.isascii()
        assert not set(name) & set("./\\\0\n:~")
    assert Path("out", shard_name("train", view, 0)).parent == Path("out")


def test_nothing_of_a_shard_is_unpickled():
    """No code that writes, checks or reads shards imports pickle or similar modules."""
    unpicklers = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
    for path in (ROOT / "shards").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in getattr(node, "names", [])] + [getattr(node, "module", None) or ""]
            assert not {module.split(".")[0] for module in modules} & unpicklers, path
            assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle"), path


def test_no_command_goes_through_a_shell():
    for path in [*(ROOT / "preprocess").rglob("*.py"), *(ROOT / "shards").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.keyword) and node.arg == "shell"), path
            assert not (isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.system", "os.popen")), path
