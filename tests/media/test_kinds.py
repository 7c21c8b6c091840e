"""Pictures of every kind: geometry, colour, HDR, interlace, transparency, streams, damage, and what is refused."""

import os
import socket
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from making import BOTH, LOSSLESS, SIZE, counted, ffmpeg, make_sound, make_video, numbers, raw_yuv

from speech2lip.errors import UserError
from speech2lip.media.colour import cube_file, tone_map
from speech2lip.media.decode import read_frames
from speech2lip.media.facts import Colour, Selection
from speech2lip.media.probe import check_video, describe, probe

RED = np.array([200, 40, 30], np.uint8)
_WEIGHTS = {
    "bt709": (0.2126, 0.0722),
    "smpte170m": (0.299, 0.114),
    "bt470bg": (0.299, 0.114),
    "bt2020nc": (0.2627, 0.0593),
}
_NUMBERS = {
    "bt709": 1,
    "smpte170m": 6,
    "bt470bg": 5,
    "bt2020nc": 9,
    "bt2020": 9,
    "arib-std-b67": 18,
    "smpte2084": 16,
    "unknown": 2,
}


def yuv_of(rgb: np.ndarray, matrix: str, full: bool = False, bits: int = 8) -> tuple[int, int, int]:
    """Y, Cb, Cr of R'G'B' in 0..255, by the formulas of ITU-R BT.601, 709 and 2020."""
    red, blue = _WEIGHTS[matrix]
    r, g, b = rgb.astype(float) / 255
    y = red * r + (1 - red - blue) * g + blue * b
    cb, cr = (b - y) / (2 - 2 * blue), (r - y) / (2 - 2 * red)
    scale = 2 ** (bits - 8)
    if full:
        top = 256 * scale - 1
        return round(y * top), round(cb * top + 128 * scale), round(cr * top + 128 * scale)
    return round((16 + 219 * y) * scale), round((128 + 224 * cb) * scale), round((128 + 224 * cr) * scale)


def tags(matrix: str, primaries: str | None = None, transfer: str | None = None, full: bool = False) -> dict[str, int]:
    return {
        "colorspace": _NUMBERS[matrix], "color_primaries": _NUMBERS[primaries or matrix], "color_trc": _NUMBERS[transfer or matrix],
        "color_range": 2 if full else 1,
    }  # fmt: skip


def first(path: Path, **options) -> np.ndarray:
    return next(read_frames(path, 25.0, **options))


# ---------------------------------------------------------------- colour


@pytest.mark.parametrize("matrix", ["bt709", "smpte170m", "bt470bg", "bt2020nc"])
@pytest.mark.parametrize("full", [False, True])
def test_tagged_colour_is_read_by_its_tags(tmp_path, matrix, full):
    known = {"bt2020nc": ("bt2020", "bt709"), "bt470bg": ("bt470bg", "smpte170m")}.get(matrix, (matrix, matrix))
    frames = [raw_yuv(yuv_of(RED, matrix, full))] * 5
    path = make_video(tmp_path / "a.mp4", frames, **tags(matrix, *known, full=full))
    assert np.abs(first(path)[30, 40].astype(int) - RED).max() <= 2
    assert probe(path).video.colour == Colour(matrix, *known, full)


@pytest.mark.parametrize("lines, matrix", [(480, "smpte170m"), (576, "bt470bg"), (720, "bt709"), (1080, "bt709")])
def test_colour_without_tags_is_known_by_the_number_of_lines(tmp_path, lines, matrix):
    size = (64, lines)
    path = make_video(tmp_path / "a.mkv", [raw_yuv(yuv_of(RED, matrix), size=size)] * 5)
    assert np.abs(first(path)[30, 40].astype(int) - RED).max() <= 2
    assert probe(path).video.colour.matrix == matrix
    assert f"no colour tags: taken as {matrix}" in describe(probe(path))


@pytest.mark.parametrize("pix_fmt, sampling, bits", [
    ("yuv422p", "4:2:2", 8), ("yuv444p", "4:4:4", 8), ("yuv420p10le", "4:2:0", 10), ("yuv422p10le", "4:2:2", 10)])  # fmt: skip
def test_sampling_and_depth_are_read_and_said(tmp_path, pix_fmt, sampling, bits):
    frames = [raw_yuv(yuv_of(RED, "bt709", bits=bits), pix_fmt)] * 5
    path = make_video(tmp_path / "a.mp4", frames, pix_fmt=pix_fmt, **tags("bt709"))
    video = probe(path).video
    assert (video.subsampling, video.bits) == (sampling, bits)
    assert "read as 8 bit RGB" in describe(probe(path))
    assert np.abs(first(path)[30, 40].astype(int) - RED).max() <= 2


