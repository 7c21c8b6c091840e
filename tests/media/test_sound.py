"""Sound of every kind becomes 16 kHz mono with its speech, its offset and its length."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from making import BOTH, counted, ffmpeg, make_sound, make_video

from speech2lip.errors import UserError
from speech2lip.media.facts import Selection
from speech2lip.media.mix import mix_weights
from speech2lip.media.sound import SAMPLE_RATE, load_audio, stream_audio


def tone(seconds: float, rate: int = 48_000, hertz: float = 440, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(2 * np.mean(samples[800:-800] ** 2)))


def pitch(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples[: SAMPLE_RATE // 2] * np.hanning(SAMPLE_RATE // 2)))
    return 2.0 * spectrum.argmax()


@pytest.mark.parametrize("codec, fmt, rate, suffix", [
    ("pcm_u8", "u8", 8_000, ".wav"), ("pcm_s16le", "s16", 44_100, ".wav"), ("pcm_s24le", "s32", 96_000, ".wav"),
    ("pcm_f32le", "flt", 48_000, ".wav"), ("flac", "s16", 48_000, ".flac"), ("pcm_s16be", "s16", 22_050, ".aiff")])  # fmt: skip
def test_any_depth_and_rate(tmp_path, codec, fmt, rate, suffix):
    path = make_sound(tmp_path / f"a{suffix}", tone(1, rate)[None], rate, codec, "mono", fmt)
    wav = load_audio(path)
    assert abs(len(wav) - SAMPLE_RATE) <= 20 and abs(level(wav) - 0.5) < 0.01 and abs(pitch(wav) - 440) <= 2


def test_channels_in_opposite_phase_are_heard(tmp_path):
    path = make_sound(tmp_path / "a.wav", np.stack([tone(1), -0.9 * tone(1)]))
    assert abs(level(load_audio(path)) - 0.5) < 0.01


def test_channels_are_mixed_where_they_do_not_cancel(tmp_path):
    path = make_sound(tmp_path / "a.wav", np.stack([tone(1), tone(1, hertz=700)]))
    wav = load_audio(path)
    spectrum = np.abs(np.fft.rfft(wav[:8000] * np.hanning(8000)))
    assert np.isclose(spectrum[220], spectrum[350], rtol=0.05)
    same = make_sound(tmp_path / "b.wav", np.stack([tone(1), tone(1)]))
    assert abs(level(load_audio(same)) - 0.5) < 0.01  # two equal channels are as loud as one


def test_the_opposite_part_is_found_wherever_it_lies(tmp_path):
    """The choice holds for the whole file: its first minute alone would say that a mix is fine."""
    quiet, loud = 0.01 * tone(40), tone(20)
    channels = np.stack([np.concatenate([quiet, loud]), np.concatenate([quiet, -loud])])
    wav = load_audio(make_sound(tmp_path / "a.wav", channels))
    assert level(wav[-10 * SAMPLE_RATE :]) > 0.45


def test_centre_of_surround_sound_holds_the_speech(tmp_path):
    channels = np.stack([tone(1, hertz=100 * k, level=0.3) for k in (1, 2, 7, 3, 4, 5)])
    wav = load_audio(make_sound(tmp_path / "a.wav", channels, layout="5.1"))
    assert abs(pitch(wav) - 700) <= 2 and abs(level(wav) - 0.3) < 0.01
    channels[2] = 0
    wav = load_audio(make_sound(tmp_path / "b.wav", channels, layout="5.1"))
    spectrum = np.abs(np.fft.rfft(wav[:8000] * np.hanning(8000)))
    assert spectrum[50] > 50 and spectrum[150] < 5  # front is heard, the bass channel is not


def test_weights_of_one_sided_stereo():
    assert np.allclose(mix_weights(("FL", "FR"), np.diag([1.0, 0.0])), [0.5, 0.5])


def test_sound_that_begins_late_is_preceded_by_silence_and_gaps_are_kept(tmp_path):
    path = make_sound(tmp_path / "a.mkv", tone(2)[None], layout="mono", gap=(1.0, 0.5))
    make_video(tmp_path / "v.mkv", counted(75))
    ffmpeg(
        "-i",
        tmp_path / "v.mkv",
        "-itsoffset",
        "0.7",
        "-i",
        path,
        *BOTH,
        tmp_path / "late.mkv",
    )
    wav = load_audio(tmp_path / "late.mkv")
    loud = np.abs(wav) > 0.02
    assert abs(loud.argmax() / SAMPLE_RATE - 0.7) < 0.005
    assert abs(len(wav) / SAMPLE_RATE - 3.2) < 0.01
    silent = wav[round(1.75 * SAMPLE_RATE) : round(2.17 * SAMPLE_RATE)]
    assert np.abs(silent).max() < 0.02 and level(wav[round(2.3 * SAMPLE_RATE) : round(3.1 * SAMPLE_RATE)]) > 0.45


def test_the_main_sound_or_the_one_that_is_asked_for(tmp_path):
    make_sound(tmp_path / "a.wav", tone(1, hertz=300)[None], layout="mono")
    make_sound(tmp_path / "b.wav", np.stack([tone(1, hertz=600)] * 2))
    inputs = ["-i", tmp_path / "a.wav", "-i", tmp_path / "b.wav", "-map", "0", "-map", "1", "-c", "copy"]
    ffmpeg(*inputs, "-disposition:a", "0", tmp_path / "none.mkv")
    ffmpeg(*inputs, "-disposition:a:0", "default", "-disposition:a:1", "0", tmp_path / "first.mkv")
    assert abs(pitch(load_audio(tmp_path / "none.mkv")) - 600) <= 2
    assert abs(pitch(load_audio(tmp_path / "first.mkv")) - 300) <= 2
    assert abs(pitch(load_audio(tmp_path / "first.mkv", Selection(audio=1))) - 600) <= 2
    with pytest.raises(UserError, match=r"data.audio_stream .* 0 \(pcm_s16le, 1 channels\)"):
        load_audio(tmp_path / "first.mkv", Selection(audio=7))


def test_damaged_packets_leave_a_gap_and_not_a_shift(tmp_path):
    make_sound(tmp_path / "a.wav", tone(4)[None], layout="mono")
    path = tmp_path / "a.ts"
    ffmpeg("-i", tmp_path / "a.wav", "-c:a", "aac", path)
    data = bytearray(path.read_bytes())
    data[len(data) // 3 : len(data) // 3 + 1880] = bytes(1880)
    path.write_bytes(data)
    assert abs(len(load_audio(path)) / SAMPLE_RATE - 4) < 0.1


def test_memory_does_not_grow_with_the_file(tmp_path):
    def peak(path: Path) -> int:
        tracemalloc.start()
        for _ in stream_audio(path, 2.0):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    make_sound(tmp_path / "warm.wav", np.stack([tone(1)] * 2))
    peak(tmp_path / "warm.wav")
    short = make_sound(tmp_path / "a.wav", np.stack([tone(10)] * 2))
    long = make_sound(tmp_path / "b.wav", np.stack([tone(100)] * 2))
    assert peak(long) < 1.1 * peak(short) + 100_000


def test_pieces_have_the_length_that_is_asked_for(tmp_path):
    path = make_sound(tmp_path / "a.wav", tone(3.3)[None], layout="mono")
    assert [len(p) for p in stream_audio(path, 1.0)][:3] == [SAMPLE_RATE] * 3
    assert np.array_equal(np.concatenate(list(stream_audio(path, 1.0))), load_audio(path))
