"""Findings about mouth and sound together, on made ones whose answer is known."""

import numpy as np
import pytest
from making_material import EYES, FPS, landmarks_of

from speech2lip.config import LearnableConfig
from speech2lip.diagnosis import speaking
from speech2lip.diagnosis.finding import FATAL, NOTE, OK, WARNING

NEED = LearnableConfig()


def _babble(seconds: float, seed: int) -> np.ndarray:
    """How open a mouth is, 0..1, that says syllables of many lengths, at 25 per second."""
    rng, count = np.random.default_rng(seed), round(seconds * FPS)
    kernel = np.hanning(7) / np.hanning(7).sum()
    return np.convolve(rng.random(count + 6), kernel, "valid") ** 2


def _rows(loudness: np.ndarray, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Bands [T, 16] that grow with the loudness, each by its own amount."""
    rng = np.random.default_rng(seed)
    tilt = np.linspace(1, 3, 16)
    return loudness[:, None] * tilt * 4 + noise * rng.normal(size=(len(loudness), 16))


@pytest.mark.parametrize("late", range(-8, 9))
def test_sound_that_is_late_has_a_positive_offset(late):
    mouth = _babble(40, 1)
    heard = np.concatenate([np.zeros(20), mouth, np.zeros(20)])[
        20 - late : 20 - late + len(mouth)
    ]  # heard[t + late] = mouth[t]
    found = speaking.estimate_offset(mouth, _rows(heard), FPS)
    assert found.clear and abs(found.frames - late) < 0.3
    severity = OK if abs(late) < 2 else NOTE if -3 < late < 4 else WARNING
    finding = speaking.offset(found, FPS)
    assert finding.severity == severity
    if severity != OK:
        assert (
            f"data.offset={found.frames / FPS:.2f}" in finding.remedy
            and ("late" if late > 0 else "early") in finding.text
        )


def test_offsets_between_frames():
    fine = np.interp(np.arange(0, 1000, 0.1), np.arange(1000), _babble(40, 1))
    at = np.arange(20, 980) * 10
    found = speaking.estimate_offset(fine[at + 5], _rows(fine[at]), FPS)  # heard half a frame after it is seen
    assert found.clear and 0.3 < found.frames < 0.7


@pytest.mark.parametrize("seed", range(6))
def test_other_peoples_speech_and_a_few_words_are_not_clear(seed):
    mouth, other = _babble(20, seed), _babble(20, seed + 50)
    assert not speaking.estimate_offset(mouth, _rows(other, seed=seed), FPS).clear
    assert not speaking.estimate_offset(mouth[:150], _rows(mouth[:150], seed=seed), FPS).clear
    assert speaking.offset(speaking.estimate_offset(mouth, _rows(other), FPS), FPS).severity == NOTE


def test_one_rhythm_all_the_time_is_not_clear():
    """At a lag of a whole period it is the same again."""
    mouth = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(1000) / 6)
    assert not speaking.estimate_offset(mouth, _rows(mouth), FPS).clear


def test_frames_without_a_face_or_sound_do_not_count():
    mouth = _babble(40, 1)
    rows, seen = _rows(np.roll(mouth, 4)), mouth.copy()
    rows[800:], seen[100:300] = np.nan, np.nan
    found = speaking.estimate_offset(seen, rows, FPS)
    assert found.clear and abs(found.frames - 4) < 0.3
    assert not speaking.estimate_offset(np.full(1000, np.nan), rows, FPS).clear


def test_lips_that_say_something_else_cannot_be_learned():
    mouth = _babble(40, 1)
    right, told = speaking.belonging(mouth, _rows(mouth), FPS, NEED)
    assert right.severity == OK and told > 0.8
    wrong, told = speaking.belonging(mouth, _rows(_babble(40, 2)), FPS, NEED)
    assert wrong.severity == FATAL and told < 0.2
    short, told = speaking.belonging(mouth[:200], _rows(mouth[:200]), FPS, NEED)
    assert short.severity == NOTE and np.isnan(told)


def test_mouths_that_open_little_or_never_close():
    seen, wide = np.ones(500, bool), EYES * 0.2 * _babble(20, 1) / _babble(20, 1).max()
    assert speaking.mouth_shapes(landmarks_of(500, wide), seen).severity == OK
    assert speaking.mouth_shapes(landmarks_of(500, 0.1 * wide), seen).severity == WARNING
    open_always = speaking.mouth_shapes(landmarks_of(500, wide + 5), seen)
    assert open_always.severity == NOTE and "closed in 0%" in open_always.text


def test_a_hum_is_not_a_variety_of_sounds():
    rng, speech = np.random.default_rng(0), np.arange(500) % 50 > 5
    varied = rng.normal(size=(500, 16))
    hum = np.linspace(0, 3, 16) + 0.1 * rng.normal(size=(500, 16)) + rng.normal(size=(500, 1))
    assert speaking.sounds(varied, speech).severity == OK
    assert speaking.sounds(hum, speech).severity == WARNING
    assert speaking.sounds(np.full((500, 16), np.nan), speech).severity == WARNING
