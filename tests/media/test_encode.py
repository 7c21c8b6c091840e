"""Written video: its colour, times, sound, and what is said when it cannot be written."""

import subprocess
import sys
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from speech2lip.errors import UserError
from speech2lip.files import atomic_path
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import CONTAINERS, LiveWriter, VideoWriter, exact_rate
from speech2lip.media.facts import Colour
from speech2lip.media.sound import SAMPLE_RATE, save_wav
from speech2lip.media.yuv import to_yuv420, yuv_matrix

ROOT = Path(__file__).resolve().parents[2]
COLOURS = {
    f"{name}-{'full' if full else 'limited'}": Colour(name, name, name, full)
    for name in ("bt709", "smpte170m") for full in (False, True)
}  # fmt: skip


def _planes(path: Path) -> np.ndarray:
    with av.open(str(path)) as file:
        return np.stack([f.to_ndarray() for f in file.decode(video=0)])


def _rgb(planes: np.ndarray, colour: Colour) -> np.ndarray:
    """YUV 4:2:0 -> RGB by the inverse of the standard's matrix, chroma repeated."""
    height, width = planes.shape[0] * 2 // 3, planes.shape[1]
    chroma = planes[height:].reshape(2, height // 2, width // 2).repeat(2, 1).repeat(2, 2)
    yuv = np.concatenate([planes[None, :height], chroma]).astype(np.float64)
    matrix = yuv_matrix(colour).astype(np.float64)
    rgb = np.einsum("ij,jhw->hwi", np.linalg.inv(matrix[:, :3]), yuv - matrix[:, 3, None, None])
    return np.rint(rgb).clip(0, 255)


def _solid_colours_and_gradient() -> np.ndarray:
    """1024 colours in blocks of 8x8, above a gradient that changes from pair to pair of pixels."""
    blocks = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).repeat(8, 0).repeat(8, 1)
    ramp = np.linspace(0, 255, 128).repeat(2)
    gradient = np.stack([ramp, ramp[::-1], 0.5 * ramp + 60], 1)[None].repeat(64, 0)
    return np.concatenate([blocks, gradient]).round().astype(np.uint8)


@pytest.mark.parametrize("name", COLOURS)
def test_colours_come_back_to_a_level_without_bias_and_are_tagged(tmp_path, name):
    """8 bits of limited range are coarser than RGB's: there, and only there, single values are two levels off."""
    colour, image = COLOURS[name], _solid_colours_and_gradient()
    with VideoWriter(tmp_path / "a.mp4", 25.0, crf=0, colour=colour) as video:
        video.write(image)
    error = _rgb(_planes(tmp_path / "a.mp4")[0], colour) - image
    assert np.abs(error).max() <= (1 if colour.full_range else 2) and (np.abs(error) <= 1).mean() > 0.995
    assert np.abs(error.mean((0, 1))).max() < 0.05
    with av.open(str(tmp_path / "a.mp4")) as file:
        context = file.streams.video[0].codec_context
        number = {"bt709": 1, "smpte170m": 6}[colour.matrix]
        assert (context.colorspace, context.color_primaries, context.color_trc) == (number,) * 3
        assert context.color_range == (2 if colour.full_range else 1)


def test_grey_is_where_the_standard_puts_it():
    """H.273: white is Y 235 or 255, black 16 or 0, and grey has chroma 128."""
    for full, (black, white) in ((False, (16, 235)), (True, (0, 255))):
        colour = Colour(full_range=full)
        for value, luma in ((0, black), (255, white)):
            planes = to_yuv420(np.full((4, 4, 3), value, np.uint8), colour)
            assert (planes[:4] == luma).all() and (planes[4:] == 128).all()
    with pytest.raises(UserError, match="ictcp"):
        to_yuv420(np.zeros((2, 2, 3), np.uint8), Colour("ictcp"))


def test_what_was_decoded_is_written_again_as_it_was(tmp_path):
    """YUV -> RGB -> YUV gives the same numbers, so that a source passes unchanged where nothing is painted."""
    rng = np.random.default_rng(1)
    for colour in COLOURS.values():
        smooth = rng.integers(90, 160, (48, 64)).astype(np.uint8)
        np.testing.assert_array_equal(to_yuv420(_rgb(smooth, colour).astype(np.uint8), colour), smooth)


