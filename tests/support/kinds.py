"""Small videos of many kinds: a maker for each name."""

from pathlib import Path

import ffmpeg
from kind_makers import Maker, encoded, field_coded, frames_of, h264, hevc, joined, remuxed, two_passes
from media import FFMPEG, sound_only, write_video


def _three_parts(folder: Path) -> Path:
    """The clock goes back, and then far ahead."""
    starts = {0: {"output_ts_offset": 50}, 13: _ALT, 26: {"output_ts_offset": 1000, **_ALT}}
    parts = [
        h264(f"{at}.ts", part=slice(at, at + 14 if at == 26 else at + 13), **o)(folder) for at, o in starts.items()
    ]
    path = folder / "j.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def _turned(name: str, degrees: int, mirrored: bool) -> Maker:
    options = {"display_rotation": degrees, **({"display_hflip": None} if mirrored else {})}
    return remuxed(h264(f"upright.{name.rpartition('.')[2]}"), name, input_options=options)


def _written(name: str, content: bytes) -> Maker:
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def _cover_alone(folder: Path) -> Path:
    sound, cover = sound_only(folder / "sound.m4a"), write_video(folder / "cover.png", frames_of()[:1], pix_fmt="rgb24")
    path = folder / "a.mp4"
    streams = ffmpeg.input(str(sound)), ffmpeg.input(str(cover))
    output = ffmpeg.output(*streams, str(path), c="copy", **{"disposition:v:0": "attached_pic"})
    output.overwrite_output().global_args("-v", "error").run(cmd=FFMPEG)
    return path


_ALT = {"mpegts_flags": "+initial_discontinuity"}
_REALTIME = {"deadline": "realtime", "cpu-used": 8, "g": 12, "b:v": "500k"}
_AV1 = {"cpu-used": 8, "usage": "realtime", "g": 12, "keyint_min": 12, "b:v": "500k"}
_Q = {"qscale": 2, "g": 12}
_FIELDS = {"flags": "+ildct+ilme"}
_OPEN = "keyint=12:min-keyint=12:open-gop=1:bframes=3:scenecut=0"
_PALETTE = "format=rgb24,split[a][b];[a]palettegen[c];[b][c]paletteuse"
_VARIABLE = {"filters": "setpts='round((N+3*floor(N/4))/25/TB)'", "fps_mode": "passthrough"}
_PAL, _CIF = (720, 576), (352, 288)


def _containers() -> dict[str, Maker]:
    kinds = {
        f"h264 in {x}": h264(f"a.{x}")
        for x in ("mp4", "mov", "m4v", "mkv", "ts", "m2ts", "avi", "flv", "nut", "asf", "3gp", "mxf", "h264")
    }
    kinds |= {f"hevc in {x}": hevc(f"a.{x}") for x in ("mp4", "mov", "mkv", "ts", "nut", "flv", "hevc")}
    kinds |= {f"vp8 in {x}": encoded(f"a.{x}", "libvpx", **_REALTIME) for x in ("webm", "mkv", "avi", "ivf")}
    kinds |= {f"vp9 in {x}": encoded(f"a.{x}", "libvpx-vp9", **_REALTIME) for x in ("webm", "mp4", "mkv", "ivf")}
    kinds |= {f"av1 in {x}": encoded(f"a.{x}", "libaom-av1", **_AV1) for x in ("webm", "mp4", "mkv", "ivf", "obu")}
    kinds |= {
        f"mpeg-4 in {x}": encoded(f"a.{x}", "mpeg4", bf=2, **_Q)
        for x in ("avi", "mp4", "mkv", "mov", "ts", "nut", "m4v")
    }
    kinds |= {
        f"mpeg-2 in {x}": encoded(f"a.{x}", "mpeg2video", bf=2, **_Q)
        for x in ("mpg", "vob", "ts", "m2ts", "mkv", "mxf")
    }
    kinds |= {f"motion jpeg in {x}": encoded(f"a.{x}", "mjpeg", pix_fmt="yuvj420p", qscale=2) for x in ("avi", "mov")}
    kinds |= {f"theora in {x}": encoded(f"a.{x}", "libtheora", qscale=8) for x in ("ogv", "ogg", "mkv")}
    kinds |= {f"wmv2 in {x}": encoded(f"a.{x}", "wmv2", **_Q) for x in ("wmv", "asf", "avi")}
    kinds |= {f"ffv1 in {x}": encoded(f"a.{x}", "ffv1") for x in ("mkv", "avi", "nut")}
    kinds |= {f"raw video in {x}": encoded(f"a.{x}", "rawvideo") for x in ("avi", "mkv", "nut")}
    return kinds


