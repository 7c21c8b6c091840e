"""Loudness of sound, and bringing it to one level."""

from __future__ import annotations

from collections import deque

import numpy as np

from ..media.sound import SAMPLE_RATE

_BLOCK = 800  # samples of 50 ms, over which loudness is measured
_TARGET_LEVEL = 0.1


class LevelMeter:
    """Loudness of sound that arrives in pieces: root mean squares over 50 ms, of the last `memory_seconds`."""

    def __init__(self, memory_seconds: float | None = None) -> None:
        blocks = round(memory_seconds * SAMPLE_RATE / _BLOCK) if memory_seconds else None
        self._levels: deque[float] = deque(maxlen=blocks)
        self._rest = np.zeros(0, np.float32)

    def push(self, wav: np.ndarray) -> None:
        """More 16 kHz samples [N]."""
        wav = np.concatenate([self._rest, wav])
        whole = len(wav) // _BLOCK * _BLOCK
        self._levels.extend(np.sqrt((wav[:whole].reshape(-1, _BLOCK) ** 2).mean(1)).tolist())
        self._rest = wav[whole:]

    def assume(self, gain: float) -> None:
        """Begin with this gain, until three seconds of other sound have been heard."""
        self._levels.extend([_TARGET_LEVEL / gain] * 3)  # the 95th percentile leaves a twentieth out

    @property
    def silent(self) -> bool:
        """Whether nothing was louder than -60 dB of full scale."""
        return max(self._levels, default=0.0) < 1e-3

    @property
    def loud_decibels(self) -> float:
        """Level in dB of full scale that a twentieth of the sound reaches; -400 for digital silence."""
        return float(20 * np.log10(np.percentile(self._levels, 95) + 1e-20)) if self._levels else -400.0

    @property
    def gain(self) -> float:
        """Factor that brings the loud parts (95th percentile, long silence aside) to level 0.1; silence keeps 1."""
        levels = np.array(self._levels)
        levels = levels[levels > 0.01 * levels.max(initial=0)]
        loud = float(np.percentile(levels, 95)) if len(levels) else 0.0
        return _TARGET_LEVEL / loud if loud > 1e-6 else 1.0


def even_level(wav: np.ndarray) -> np.ndarray:
    """A waveform [samples] scaled so that its loud parts have level 0.1; silence stays silence."""
    meter = LevelMeter()
    meter.push(wav)
    return wav * np.float32(meter.gain)
