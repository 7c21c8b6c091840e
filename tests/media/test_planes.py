"""What is not painted is written as the source has it: planes carried beside RGB, and painted boxes put into them."""

import gc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from making import LOSSLESS, ffmpeg, make_video
from test_kinds import _hlg, _pq, tags

from speech2lip.media.colour import hdr_signal, tone_map
from speech2lip.media.decode import read_frames, read_pictures
from speech2lip.media.encode import LiveWriter, VideoWriter
from speech2lip.media.facts import Colour, VideoFacts
from speech2lip.media.planes import carried_bits
from speech2lip.media.probe import probe
from speech2lip.media.yuv import Kept, places, repaint, to_yuv420, written_bits

BOX = (21, 11, 55, 34)  # odd corners
GROWN = (20, 10, 56, 34)
HDR = ("arib-std-b67", "smpte2084")


def _noise(path: Path, pix_fmt: str = "yuv420p", size: tuple[int, int] = (96, 64), **settings) -> Path:
    """Three frames of every value that the format can hold, also those outside RGB."""
    rng, frames = np.random.default_rng(0), []
    for _ in range(3):
        frame = av.VideoFrame(*size, pix_fmt)
        for plane, part in zip(frame.planes, frame.format.components, strict=True):
            kind = np.uint8 if part.bits == 8 else np.uint16
            values = rng.integers(0, 2**part.bits, plane.buffer_size // np.dtype(kind).itemsize, kind)
            plane.update(values.tobytes())
        frames.append(frame)
    return make_video(path, frames, pix_fmt=pix_fmt, **settings)


def _kept(planes: np.ndarray, image: np.ndarray, original: np.ndarray, box: tuple[int, int, int, int]) -> Kept:
    x0, y0, x1, y1 = box
    return Kept(planes, image[y0:y1, x0:x1], original[y0:y1, x0:x1], (x0, y0))


def _painted(source: Path, out: Path, keep_hdr: bool = False, writer: type = VideoWriter):
    """(pictures of the source, what was painted, pictures of the result), the box painted in another colour."""
    facts, images = probe(source).video, []
    before = list(read_pictures(source, 25.0, keep_hdr=keep_hdr))
    colour = facts.stored if keep_hdr else facts.colour
    with writer(out if writer is VideoWriter else str(out), 25.0, crf=0, colour=colour) as video:
        for number, picture in enumerate(before):
            image = picture.rgb.copy()
            x0, y0, x1, y1 = BOX
            image[y0:y1, x0:x1] = (90 + 9 * number, 120, 150)
            images.append(image)
            video.write(_kept(picture.planes, image, picture.rgb, GROWN))
            if writer is LiveWriter:
                video.hear(np.zeros(640))
    return before, images, list(read_pictures(out, 25.0, keep_hdr=keep_hdr))


def _outside(planes: np.ndarray, box: tuple[int, int, int, int] = GROWN) -> np.ndarray:
    """All samples outside a box of even corners."""
    kept = []
    for plane, step in zip(places(planes), (1, 2, 2), strict=True):
        mask = np.ones(plane.shape, bool)
        x0, y0, x1, y1 = (v // step for v in box)
        mask[y0:y1, x0:x1] = False
        kept.append(plane[mask])
    return np.concatenate(kept)


def _kind(folder: Path, name: str) -> Path:
    source = folder / "source.mp4"
    if name == "full range":
        return _noise(source, color_range=2)
    if name == "interlaced":
        return _noise(source, options={"x264-params": "tff=1", "flags": "+ildct+ilme", "qp": "0"})
    if name == "odd size":
        return _noise(folder / "source.mkv", codec="ffv1", size=(95, 63), options={})
    if name == "anamorphic":
        return _noise(source, sample_aspect_ratio=Fraction(16, 11))
    if name in ("turned", "mirrored"):
        _noise(source)
        how = ["-display_rotation", "90"] if name == "turned" else ["-display_hflip"]
        ffmpeg(*how, "-i", source, "-c", "copy", folder / "b.mp4")
        return folder / "b.mp4"
    return _noise(source, {"422": "yuv422p", "444": "yuv444p", "10 bit": "yuv420p10le"}.get(name, "yuv420p"))


@pytest.mark.parametrize(
    "name",
    ["plain", "full range", "interlaced", "odd size", "anamorphic", "turned", "mirrored", "422", "444", "10 bit"],
)
def test_outside_the_painted_box_nothing_changes(tmp_path, name):
    before, images, after = _painted(_kind(tmp_path, name), tmp_path / "out.mp4")
    assert len(after) == 3
    height, width = before[0].rgb.shape[:2]
    far = np.ones((height, width), bool)
    far[GROWN[1] : GROWN[3], GROWN[0] : GROWN[2]] = False
    for source, image, result in zip(before, images, after, strict=True):
        np.testing.assert_array_equal(_outside(result.planes), _outside(source.planes))
        if name in ("plain", "full range", "interlaced", "odd size", "anamorphic", "turned", "mirrored"):
            np.testing.assert_array_equal(result.rgb[:height, :width][far], source.rgb[far])
        inner = (slice(12, 34), slice(22, 54))
        assert (
            np.abs(result.rgb[inner].astype(int) - image[inner]) <= 2
        ).mean() > 0.99  # colours that are near by chance


KINDS = ("plain", "full range", "odd size", "anamorphic", "turned", "422", "444", "10 bit")


@pytest.mark.parametrize("name", KINDS)
def test_a_part_is_what_the_whole_shows(tmp_path, name):
    """Whatever is asked for first: RGB of a part alone, parts of it, and what lies outside it."""
    path = _kind(tmp_path, name)
    whole = next(read_frames(path, 25.0))
    height, width = whole.shape[:2]
    rng = np.random.default_rng(0)
    for picture in [p for p in read_pictures(path, 25.0) for _ in range(4)][:4]:
        for _ in range(5):
            (top, bottom), (left, right) = (np.sort(rng.integers(0, size + 1, 2)) for size in (height, width))
            part = slice(int(top), int(bottom)), slice(int(left), int(right))
            np.testing.assert_array_equal(picture.part(*part), whole[part])
        assert picture.size == (width, height)
        np.testing.assert_array_equal(picture.rgb, whole)
    part = slice(7, 41), slice(13, width)
    for one, other in zip(read_frames(path, 25.0, part=part), read_frames(path, 25.0), strict=True):
        np.testing.assert_array_equal(one, other[part])


def test_rgb_is_made_of_what_is_asked_for_and_once(tmp_path, monkeypatch):
    picture, made = next(read_pictures(_kind(tmp_path, "plain"), 25.0)), []
    colour = picture._colour
    picture._colour = lambda planes: made.append(planes.shape) or colour(planes)
    picture.part(slice(10, 30), slice(20, 50))
    picture.part(slice(9, 31), slice(20, 40))  # a pixel further on each side is there
    assert made == [(24 * 3 // 2, 34)]  # and even corners
    picture.part(slice(0, 10), slice(0, 10))
    assert len(made) == 2
    assert picture.part(slice(5, 5), slice(0, 10)).shape == (0, 10, 3) and len(made) == 2


def test_planes_are_what_the_decoder_gave(tmp_path):
    path = _kind(tmp_path, "plain")
    with av.open(str(path)) as file:
        stored = [frame.to_ndarray() for frame in file.decode(video=0)]
    for picture, expected, rgb in zip(read_pictures(path, 25.0), stored, read_frames(path, 25.0), strict=True):
        np.testing.assert_array_equal(picture.planes, expected)
        np.testing.assert_array_equal(picture.rgb, rgb)


def test_turned_planes_are_turned_and_odd_ones_made_even(tmp_path):
    plain, turned = (next(read_pictures(_kind(tmp_path, name), 25.0)) for name in ("plain", "turned"))
    for one, other in zip(places(plain.planes), places(turned.planes), strict=True):
        np.testing.assert_array_equal(np.rot90(one), other)
    luma, *chroma = places(next(read_pictures(_kind(tmp_path, "odd size"), 25.0)).planes)
    assert luma.shape == (64, 96) and [c.shape for c in chroma] == [(32, 48)] * 2
    np.testing.assert_array_equal(luma[-1], luma[-2])
    np.testing.assert_array_equal(luma[:, -1], luma[:, -2])


def test_finer_chroma_is_averaged_and_more_bits_are_rounded(tmp_path):
    for name, (rows, columns) in (("422", (2, 1)), ("444", (2, 2))):
        path = _kind(tmp_path, name)
        with av.open(str(path)) as file:
            frame = next(file.decode(video=0))
        luma, blue, red = places(next(read_pictures(path, 25.0)).planes)
        stored = [np.frombuffer(p, np.uint8).reshape(64, -1)[:, : p.width].astype(float) for p in frame.planes]
        np.testing.assert_array_equal(luma, stored[0])
        for got, fine in ((blue, stored[1]), (red, stored[2])):
            mean = fine.reshape(32, rows, 48, columns).mean((1, 3))
            assert np.abs(got - mean).max() <= 0.5
    path = _kind(tmp_path, "10 bit")
    with av.open(str(path)) as file:
        stored = np.frombuffer(next(file.decode(video=0)).planes[0], "<u2").reshape(64, -1)[:, :96]
    luma = places(next(read_pictures(path, 25.0)).planes)[0]
    assert np.abs(luma - stored / 4).max() <= 0.75 and luma.max() == 255  # 1023 is no 256


def test_what_is_carried():
    def facts(**changes):
        return VideoFacts(0, "h264", 96, 64, 25.0, **changes)

    hdr = {"stored": Colour("bt2020nc", "bt2020", "smpte2084"), "hdr": True}
    assert carried_bits(facts()) == 8 and carried_bits(facts(), keep_hdr=True) == 8
    assert carried_bits(facts(**hdr)) == 0 and carried_bits(facts(**hdr), keep_hdr=True) == 10
    assert carried_bits(facts(alpha=True)) == 0
    assert carried_bits(facts(stored=Colour("gbr", full_range=True))) == 0
    assert carried_bits(facts(orientation=(0, 1, -1, 0))) == 8
    assert carried_bits(VideoFacts(0, "h264", 95, 64, 25.0, orientation=(-1, 0, 0, 1))) == 0


def test_pictures_without_planes_are_written_from_rgb(tmp_path):
    make_video(tmp_path / "a.mkv", [np.full((64, 96, 3), 90, np.uint8)] * 3, "libx264rgb", "rgb24")
    assert [p.planes for p in read_pictures(tmp_path / "a.mkv", 25.0)] == [None] * 3


@pytest.mark.parametrize("colour", [Colour(), Colour(full_range=True), Colour("smpte170m")])
def test_painting_keeps_what_is_the_original_and_writes_what_is_new(colour):
    """Inside the box: pixels that are the original keep their planes, even outside RGB; strong changes leave nothing of it."""
    rng = np.random.default_rng(0)
    planes, old = rng.integers(0, 256, (96, 96)).astype(np.uint8), rng.integers(0, 128, (64, 96, 3)).astype(np.uint8)
    new = old.copy()
    new[20:40, 30:50] += 60
    work = planes.copy()
    repaint(places(work), Kept(planes, new, old, (0, 0)), colour)
    np.testing.assert_array_equal(_outside(work, (30, 20, 50, 40)), _outside(planes, (30, 20, 50, 40)))
    exact = to_yuv420(new, colour)
    for got, wanted, step in zip(places(work), places(exact), (1, 2, 2), strict=True):
        part = slice(20 // step, 40 // step), slice(30 // step, 50 // step)
        assert np.abs(got[part].astype(int) - wanted[part]).max() <= 1
    repaint(places(work), Kept(planes, new[:0, :0], old[:0, :0], (0, 0)), colour)


def test_a_small_change_of_a_colour_outside_rgb_is_a_small_change():
    planes = np.full((6, 4), 255, np.uint8)  # far whiter than white, in limited range
    planes[4:] = 128
    old = np.full((4, 4, 3), 255, np.uint8)
    for change, low, high in ((2, 250, 254), (16, 225, 245), (64, 178, 182)):
        work = planes.copy()
        repaint(places(work), Kept(planes, old - np.uint8(change), old, (0, 0)), Colour())
        assert low <= work[0, 0] <= high, change


def test_a_reading_that_ends_leaves_nothing_to_the_collector_of_cycles(tmp_path):
    """Decoders and graphs hold many frames that the collector does not see; a walk opens the clip hundreds of times."""
    path = _kind(tmp_path, "anamorphic")
    list(read_pictures(path, 25.0))
    gc.collect()
    gc.disable()
    try:
        list(read_pictures(path, 25.0))
        assert gc.collect() == 0
    finally:
        gc.enable()


# ---------------------------------------------------------------- HDR


@pytest.mark.parametrize("transfer", HDR)
def test_tone_mapping_is_undone(transfer):
    """SDR -> HDR -> SDR, for colours that an HDR signal can hold."""
    axis = np.linspace(0, 1, 12)
    sdr = np.stack(np.meshgrid(axis, axis, axis), -1).reshape(-1, 3)
    signal = hdr_signal(sdr, transfer)
    held = signal.max(1) < 0.999
    assert held.mean() > 0.8
    assert np.abs(tone_map(signal, transfer) - sdr)[held].max() < 1e-3
    grey = hdr_signal(np.full((1, 3), (101.5 / 203) ** (1 / 2.4)), transfer)  # light below the knee stays what it is
    assert grey == pytest.approx(np.full((1, 3), (_hlg if transfer == HDR[0] else _pq)(np.array(101.5))), abs=2e-4)


def _hdr_clip(path: Path, transfer: str, light: str = "") -> Path:
    """A ramp from black to beyond 1000 cd/m2 in colours, 10 bit; what is not HDR's would be clipped."""
    rng, frames = np.random.default_rng(0), []
    for _ in range(3):
        frame = av.VideoFrame(96, 64, "yuv420p10le")
        for number, plane in enumerate(frame.planes):
            rows = np.frombuffer(plane, np.uint16).reshape(plane.height, -1)
            ramp = np.linspace(64, 940, plane.width) if number == 0 else np.full(plane.width, 512)
            rows[:, : plane.width] = ramp + rng.integers(-40, 41, (plane.height, plane.width))
        frames.append(frame)
    colours = tags("bt2020nc", "bt2020", transfer)
    options = LOSSLESS | ({"x264-params": light} if light else {})
    return make_video(path, frames, pix_fmt="yuv420p10le", options=options, **colours)


@pytest.mark.parametrize("writer", [VideoWriter, LiveWriter])
@pytest.mark.parametrize("transfer", HDR)
def test_hdr_is_kept_in_ten_bit_with_its_tags(tmp_path, transfer, writer):
    source = _hdr_clip(tmp_path / "a.mp4", transfer)
    before, images, after = _painted(source, tmp_path / "out.mkv", keep_hdr=True, writer=writer)
    written = probe(tmp_path / "out.mkv").video
    assert written.bits == 10 and written.stored == probe(source).video.stored and written.hdr
    for one, image, two in zip(before, images, after, strict=True):
        assert one.planes.dtype == np.uint16 and one.planes.max() > 255
        if writer is VideoWriter:  # live loses a little
            np.testing.assert_array_equal(_outside(two.planes), _outside(one.planes))
        inner = (slice(12, 34), slice(22, 54))
        assert np.abs(two.rgb[inner].astype(int) - image[inner]).max() <= (3 if writer is VideoWriter else 12)


def test_the_light_of_hdr10_is_said_again(tmp_path):
    light = "mastering-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):cll=1000,400"
    source = _hdr_clip(tmp_path / "a.mp4", "smpte2084", light)
    assert probe(source).video.stored.light == light
    _painted(source, tmp_path / "out.mp4", keep_hdr=True)
    assert probe(tmp_path / "out.mp4").video.stored == probe(source).video.stored


@pytest.mark.parametrize("transfer", HDR)
def test_no_change_in_hdr_is_no_change_and_a_small_one_is_small(tmp_path, transfer):
    picture = next(read_pictures(_hdr_clip(tmp_path / "a.mp4", transfer), 25.0, keep_hdr=True))
    colour = Colour("bt2020nc", "bt2020", transfer)
    assert written_bits(colour) == 10 and written_bits(Colour()) == 8
    for change, least, most in ((0, 0, 0), (1, 0, 40)):
        work = picture.planes.copy()
        image = np.maximum(picture.rgb, change) - np.uint8(change)
        repaint(places(work), Kept(picture.planes, image, picture.rgb, (0, 0)), colour)
        moved = np.abs(work.astype(int) - picture.planes)
        assert least <= moved.max() <= most and (moved > 0).any() == bool(change)


def test_without_planes_tone_mapped_frames_become_hdr_again(tmp_path):
    colour = Colour("bt2020nc", "bt2020", "smpte2084")
    image = np.full((64, 96, 3), (150, 120, 90), np.uint8)
    with VideoWriter(tmp_path / "a.mp4", 25.0, crf=0, colour=colour) as video:
        video.write(image)
    result = next(read_pictures(tmp_path / "a.mp4", 25.0, keep_hdr=True))
    assert result.planes.dtype == np.uint16 and np.abs(result.rgb.astype(int) - image).max() <= 2


def test_sdr_is_what_it_was_whatever_is_asked_of_hdr(tmp_path):
    path = _kind(tmp_path, "plain")
    one, two = (next(read_pictures(path, 25.0, keep_hdr=keep)) for keep in (False, True))
    np.testing.assert_array_equal(one.planes, two.planes)
