"""Findings about the sound, on sounds whose answer is known."""

import numpy as np
import pytest

from speech2lip.config import LearnableConfig
from speech2lip.diagnosis import voice
from speech2lip.diagnosis.finding import FATAL, NOTE, OK, WARNING
from speech2lip.diagnosis.material import Channels
from speech2lip.media.sound import SAMPLE_RATE

NEED, FPS = LearnableConfig(), 25.0


def _syllables(seconds: float = 20.0, quiet: float = 0.0, seed: int = 0) -> np.ndarray:
    """Noise as loud as speech, four times a second, above a floor."""
    rng, t = np.random.default_rng(seed), np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = 0.1 * np.clip(np.sin(2 * np.pi * 2 * t), 0, 1) * rng.laplace(size=len(t))
    return (wave + quiet * rng.normal(size=len(t))).astype(np.float32)


@pytest.mark.parametrize(("gain", "severity"), [(1, OK), (0.1, NOTE), (0.03, WARNING), (1e-3, FATAL), (0, FATAL)])
def test_level(gain, severity):
    assert voice.level(_syllables() * gain, NEED).severity == severity


@pytest.mark.parametrize(("quiet", "severity"), [(1e-4, OK), (0.02, NOTE), (0.05, WARNING)])
def test_noise(quiet, severity):
    assert voice.noise(_syllables(quiet=quiet), FPS, 500).severity == severity


def test_share_of_speech_and_its_pauses():
    wav = _syllables(quiet=1e-4)
    full = voice.speech_share(wav, FPS, 500)
    wav[5 * SAMPLE_RATE : 17 * SAMPLE_RATE] *= 0.001
    found = voice.speech_share(wav, FPS, 500)
    assert found.severity == WARNING and len(found.spans) == 1
    np.testing.assert_allclose(found.spans[0], (125, 425), atol=15)
    assert full.spans == ()


def test_holes_are_digital_silence_of_some_length():
    wav = _syllables(quiet=1e-3)
    assert voice.long_silence(wav, FPS, 500).severity == OK
    wav[SAMPLE_RATE * 8 : SAMPLE_RATE * 12] = 0
    found = voice.long_silence(wav, FPS, 500)
    assert found.severity == NOTE and found.spans == ((201, 300),)
    assert (
        voice.long_silence(wav[: 10 * SAMPLE_RATE], FPS, 500).severity == WARNING
    )  # the sound ends before the picture


def _histogram(wav: np.ndarray) -> np.ndarray:
    return np.bincount(np.minimum(np.abs(wav) * voice.BINS / 2, voice.BINS - 1).astype(int), minlength=voice.BINS)


@pytest.mark.parametrize("at", [0.1, 0.3, 1.0])
def test_what_an_overdriven_recorder_cuts_off_is_found_at_any_level(at):
    """at: amplitude at which it is cut, of full scale."""
    wav = _syllables(60)
    assert voice.piled_up(_histogram(wav * at / 0.6)) == 0
    cut = (wav * at / 0.15).clip(-at, at)
    share = float((np.abs(wav) >= 0.15).mean())
    found = voice.piled_up(_histogram(cut))
    assert share < found < 3 * share
    blurred = cut + 0.03 * at * np.random.default_rng(1).normal(size=len(cut))  # as after a lossy codec
    assert voice.piled_up(_histogram(blurred)) > 0.5 * share
    assert voice.clipping(Channels(np.ones((1, 1)), found, 60.0)).severity == WARNING


def test_silence_and_a_whisper_are_not_clipped():
    assert voice.piled_up(np.zeros(voice.BINS)) == 0
    assert voice.piled_up(_histogram(np.zeros(1000))) == 0
    assert voice.piled_up(_histogram(np.full(1000, 1e-3))) == 0


@pytest.mark.parametrize(("second", "severity"), [(1.0, OK), (-1.0, NOTE), (0.0, OK)])
def test_opposite_channels(second, severity):
    wave = np.stack([_syllables(), second * _syllables()])
    assert voice.opposite_channels(Channels(wave @ wave.T, 0.0, 20.0)).severity == severity


def test_one_channel_is_opposite_to_none():
    assert voice.opposite_channels(Channels(np.ones((1, 1)), 0.0, 1.0)).text == "1 channel"
