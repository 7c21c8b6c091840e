"""The rate of the speech encoder's own phase."""

import pytest

from speech2lip.config import TrainConfig
from speech2lip.training.phases import Position
from speech2lip.training.speech import speech_rate


def test_the_rate_of_the_speech_phase_rises_and_falls_as_configured():
    middle, end = Position(50, 0.25, 0.0, 50), Position(5000, 1.0, 0.1, 5000)
    assert speech_rate(TrainConfig(), middle) == 2.0 * 1e-3 * 0.5 * 0.75
    assert speech_rate(TrainConfig(speech_warmup_steps=200, speech_phase_rate=4.0), middle) == pytest.approx(7.5e-4)
    assert speech_rate(TrainConfig(), end) == 0
