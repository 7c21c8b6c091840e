"""The default features' first half: log-mel rows, standardised by the file's own speech."""

from __future__ import annotations

import numpy as np

from .backend import Backend, Collector
from .level import LevelMeter
from .mel import BANDS, ROWS_PER_SECOND, MelStream, normalise
from .rows import Rows


class LogMel(Backend):
    """Log-mel windows: no weights, any language.

    Bands are standardised with the statistics of the file's own speech, which takes out
    level, microphone and much of the voice, so that new speakers drive the model too.
    """

    name, channels, silence, spectral = "mel", BANDS, -2.0, True
    weight = 0.25  # beside what a recogniser hears, which carries over to other voices better

    def collector(self) -> Collector:
        return _Magnitudes(self.silence)


class _Magnitudes:
    """Hears a whole file before it standardises."""

    def __init__(self, silence: float):
        self._silence = silence
        self._stream, self._meter = MelStream(), LevelMeter()
        self._parts: list[np.ndarray] = []

    def push(self, wav: np.ndarray) -> None:
        self._meter.push(wav)
        self._parts.append(self._stream.push(wav).astype(np.float32))

    def finish(self) -> Rows:
        rows = np.concatenate([*self._parts, self._stream.finish().astype(np.float32)])
        self._parts.clear()
        if self._meter.silent:
            return Rows(np.full_like(rows, self._silence), ROWS_PER_SECOND, self._silence)
        for part in _blocks(rows):
            part[:] = normalise(part, self._meter.gain)
        return Rows(standardise(rows, self._silence), ROWS_PER_SECOND, self._silence)


def standardise(rows: np.ndarray, silence: float, heard: np.ndarray | None = None) -> np.ndarray:
    """Zero mean and unit deviation per band [T, 80] over the rows that hold speech.

    Speech is what lies above the middle between the quiet (5th percentile) and the loud
    (99.5th: a few words in long silence count) level of the file, or of the rows `heard`
    [N, 80] so far; values are limited to [silence, 3].
    """
    heard = rows if heard is None else heard
    level = heard.mean(1)
    low, high = np.percentile(level, [5, 99.5])
    mean, deviation = _mean_and_deviation(heard, level >= (low + high) / 2)
    scaled = rows.astype(np.float32)
    for part in _blocks(scaled):
        part[:] = np.clip((part - mean) / (deviation + 0.3), silence, 3.0)
    return scaled


def _mean_and_deviation(rows: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each column of the chosen rows."""
    count = chosen.sum()
    parts = list(zip(_blocks(rows), _blocks(chosen), strict=True))
    mean = np.sum([r[c].sum(0, dtype=np.float64) for r, c in parts], 0) / count
    return mean, np.sqrt(np.sum([((r[c] - mean) ** 2).sum(0) for r, c in parts], 0) / count)


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    """Views of some rows each, so that what is computed of them needs little memory."""
    return [rows[at : at + 4096] for at in range(0, len(rows), 4096)]
