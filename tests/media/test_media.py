import subprocess
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe as ffmpeg

from speech2lip.errors import UserError
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import VideoWriter
from speech2lip.media.images import frame_files, write_image
from speech2lip.media.probe import check_video, probe
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav


def _run(*arguments: object) -> None:
    subprocess.run([ffmpeg(), "-v", "error", "-y", *map(str, arguments)], check=True)


def _numbered(path: Path, count: int, rate: str = "25", extra: tuple[str, ...] = ()) -> None:
    """A lossless clip whose frame n is flat grey 2 n."""
    frames = np.repeat((np.arange(count, dtype=np.uint8) * 2)[:, None], 64 * 48 * 3, 1)
    command = [ffmpeg(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x48", "-framerate", rate]
    command += ["-i", "-", *extra, "-c:v", "ffv1", "-pix_fmt", "bgr0", str(path)]
    subprocess.run(command, input=frames.tobytes(), check=True)


def _numbers(frames) -> list[int]:
    return [int(f[24, 32, 0]) // 2 for f in frames]


def test_frames_come_back_exact_and_in_order(tmp_path):
    _numbered(tmp_path / "a.mkv", 40)
    assert _numbers(read_frames(tmp_path / "a.mkv", 25.0)) == list(range(40))


def test_rate_is_changed_by_time_not_by_count(tmp_path):
    _numbered(tmp_path / "a.mkv", 60, "50")
    numbers = _numbers(read_frames(tmp_path / "a.mkv", 25.0))
    assert len(numbers) == 30
    assert all(abs(n - 2 * i) <= 1 for i, n in enumerate(numbers))


def test_variable_frame_rate_is_read_by_presentation_time(tmp_path):
    """Frames 0..19 at 25 per second, then 20..29 at 12.5: the second half shows each frame twice."""
    _numbered(tmp_path / "a.mkv", 30, extra=("-vf", "setpts='if(lt(N,20),N,20+(N-20)*2)/25/TB'", "-fps_mode", "vfr"))
    numbers = _numbers(read_frames(tmp_path / "a.mkv", 25.0))
    assert numbers[:20] == list(range(20))
    assert numbers[20:38] == [20 + (i // 2) for i in range(18)]


@pytest.mark.parametrize("start", [1, 37, 76, 100])
def test_starting_in_the_middle_gives_the_same_frames(tmp_path, start):
    _numbered(tmp_path / "a.mkv", 125, "29.97")
    expected = _numbers(read_frames(tmp_path / "a.mkv", 25.0))
    assert _numbers(islice(read_frames(tmp_path / "a.mkv", 25.0, start=start), 4)) == expected[start : start + 4]


def test_rotation_flag_is_applied(tmp_path):
    _numbered(tmp_path / "a.mkv", 5)
    _run("-i", tmp_path / "a.mkv", "-c:v", "libx264", tmp_path / "a.mp4")
    _run("-display_rotation", "90", "-i", tmp_path / "a.mp4", "-c", "copy", tmp_path / "turned.mp4")
    assert next(read_frames(tmp_path / "turned.mp4", 25.0)).shape == (64, 48, 3)


def test_sound_that_starts_late_keeps_its_offset(tmp_path):
    _numbered(tmp_path / "a.mkv", 50)
    save_wav(tmp_path / "a.wav", 0.5 * np.ones(SAMPLE_RATE))
    _run("-i", tmp_path / "a.mkv", "-itsoffset", "0.5", "-i", tmp_path / "a.wav", "-map", "0:v", "-map", "1:a",
         "-c:v", "copy", "-c:a", "pcm_s16le", tmp_path / "late.mkv")  # fmt: skip
    wav = load_audio(tmp_path / "late.mkv")
    start = int(np.argmax(np.abs(wav) > 0.25))
    assert abs(start / SAMPLE_RATE - 0.5) < 0.01
    assert _numbers(islice(read_frames(tmp_path / "late.mkv", 25.0), 3)) == [0, 1, 2]


def test_picture_that_starts_late_keeps_its_offset(tmp_path):
    """Sound from 0 s, picture from 0.4 s: the first frame is shown until then."""
    _numbered(tmp_path / "a.mkv", 30)
    save_wav(tmp_path / "a.wav", 0.5 * np.ones(2 * SAMPLE_RATE))
    _run("-i", tmp_path / "a.wav", "-itsoffset", "0.4", "-i", tmp_path / "a.mkv", "-map", "1:v", "-map", "0:a",
         "-c:v", "copy", "-c:a", "pcm_s16le", tmp_path / "late.mkv")  # fmt: skip
    numbers = _numbers(read_frames(tmp_path / "late.mkv", 25.0))
    assert numbers[:10] == [0] * 10 and numbers[10:14] == [0, 1, 2, 3]
    assert _numbers(islice(read_frames(tmp_path / "late.mkv", 25.0, start=12), 2)) == numbers[12:14]


def test_folder_of_frames_in_natural_order(tmp_path):
    for number in (10, 9, 1):
        write_image(tmp_path / f"{number}.png", np.full((8, 8, 3), number, np.uint8))
    assert [int(f[0, 0, 0]) for f in read_frames(tmp_path, 25.0)] == [1, 9, 10]


def test_writer_makes_even_h264_of_the_audio_length(tmp_path):
    save_wav(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(3 * SAMPLE_RATE))
    with VideoWriter(tmp_path / "out.mp4", 25.0, tmp_path / "a.wav") as video:
        for i in range(75):
            video.write(np.full((51, 67, 3), i, np.uint8))
    text = subprocess.run([ffmpeg(), "-i", tmp_path / "out.mp4"], capture_output=True).stderr.decode()
    assert "h264" in text and "yuv420p" in text and "68x52" in text and "bt709" in text
    info = probe(tmp_path / "out.mp4")
    assert info.has_audio and abs(info.duration - 3.0) <= 0.04
    assert len(list(read_frames(tmp_path / "out.mp4", 25.0))) == 75
    assert abs(len(load_audio(tmp_path / "out.mp4")) / SAMPLE_RATE - 3.0) <= 0.04
    content = (tmp_path / "out.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_colours_survive_encoding(tmp_path):
    colour = np.array([200, 60, 30], np.uint8)
    with VideoWriter(tmp_path / "out.mp4", 25.0, crf=10) as video:
        for _ in range(5):
            video.write(np.tile(colour, (64, 64, 1)))
    frame = next(read_frames(tmp_path / "out.mp4", 25.0))
    assert np.abs(frame[32, 32].astype(int) - colour).max() <= 4


def test_unusable_input_is_named(tmp_path):
    write_image(tmp_path / "a.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="single image"):
        check_video(tmp_path / "a.png")
    save_wav(tmp_path / "a.wav", np.zeros(SAMPLE_RATE))
    with pytest.raises(UserError, match="no video stream"):
        check_video(tmp_path / "a.wav")
    (tmp_path / "a.mp4").write_bytes(b"not a video")
    with pytest.raises(UserError, match="cannot be read"):
        check_video(tmp_path / "a.mp4")
    with pytest.raises(UserError, match="does not exist"):
        check_video(tmp_path / "b.mp4")


def test_any_rate_and_channel_count_become_16k_mono(tmp_path):
    source = tmp_path / "tone.wav"
    save_wav(source, np.sin(2 * np.pi * 440 * np.arange(SAMPLE_RATE) / SAMPLE_RATE) * 0.5)
    stereo = tmp_path / "tone.flac"
    subprocess.run([ffmpeg(), "-v", "error", "-i", source, "-ar", "44100", "-ac", "2", stereo], check=True)
    wav = load_audio(stereo)
    assert abs(len(wav) - SAMPLE_RATE) < 40
    spectrum = np.abs(np.fft.rfft(wav[:SAMPLE_RATE] * np.hanning(min(len(wav), SAMPLE_RATE))))
    assert abs(spectrum.argmax() - 440) <= 1


def test_frames_whose_names_have_other_digits_are_in_order(tmp_path):
    """A small 2 above the line is a digit, but no number."""
    for name in ("10.png", "2.png", "1²2.png"):
        write_image(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    assert [p.name for p in frame_files(tmp_path)] == ["1²2.png", "2.png", "10.png"]