def _codecs() -> dict[str, Maker]:
    kinds = {
        name: encoded(f"a.{suffix}", name, **_Q)
        for name, suffix in [("mpeg1video", "mpg"), ("msmpeg4v2", "avi"), ("msmpeg4", "avi"), ("wmv1", "asf")]
        + [("flv", "flv"), ("rv10", "rm"), ("rv20", "rm"), ("snow", "avi"), ("libxvid", "avi")]
    }
    kinds |= {name: encoded("a.avi", name) for name in ("huffyuv", "ffvhuff", "utvideo", "zmbv")}
    kinds["huffyuv"] = encoded("a.avi", "huffyuv", pix_fmt="yuv422p")
    kinds["zmbv"] = encoded("a.avi", "zmbv", pix_fmt="bgr0")
    kinds["xvid packed"] = encoded("a.avi", "libxvid", bf=2, flags="+mv4", **_Q)
    kinds["h263"] = encoded("a.3gp", "h263", size=_CIF, **_Q)
    kinds["svq1"] = encoded("a.mov", "svq1", pix_fmt="yuv410p", **_Q)
    kinds["cinepak"] = encoded("a.avi", "cinepak", pix_fmt="rgb24")
    kinds["jpeg 2000"] = encoded("a.mov", "jpeg2000")
    kinds["cineform"] = encoded("a.mov", "cfhd", pix_fmt="yuv422p10le", size=_CIF)
    kinds["vvc"] = encoded("a.mp4", "libvvenc", pix_fmt="yuv420p10le", preset="faster", qp=20)
    kinds["dnxhr"] = encoded("a.mov", "dnxhd", pix_fmt="yuv422p", size=_CIF, **{"profile:v": "dnxhr_sq"})
    kinds["svt-av1"] = encoded("a.mp4", "libsvtav1", preset=10, g=12)
    kinds |= {f"dv in {x}": encoded(f"a.{x}", "dvvideo", size=_PAL) for x in ("dv", "avi", "mov", "mxf")}
    return kinds


def _pixels() -> dict[str, Maker]:
    def of(label: str, name: str, vcodec: str, formats: str, **options) -> dict[str, Maker]:
        return {f"{label} {pixels}": encoded(name, vcodec, pix_fmt=pixels, **options) for pixels in formats.split()}

    x265 = {"preset": "ultrafast", "x265-params": "log-level=none"}
    kinds = of("h264", "a.mp4", "libx264", "yuv422p yuv444p yuv420p10le yuv422p10le gray yuvj420p nv12", crf=12)
    kinds |= of("hevc", "a.mkv", "libx265", "yuv422p yuv444p yuv420p10le yuv420p12le gray gbrp", **x265)
    kinds |= of("vp9", "a.webm", "libvpx-vp9", "yuv422p yuv444p yuv420p10le yuva420p gbrp", **_REALTIME)
    kinds |= of("ffv1", "a.mkv", "ffv1", "yuv410p yuv411p gray gray16le bgr0 gbrp10le yuv444p16le yuva420p")
    kinds |= of("raw", "a.mov", "rawvideo", "rgb24 uyvy422 argb gray")
    kinds |= of("motion jpeg", "a.avi", "mjpeg", "yuvj422p yuvj444p", qscale=2)
    kinds |= of("prores", "a.mov", "prores_ks", "yuv422p10le yuva444p10le")
    kinds |= {
        "rgb in h264": encoded("a.mkv", "libx264rgb", pix_fmt="rgb24", crf=10),
        "png with alpha": encoded("a.mov", "png", pix_fmt="rgba"),
        "animation": encoded("a.mov", "qtrle", pix_fmt="argb"),
        "eight bits with a palette in avi": encoded("a.avi", "rawvideo", pix_fmt="pal8", filters=_PALETTE),
        "eight bits with a palette in mov": encoded("a.mov", "smc", pix_fmt="pal8", filters=_PALETTE),
        "gif": encoded("a.gif", "gif", pix_fmt="rgb8"),
    }
    return kinds


