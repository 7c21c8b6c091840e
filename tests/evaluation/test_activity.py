"""Level of a sound and its pauses."""

import numpy as np
import pytest

from speech2lip.evaluation.activity import frame_level, silent_frames
from speech2lip.metrics.basic import runs


def test_level_and_pauses_of_a_sound():
    """One second of noise, half a second of near silence, one second of noise, at 25 frames per second."""
    rng = np.random.default_rng(0)
    wav = np.concatenate([rng.normal(0, 0.1, 16000), rng.normal(0, 1e-4, 8000), rng.normal(0, 0.1, 16000)])
    level = frame_level(wav, 25, 62)
    assert level[10] == pytest.approx(-20, abs=0.5) and level[31] == pytest.approx(-80, abs=0.5)
    assert runs(silent_frames(level, 25)).tolist() in ([[28, 35]], [[28, 36]], [[27, 35]])
    assert silent_frames(np.full(50, -79.0), 25).all()  # nothing but silence
    assert not silent_frames(np.full(50, -20.0) + rng.normal(0, 1, 50), 25).any()  # no pause at all
    assert not silent_frames(np.where(np.arange(60) % 10 < 3, -70.0, -20.0), 25).any()  # gaps of 0.12 s