def test_twelve_bit(tmp_path):
    path = make_video(
        tmp_path / "a.mkv",
        [raw_yuv(yuv_of(RED, "bt709", bits=12), "yuv444p12le")] * 3,
        "ffv1",
        "yuv444p12le",
        options={},
        **tags("bt709"),
    )
    assert probe(path).video.bits == 12
    assert np.abs(first(path)[30, 40].astype(int) - RED).max() <= 2


@pytest.mark.parametrize("codec, pix_fmt", [("libx264rgb", "rgb24"), ("ffv1", "bgr0"), ("gif", "rgb8")])
def test_rgb_stays_rgb(tmp_path, codec, pix_fmt):
    suffix = ".gif" if codec == "gif" else ".mkv"
    frames = [np.full((64, 96, 3), (255, 0, 0), np.uint8)] * 5
    path = make_video(tmp_path / f"a{suffix}", frames, codec, pix_fmt, options={})
    assert np.abs(first(path)[30, 40].astype(int) - (255, 0, 0)).max() <= 4
    assert probe(path).video.subsampling == "RGB"


@pytest.mark.parametrize("codec, full", [("libx264", False), ("ffv1", True)])
def test_grey(tmp_path, codec, full):
    """H.264's grey is 16..235; that of codecs for pictures 0..255."""
    path = make_video(tmp_path / "a.mkv", [raw_yuv((235, 0, 0), "gray")] * 5, codec, "gray", options={})
    assert abs(int(first(path)[30, 40, 0]) - (235 if full else 255)) <= 1
    assert np.ptp(first(path)[30, 40]) == 0


# ---------------------------------------------------------------- HDR


def _hlg(nits: np.ndarray) -> np.ndarray:
    """Grey of cd/m2 -> HLG signal, from BT.2100's equations for a display of 1000 cd/m2."""
    scene = (nits / 1000) ** (1 / 1.2)
    return np.where(
        scene <= 1 / 12, np.sqrt(3 * scene), 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    )


