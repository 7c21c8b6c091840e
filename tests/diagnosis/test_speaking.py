"""Findings about mouth and sound together, on made ones whose answer is known."""

import numpy as np
import pytest
from making_material import EYES, FPS, landmarks_of
from making_speech import babble, rows_told

from speech2lip.config import LearnableConfig
from speech2lip.diagnosis import speaking
from speech2lip.diagnosis.finding import FATAL, NOTE, OK, WARNING
from speech2lip.preparation.offset import Offset

NEED = LearnableConfig()


@pytest.mark.parametrize(
    "frames, clear, severity", [(0.5, True, OK), (-1.0, True, OK), (2, True, NOTE), (-4, True, NOTE), (0, False, NOTE)]
)
def test_sound_apart_from_its_lips_is_a_note(frames, clear, severity):
    finding = speaking.offset(Offset(frames, clear, np.zeros(25)), FPS)
    assert finding.severity == severity
    if clear:
        assert f"{abs(frames) * 40:.0f} ms {'late' if frames > 0 else 'early'}" in finding.text
        assert ("data.correct_offset=false" in finding.remedy) == (severity == NOTE)


def test_lips_that_say_something_else_cannot_be_learned():
    mouth = babble(40, 1)
    right, told = speaking.belonging(mouth, rows_told(mouth), FPS, NEED)
    assert right.severity == OK and told > 0.8
    wrong, told = speaking.belonging(mouth, rows_told(babble(40, 2)), FPS, NEED)
    assert wrong.severity == FATAL and told < 0.2
    short, told = speaking.belonging(mouth[:200], rows_told(mouth[:200]), FPS, NEED)
    assert short.severity == NOTE and np.isnan(told)


def test_mouths_that_open_little_or_never_close():
    seen, wide = np.ones(500, bool), EYES * 0.2 * babble(20, 1) / babble(20, 1).max()
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