def _colours() -> dict[str, Maker]:
    matrices = ["bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "bt2020nc"]
    kinds = {f"matrix {name}": h264("a.mp4", colorspace=name) for name in matrices}
    # ffmpeg decodes from these and encodes to none of them: the number is put into a finished stream.
    kinds |= {
        f"matrix {name}": h264("a.mp4", **{"bsf:v": f"h264_metadata=matrix_coefficients={number}"})
        for name, number in (("ycgco", 8), ("bt2020c", 10))
    }
    kinds |= {f"matrix {name}, full range": h264("a.mkv", colorspace=name, color_range="pc") for name in matrices[:2]}
    hdr = {"color_trc": "smpte2084", "color_primaries": "bt2020", "colorspace": "bt2020nc"}
    return kinds | {"hdr": hevc("a.mp4", pix_fmt="yuv420p10le", **hdr)}


def _shapes() -> dict[str, Maker]:
    angles = [(degrees, mirrored) for degrees in (0, 90, 180, 270) for mirrored in (False, True)]
    kinds = {
        f"turned by {degrees}{', mirrored' * mirrored} in {suffix}": _turned(f"a.{suffix}", degrees, mirrored)
        for degrees, mirrored in angles
        for suffix in ("mp4", "mkv")
    }
    return kinds | {
        "odd size": h264("a.mp4", filters="crop=95:63:0:0", pix_fmt="yuv444p"),
        "odd size, vp9": encoded("a.webm", "libvpx-vp9", filters="crop=95:63:0:0", **_REALTIME),
        "pixels that are not square": h264("a.mp4", filters="setsar=16/11"),
        "a single frame": h264("a.mp4", part=slice(1)),
        "two frames": h264("a.mkv", part=slice(2)),
    }


def _times() -> dict[str, Maker]:
    late = {"movflags": "+negative_cts_offsets", "use_editlist": 0}
    kinds = {
        f"cut at {start} s in {suffix}": remuxed(h264(f"a.{suffix}"), f"cut.{suffix}", input_options={"ss": start})
        for start in (0.3, 0.7)
        for suffix in ("mp4", "mov", "mkv")
    }
    return kinds | {
        "a start at 5 s": h264("a.mp4", output_ts_offset=5),
        "a start at 5 s, ts": h264("a.ts", output_ts_offset=5),
        "no edit list": h264("a.mp4", **late),
        "a negative start": h264("a.mp4", output_ts_offset=-1, avoid_negative_ts="disabled"),
        "fragments": h264("a.mp4", movflags="frag_keyframe+empty_moov+default_base_moof"),
        **{f"variable rate in {x}": h264(f"a.{x}", **_VARIABLE) for x in ("mp4", "mkv", "ts", "flv", "avi")},
        "variable rate, mpeg-4 in avi": encoded("a.avi", "mpeg4", bf=2, **_Q, **_VARIABLE),
        "variable rate, motion jpeg in avi": encoded("a.avi", "mjpeg", pix_fmt="yuvj420p", **_VARIABLE),
        "variable rate, vp9": encoded("a.webm", "libvpx-vp9", **_REALTIME, **_VARIABLE),
        "times doubled": h264("a.mkv", filters="setpts='floor(N/2)/25/TB'", fps_mode="passthrough", bf=0),
        "the clock wraps": h264("a.ts", output_ts_offset=95442.9),
        "mpeg-2 copied from mpg to mp4": remuxed(encoded("a.mpg", "mpeg2video", bf=2, **_Q), "b.mp4"),
        "mpeg-2 copied from mpg to avi": remuxed(encoded("a.mpg", "mpeg2video", bf=2, **_Q), "b.avi"),
        "h264 copied from mp4 to avi": remuxed(h264("a.mp4"), "b.avi"),
        "h264 copied from mp4 to flv": remuxed(h264("a.mp4"), "b.flv"),
    }


def _groups() -> dict[str, Maker]:
    """What a packet shows: fields, hidden frames, pictures whose references are cut off."""
    kinds = {f"fields in {x}": field_coded(f"a.{x}") for x in ("ts", "mkv", "mp4", "avi")}
    kinds |= {f"fields, reordered, in {x}": field_coded(f"b.{x}", reordered=True) for x in ("ts", "mkv", "mp4")}
    kinds |= {f"fields in a frame, {x}": h264(f"a.{x}", "tff=1", **_FIELDS) for x in ("mp4", "ts", "mkv")}
    kinds |= {f"hevc fields in {x}": hevc(f"a.{x}", "keyint=12:interlace=tff") for x in ("mkv", "ts")}
    kinds |= {
        f"mpeg-2 fields in {x}": encoded(f"a.{x}", "mpeg2video", bf=2, **_FIELDS, **_Q) for x in ("ts", "vob", "mxf")
    }
    # Matroska and mp4 put them back together.
    kinds |= {
        f"vp9 hidden frames in packets of their own, {x}": remuxed(
            two_passes("a.webm", "libvpx-vp9"), f"split.{x}", **{"bsf:v": "vp9_superframe_split"}
        )
        for x in ("nut", "avi", "asf")
    }
    kinds |= {f"hevc open groups in {x}": hevc(f"a.{x}", _OPEN) for x in ("mp4", "mkv")}
    kinds |= {
        f"hevc cut at an open group, {x}": remuxed(hevc("a.mkv", _OPEN), f"cut.{x}", input_options={"ss": 0.7})
        for x in ("mkv", "mp4", "ts")
    }
    return kinds | {
        "h264 open groups": h264("a.mkv", "open-gop=1"),
        "h264 cut at an open group": remuxed(h264("a.mkv", "open-gop=1"), "cut.mkv", input_options={"ss": 0.7}),
        "h264 slices": h264("a.ts", "slices=4:aud=1"),
        "hevc slices": hevc("a.mp4", "keyint=12:slices=2:aud=1:repeat-headers=1"),
        "h264 intra refresh": h264("a.mkv", "intra-refresh=1:bframes=0"),
        "h264 pyramid": h264("a.mp4", "b-pyramid=normal:bframes=6:b-adapt=0"),
        "hevc temporal layers": hevc("a.mp4", "keyint=12:temporal-layers=3:b-adapt=0:bframes=3"),
        "vp8 hidden frames": two_passes("a.webm", "libvpx"),
        "vp9 hidden frames": two_passes("a.webm", "libvpx-vp9"),
        "av1 hidden frames": encoded("a.mkv", "libaom-av1", **{"cpu-used": 8, "g": 30, "lag-in-frames": 19}),
    }


def _joins() -> dict[str, Maker]:
    return {
        "joined": joined("j.ts"),
        "joined with a mark": joined("j.ts", None, _ALT),
        "joined, the clocks overlap": joined("j.ts", None, {"output_ts_offset": 0.1133, **_ALT}),
        "joined, stamps collide": joined("j.ts", {"bf": 0}, {"bf": 0, **_ALT}),
        "joined, from 100 s back to 0": joined("j.ts", {"output_ts_offset": 100}, _ALT),
        "joined, from 0 to 1000 s": joined("j.ts", None, {"output_ts_offset": 1000, **_ALT}),
        "joined, a gap of 3 s": joined("j.ts", None, {"output_ts_offset": 3.72, **_ALT}),
        "joined, other range": joined("j.ts", None, {"color_range": "pc", **_ALT}),
        "joined, other size": joined("j.ts", None, _ALT, second_size=(192, 128)),
        "joined, other pixels": joined("j.ts", None, {"pix_fmt": "yuv444p", **_ALT}),
        "joined, three parts": _three_parts,
        "joined mpeg-2 ts": joined("j.ts", None, _ALT, vcodec="mpeg2video"),
        "joined mpg": joined("j.mpg", vcodec="mpeg2video"),
        "joined h264": joined("j.h264"),
        "joined ts, copied to mkv": remuxed(joined("j.ts", None, _ALT), "k.mkv"),
        "joined ts, copied to mp4": remuxed(joined("j.ts", None, _ALT), "k.mp4"),
    }


def _refused() -> dict[str, Maker]:
    key = "0123456789abcdef" * 2
    secret = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": key, "encryption_kid": key}
    return {
        "encrypted": h264("a.mp4", **secret),
        "sound alone": lambda folder: sound_only(folder / "a.mp4"),
        "sound with a cover": _cover_alone,
        "a playlist": _written("a.ts", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n"),
        "text": _written("a.avi", b"no video\n" * 99),
        "an empty file": _written("a.mkv", b""),
    }


KINDS = {
    **_containers(),
    **_codecs(),
    **_pixels(),
    **_colours(),
    **_shapes(),
    **_times(),
    **_groups(),
    **_joins(),
    **_refused(),
}