def _pq(nits: np.ndarray) -> np.ndarray:
    power = (nits / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@pytest.mark.parametrize("transfer, encode", [("arib-std-b67", _hlg), ("smpte2084", _pq)])
def test_tone_mapping_of_grey(transfer, encode):
    nits = np.array([0.0, 5, 20, 50, 100, 203, 400, 1000])
    grey = tone_map(np.repeat(encode(nits)[:, None], 3, 1), transfer)
    assert np.ptp(grey, 1).max() < 1e-3
    assert (np.diff(grey[:, 0]) > 0).all()
    dark = nits <= 100
    assert np.allclose(grey[dark, 0], (nits[dark] / 203) ** (1 / 2.4), atol=2e-3)  # below half of white nothing changes
    assert 0.87 < grey[5, 0] < 0.92 and grey[-1, 0] > 0.995


def test_bright_skin_keeps_its_hue_and_saturated_light_stays_inside():
    skin = np.array([0.6, 0.35, 0.25])  # linear BT.709, 1 = reference white; the same at 4 times the light
    to_2020 = np.linalg.inv([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
    mapped = [tone_map(_pq(scale * to_2020 @ skin * 203), "smpte2084") ** 2.4 for scale in (0.5, 4)]
    assert np.allclose(mapped[0] / mapped[0][0], mapped[1] / mapped[1][0], atol=0.01)
    pure = tone_map(np.eye(3) * 0.75, "arib-std-b67")
    assert pure.min() >= 0 and pure.max() <= 1 and (pure.argmax(1) == [0, 1, 2]).all()


@pytest.mark.parametrize("transfer, encode", [("arib-std-b67", _hlg), ("smpte2084", _pq)])
def test_hdr_video_is_tone_mapped_and_said(tmp_path, transfer, encode):
    values = [round(64 + 876 * float(encode(np.array(float(nits))))) for nits in (10, 60, 203)]
    frames = [raw_yuv((value, 512, 512), "yuv420p10le") for value in values]
    path = make_video(tmp_path / "a.mp4", frames, "libx265", "yuv420p10le", options={"x265-params": "lossless=1:log-level=none"},
                      **tags("bt2020nc", "bt2020", transfer))  # fmt: skip
    info = probe(path)
    assert (
        info.video.hdr
        and info.video.colour == Colour()
        and "tone-mapped to SDR BT.709 (render.hdr=keep" in describe(info)
    )
    got = [frame[30, 40].astype(int) for frame in read_frames(path, 25.0)]
    expected = [255 * (nits / 203) ** (1 / 2.4) for nits in (10, 60)] + [228]
    assert all(np.abs(g - e).max() <= 2.5 for g, e in zip(got, expected, strict=True)), (got, expected)


def test_table_is_as_fine_as_the_formula():
    lines = cube_file("smpte2084").splitlines()
    assert len(lines) == 1 + 33**3
    grey = np.array([[float(v) for v in lines[1 + k * (1 + 33 + 33**2)].split()] for k in range(33)])[:, 0]
    between = np.linspace(0, 1, 300)
    exact = tone_map(np.repeat(between[:, None], 3, 1), "smpte2084")[:, 0]
    assert np.abs(np.interp(between, np.linspace(0, 1, 33), grey) - exact).max() * 255 < 2.5


def test_dolby_vision_without_a_base_layer_is_refused(tmp_path):
    path = make_video(tmp_path / "a.mp4", [raw_yuv((500, 512, 512), "yuv420p10le")] * 3, "libx265", "yuv420p10le",
                      options={"x265-params": "log-level=none"})  # fmt: skip
    data = path.read_bytes()
    assert b"hev1" in data
    path.write_bytes(data.replace(b"hev1", b"dvhe"))
    with pytest.raises(UserError, match=r"profile 5"):
        check_video(path)


# ---------------------------------------------------------------- geometry


def test_pixels_become_square(tmp_path):
    make_video(tmp_path / "a.mp4", counted(10))
    ffmpeg("-i", tmp_path / "a.mp4", "-vf", "setsar=64/45", "-c:v", "libx264", tmp_path / "wide.mp4")
    assert first(tmp_path / "wide.mp4").shape == (64, 136, 3)
    assert "made square" in describe(probe(tmp_path / "wide.mp4"))
    assert first(tmp_path / "wide.mp4", max_side=68).shape == (32, 68, 3)


_MATRIX = {  # turn of the display matrix: how NumPy does the same to the stored picture
    "90": lambda f: np.rot90(f, 1), "180": lambda f: np.rot90(f, 2), "270": lambda f: np.rot90(f, 3)}  # fmt: skip


@pytest.mark.parametrize("turn", ["90", "180", "270"])
@pytest.mark.parametrize("flip", ["", "-display_hflip", "-display_vflip"])
def test_turned_and_mirrored_pictures_are_shown_upright(tmp_path, turn, flip):
    """The same as what the ffmpeg program shows."""
    noise = np.kron(np.random.default_rng(0).integers(40, 220, (8, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    make_video(tmp_path / "a.mp4", [noise] * 3, options={"qp": "8"})
    ffmpeg(
        "-display_rotation", turn, *([flip] if flip else []), "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "b.mp4"
    )
    ffmpeg("-i", tmp_path / "b.mp4", "-frames:v", "1", tmp_path / "b.png")
    with av.open(str(tmp_path / "b.png")) as picture:
        expected = next(picture.decode(video=0)).to_ndarray(format="rgb24")
    got = first(tmp_path / "b.mp4")
    assert got.shape == expected.shape == ((64, 96, 3) if turn == "180" else (96, 64, 3))
    assert np.abs(got.astype(int) - expected).max() <= 3
    facts = probe(tmp_path / "b.mp4").video
    assert facts.mirrored == bool(flip)
    if not flip:
        assert np.abs(got.astype(int) - _MATRIX[turn](noise)).mean() < 8
        assert facts.rotation == (360 - int(turn)) % 360
    assert (facts.width, facts.height) == (got.shape[1], got.shape[0])


def test_odd_sizes(tmp_path):
    frames = [np.full((51, 67, 3), 90, np.uint8)] * 3
    path = make_video(tmp_path / "a.mp4", frames, pix_fmt="yuv444p")
    assert first(path).shape == (51, 67, 3)


def test_frames_of_another_size_inside_a_stream_keep_the_first_size(tmp_path):
    make_video(tmp_path / "a.ts", counted(25))
    make_video(tmp_path / "b.ts", counted(25, (192, 128)))
    (tmp_path / "c.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    with pytest.raises(UserError, match="fall back"):  # joined byte by byte, time begins again
        list(read_frames(tmp_path / "c.ts", 25.0))
    make_video(tmp_path / "later.ts", counted(25, (192, 128)), times=lambda k: 4 * (k + 25))
    (tmp_path / "d.ts").write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "later.ts").read_bytes())
    frames = list(read_frames(tmp_path / "d.ts", 25.0))
    assert {frame.shape for frame in frames} == {(64, 96, 3)} and numbers(frames)[-1] == 24


# ---------------------------------------------------------------- interlace, transparency


def _interlaced(path: Path) -> Path:
    """A bar that moves 4 pixels per field, 50 fields per second."""
    frames = []
    for k in range(25):
        image = np.full((64, 96, 3), 20, np.uint8)
        for field in (0, 1):
            left = 8 + (2 * k + field) % 18 * 4
            image[field::2, left : left + 12] = 220
        frames.append(image)
    return make_video(path, frames, options={"x264-params": "tff=1", "flags": "+ildct+ilme", "qp": "2"})


def _combs(frame: np.ndarray) -> float:
    lines = frame[4:-4, :, 1].astype(float)
    return float(np.abs(lines[1:-1] * 2 - lines[:-2] - lines[2:]).mean())


def test_combs_are_removed_and_it_is_said(tmp_path):
    path = _interlaced(tmp_path / "a.mp4")
    frames = list(read_frames(path, 25.0))
    assert len(frames) == 25 and "deinterlaced" in describe(probe(path))
    with av.open(str(path)) as container:
        combed = np.mean([_combs(f.to_ndarray(format="rgb24")) for f in container.decode(video=0)])
    assert np.mean([_combs(f) for f in frames]) < 0.15 * combed


def test_fields_become_frames_at_twice_the_rate(tmp_path):
    frames = list(read_frames(_interlaced(tmp_path / "a.mp4"), 50.0))
    assert len(frames) == 50
    moved = [np.abs(a.astype(int) - b).mean() for a, b in pairwise(frames[4:-4])]
    assert min(moved) > 2  # every field shows another moment


def test_transparent_parts_are_white_and_never_black(tmp_path):
    image = np.zeros((64, 96, 4), np.uint8)
    image[:, :48] = (200, 40, 30, 255)
    image[:, 48:64] = (200, 40, 30, 128)
    frames = [av.VideoFrame.from_ndarray(image, format="rgba")] * 3
    path = make_video(tmp_path / "a.mov", frames, "qtrle", "argb", options={})
    frame = first(path).astype(int)
    assert probe(path).video.alpha and "on white" in describe(probe(path))
    assert np.abs(frame[30, 20] - RED).max() <= 1
    assert np.abs(frame[30, 56] - (RED.astype(int) * 128 + 255 * 127) / 255).max() <= 1
    assert (frame[30, 80] == 255).all()


# ---------------------------------------------------------------- streams, damage


def test_cover_art_is_not_the_picture(tmp_path):
    make_video(tmp_path / "a.mp4", counted(10))
    ffmpeg("-f", "lavfi", "-i", "color=red:s=300x300", "-frames:v", "1", tmp_path / "cover.jpg")
    for name, options in (("tagged.mp4", ["-disposition:v:0", "attached_pic"]), ("plain.mkv", [])):
        ffmpeg(
            "-i",
            tmp_path / "cover.jpg",
            "-i",
            tmp_path / "a.mp4",
            *BOTH,
            *options,
            tmp_path / name,
        )
        assert numbers(read_frames(tmp_path / name, 25.0)) == list(range(10)), name


def test_the_main_picture_or_the_one_that_is_asked_for(tmp_path):
    make_video(tmp_path / "small.mp4", counted(10, (64, 48)))
    make_video(tmp_path / "large.mp4", counted(10, (128, 96)))
    ffmpeg(
        "-i",
        tmp_path / "small.mp4",
        "-i",
        tmp_path / "large.mp4",
        *BOTH,
        "-disposition:v",
        "0",
        tmp_path / "a.mkv",
    )
    assert first(tmp_path / "a.mkv").shape == (96, 128, 3)
    assert first(tmp_path / "a.mkv", select=Selection(video=0)).shape == (48, 64, 3)
    with pytest.raises(
        UserError, match=r"no video stream 5: set data.video_stream to .* 0 \(h264 64x48\), 1 \(h264 128x96\)"
    ):
        check_video(tmp_path / "a.mkv", Selection(video=5))


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    noise = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    frames = [np.roll(noise, k, 1) for k in range(150)]
    path = tmp_path_factory.mktemp("damage") / "a.mp4"
    return make_video(path, frames, options={"g": "25", "qp": "20"}, container={"movflags": "faststart"})


def test_a_file_that_was_cut_off_is_refused_at_once_and_read_when_asked(tmp_path, whole):
    data = whole.read_bytes()
    (tmp_path / "me.mp4").write_bytes(data[: round(0.6 * len(data))])
    with pytest.raises(
        UserError,
        match=r"me.mp4 can be decoded for (8|9)\d of 150 frames: repair it, or go on with `data.allow_partial=true`",
    ):
        check_video(tmp_path / "me.mp4")
    partial = Selection(allow_partial=True)
    assert check_video(tmp_path / "me.mp4", partial).has_video
    assert 80 <= len(list(read_frames(tmp_path / "me.mp4", 25.0, select=partial))) < 100
    with pytest.raises(UserError, match="of 150 frames"):
        list(read_frames(tmp_path / "me.mp4", 25.0))


@pytest.mark.parametrize("suffix", [".mkv", ".flv"])
def test_a_header_that_promises_more_than_there_is(tmp_path, whole, suffix):
    ffmpeg("-i", whole, "-c", "copy", tmp_path / f"a{suffix}")
    assert check_video(tmp_path / f"a{suffix}").has_video
    data = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"b{suffix}").write_bytes(data[: round(0.6 * len(data))])
    with pytest.raises(UserError, match=r"of 15\d frames"):
        check_video(tmp_path / f"b{suffix}")


def test_damage_in_the_middle_is_found_in_the_first_pass(tmp_path, whole):
    data = bytearray(whole.read_bytes())
    middle = len(data) // 2
    data[middle : middle + len(data) // 5] = bytes(len(data) // 5)
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(UserError, match=r"can be decoded for \d+ of 150 frames"):
        list(read_frames(tmp_path / "a.mp4", 25.0))
    held = list(read_frames(tmp_path / "a.mp4", 25.0, select=Selection(allow_partial=True)))
    assert len(held) == 150  # the last good frame stands for those that are lost


def test_a_recording_without_its_last_bytes_is_whole_enough(tmp_path, whole):
    ffmpeg("-i", whole, "-c", "copy", tmp_path / "a.ts")
    data = (tmp_path / "a.ts").read_bytes()
    (tmp_path / "b.ts").write_bytes(data[188 * 3 + 50 : -300])  # begins and ends anywhere
    assert check_video(tmp_path / "b.ts").has_video
    assert len(list(read_frames(tmp_path / "b.ts", 25.0))) >= 120


# ---------------------------------------------------------------- what is not read


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile '{}'\n",
        "<?xml version='1.0'?><MPD></MPD>",
    ],
)
def test_playlists_are_not_followed(tmp_path, text):
    make_video(tmp_path / "other.ts", counted(30))
    (tmp_path / "a.mp4").write_text(text.format(tmp_path / "other.ts"))
    with pytest.raises(UserError, match="playlist"):
        check_video(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    "name",
    ["12:30.mp4", "-x.mp4", "x%d.mp4", "file:a.mp4", "http:a.mp4", "a b #1?.mp4", "[4K] é.mp4", "concat:a|b.mp4"],
)
def test_any_name(tmp_path, name, monkeypatch):
    make_video(tmp_path / "plain.mp4", counted(10)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert check_video(Path(name)).video.width == SIZE[0]
    assert len(list(read_frames(Path(name), 25.0))) == 10


def test_pipes_sockets_and_devices_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", Path("/dev/zero")):
            with pytest.raises(UserError, match="not a regular file"):
                check_video(path)


def test_links_are_followed_and_links_to_nothing_are_named(tmp_path):
    make_video(tmp_path / "a.mp4", counted(10))
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    (tmp_path / "c.mp4").symlink_to(tmp_path / "nothing.mp4")
    assert check_video(tmp_path / "b.mp4").has_video
    with pytest.raises(UserError, match="does not exist"):
        check_video(tmp_path / "c.mp4")


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UserError, match="is empty"):
        check_video(tmp_path / "a.mp4")


def test_tags_that_are_not_unicode(tmp_path):
    make_sound(tmp_path / "a.wav", np.zeros((2, 4800)))
    make_video(tmp_path / "a.mkv", counted(5))
    ffmpeg("-i", tmp_path / "a.mkv", "-c", "copy", "-metadata", "title=XXXX", tmp_path / "b.mkv")
    data = (tmp_path / "b.mkv").read_bytes()
    (tmp_path / "b.mkv").write_bytes(data.replace(b"XXXX", b"\xff\xfe\xe4\xf6"))
    assert check_video(tmp_path / "b.mkv").has_video


def test_facts_are_read_again_when_the_file_changes(tmp_path):
    make_video(tmp_path / "a.mp4", counted(10))
    assert probe(tmp_path / "a.mp4").video.width == 96
    make_video(tmp_path / "a.mp4", counted(12, (160, 64)), options=LOSSLESS)
    assert probe(tmp_path / "a.mp4").video.width == 160