def test_decoded_source_and_decoded_result_agree_to_a_level(clip, tmp_path):
    source = list(islice(read_frames(clip / "speaker.mp4", 25.0), 5))
    with VideoWriter(tmp_path / "a.mp4", 25.0, crf=0) as video:
        for frame in source:
            video.write(frame)
    again = list(read_frames(tmp_path / "a.mp4", 25.0))
    error = np.array(again, int) - np.array(source, int)
    assert len(again) == 5 and abs(error.mean()) < 0.02
    assert (np.abs(error) <= 1).mean() > 0.999 and np.abs(error).max() <= 2  # rounded twice, in 8 bits


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_every_container_holds_all_frames_and_the_sound(tmp_path, suffix):
    save_wav(tmp_path / "a.wav", np.zeros(SAMPLE_RATE // 2))
    with VideoWriter(tmp_path / f"a{suffix}", 25.0, tmp_path / "a.wav") as video:
        for value in range(40):
            video.write(np.full((51, 67, 3), value, np.uint8))
    planes = _planes(tmp_path / f"a{suffix}")
    assert planes.shape == (40, 52 * 3 // 2, 68)
    with av.open(str(tmp_path / f"a{suffix}")) as file:
        assert abs(sum(f.samples / f.sample_rate for f in file.decode(audio=0)) - 1.6) <= 0.04


def test_rates_are_exact():
    assert exact_rate(29.97) == exact_rate(30000 / 1001) == Fraction(30000, 1001)
    assert exact_rate(23.976) == Fraction(24000, 1001) and exact_rate(59.94) == Fraction(60000, 1001)
    assert exact_rate(25.0) == 25 and exact_rate(12.5) == Fraction(25, 2) and exact_rate(30.0) == 30


@pytest.mark.parametrize("fps", [25.0, 29.97])
def test_sound_and_picture_stay_together_for_twenty_seconds(tmp_path, fps):
    """A click and a white frame at the same moment, after a second and at the end."""
    count, frames = round(20 * fps), (round(fps), round(20 * fps) - 3)
    rate, wav = exact_rate(fps), np.zeros(21 * 44100)
    for frame in frames:
        wav[round(frame / rate * 44100) :][:200] = 0.9
    save_wav(tmp_path / "a.wav", wav, 44100)
    with VideoWriter(tmp_path / "a.mp4", fps, tmp_path / "a.wav", preset="ultrafast") as video:
        for number in range(count):
            video.write(np.full((32, 32, 3), 255 if number in frames else 0, np.uint8))
    shown, heard, length = _events(tmp_path / "a.mp4")
    assert shown == [frame / rate for frame in frames]
    assert np.abs(np.array(heard) - [float(s) for s in shown]).max() < 0.003
    assert abs(length - float(count / rate)) < float(1 / rate)


def _events(path: Path) -> tuple[list[Fraction], list[float], float]:
    """Times of white frames, times of clicks, length of the sound."""
    with av.open(str(path)) as file:
        shown = [f.pts * f.time_base for f in file.decode(video=0) if f.to_ndarray()[0, 0] > 128]
    with av.open(str(path)) as file:
        parts = [(f.pts * f.time_base, f.to_ndarray()[0]) for f in file.decode(audio=0)]
        rate = file.streams.audio[0].rate
    wav = np.concatenate([p for _, p in parts])
    loud = np.flatnonzero(np.abs(wav) > 0.4)
    first = loud[np.diff(loud, prepend=-rate) > rate // 2]
    return shown, list(first / rate + float(parts[0][0])), len(wav) / rate


def test_sound_that_begins_late_is_late(tmp_path):
    """A file whose sound begins 0.5 s after its picture."""
    with av.open(str(tmp_path / "late.mkv"), "w") as file:
        picture, sound = file.add_stream("libx264", 25), file.add_stream("pcm_s16le", 48000)
        picture.width = picture.height = 32
        sound.layout = "mono"
        for number in range(50):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 32), np.uint8), "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            file.mux(picture.encode(frame))
        frame = av.AudioFrame.from_ndarray(np.full((1, 9600), 25000, np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, 24000, Fraction(1, 48000)
        for stream, last in ((sound, frame), (sound, None), (picture, None)):
            file.mux(stream.encode(last))
    with VideoWriter(tmp_path / "out.mp4", 25.0, tmp_path / "late.mkv") as video:
        for _ in range(25):
            video.write(np.zeros((32, 32, 3), np.uint8))
    _, heard, _ = _events(tmp_path / "out.mp4")
    assert heard[0] == pytest.approx(0.5, abs=0.005)


def test_drawing_does_not_wait_for_encoding(tmp_path, monkeypatch):
    monkeypatch.setattr(VideoWriter, "_encode", lambda self, image: time.sleep(0.1))
    monkeypatch.setattr(VideoWriter, "_end", lambda self: None)
    with VideoWriter(tmp_path / "a.mp4", 25.0) as video:
        begin = time.monotonic()
        for _ in range(6):
            video.write(np.zeros((32, 32, 3), np.uint8))
        assert time.monotonic() - begin < 0.3


# ---------------------------------------------------------------- live


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mp4"])
def test_live_frames_can_be_read_before_the_next_one_comes(tmp_path, suffix):
    rng, out = np.random.default_rng(0), tmp_path / f"live{suffix}"
    with LiveWriter(str(out), 25.0) as video:
        for _ in range(12):
            video.hear(0.1 * rng.standard_normal(640))
        for _ in range(30):
            video.write(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8))
            video.hear(0.1 * rng.standard_normal(640))
        deadline = time.monotonic() + 20
        while len(_readable(out)) < 29 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(_readable(out)) >= 29
    assert len(_readable(out)) == 30


def _readable(path: Path) -> list[object]:
    try:
        with av.open(str(path)) as file:
            return list(file.decode(video=0))
    except (OSError, ValueError):
        return []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_live_says_that_the_disk_is_full(tmp_path):
    (tmp_path / "a.mkv").symlink_to("/dev/full")
    with pytest.raises(UserError, match=r"cannot write .*a\.mkv \(No space left on device\)"):  # noqa: SIM117
        with LiveWriter(str(tmp_path / "a.mkv"), 25.0) as video:
            for _ in range(50):
                video.write(np.zeros((64, 64, 3), np.uint8))
                video.hear(np.zeros(640))


# ---------------------------------------------------------------- places that take nothing


def test_a_disk_that_fills_up_is_named_with_the_users_file(tmp_path):
    """A limit on the size of files stands for a full disk."""
    code = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from speech2lip.errors import run_guarded; from speech2lip.files import atomic_path\n"
        "from speech2lip.media.encode import VideoWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); rng = np.random.default_rng(0)\n"
        "def work():\n"
        "    with atomic_path(Path(sys.argv[1])) as path, VideoWriter(path, 25.0) as video:\n"
        "        for _ in range(60): video.write(rng.integers(0, 256, (128, 128, 3)).astype(np.uint8))\n"
        "    return 0\n"
        "sys.exit(run_guarded(work))"
    )
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "me.mp4"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 2, run.stderr
    assert len(run.stderr.splitlines()) == 1 and f"cannot write {tmp_path / 'me.mp4'} (File too large)" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_vanishes_is_named_with_the_users_file(tmp_path):
    folder = tmp_path / "x"
    refused = pytest.raises(UserError, match=r"cannot write .*x/me\.mp4 \(No such file")
    with refused, atomic_path(folder / "me.mp4") as path, VideoWriter(path, 25.0) as video:
        video.write(np.zeros((32, 32, 3), np.uint8))
        path.unlink()
        folder.rmdir()


# ---------------------------------------------------------------- long


def _peak(tmp_path: Path, seconds: int) -> float:
    """Write so many seconds of 64x64, walking a clip forth and back; the process's own peak in MB."""
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from speech2lip.media.encode import VideoWriter; from speech2lip.media.yuv import Kept\n"
        "from speech2lip.rendering.walk import Footage, forth_and_back, pictures_in_order, runs_of\n"
        "folder, seconds = Path(sys.argv[1]), int(sys.argv[2])\n"
        "with VideoWriter(folder / 'a.mp4', 25.0, folder / f'{seconds}.wav', preset='ultrafast') as video:\n"
        "    order = forth_and_back(25 * seconds, 0, 200)\n"
        "    for p in pictures_in_order(Footage(folder / 'source.mp4', 25.0), runs_of(order)):\n"
        "        video.write(Kept(p.planes, p.rgb[:32, :32], p.rgb[:32, :32], (0, 0)))\n"
        "print([l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1])"
    )
    with VideoWriter(tmp_path / "source.mp4", 25.0) as video:
        for number in range(200):
            video.write(np.full((64, 64, 3), number, np.uint8))
    save_wav(tmp_path / f"{seconds}.wav", 0.1 * np.random.default_rng(0).standard_normal(seconds * SAMPLE_RATE))
    command = [sys.executable, "-c", code, str(tmp_path), str(seconds)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout) / 1024


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_an_hour_takes_the_memory_of_ten_seconds_and_ends_together(tmp_path):
    short, long = _peak(tmp_path, 10), _peak(tmp_path, 3600)
    assert (
        long < short + 40
    )  # MB: an MP4 keeps the place of every packet until its end; a whole render has ten times that
    with av.open(str(tmp_path / "a.mp4")) as file:
        lengths = [float(s.duration * s.time_base) for s in (*file.streams.video, *file.streams.audio)]
    assert np.abs(np.array(lengths) - 3600).max() < 0.04
