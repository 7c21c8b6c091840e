"""The default features' first half: log-mel rows, standardised by the file's own speech."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from .backend import Backend, Collector
from .level import LevelMeter
from .mel import BANDS, ROWS_PER_SECOND, MelStream, normalise
from .rows import ChangedRows, RowFile, Rows, RowSource, blocks_of


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
        self._heard = RowFile(BANDS, np.float32)

    def push(self, wav: np.ndarray) -> None:
        self._meter.push(wav)
        self._heard.append(self._stream.push(wav))

    def finish(self) -> Rows:
        self._heard.append(self._stream.finish())
        gain, silence = self._meter.gain, self._silence
        if self._meter.silent:
            return Rows(np.full((len(self._heard), BANDS), silence, np.float32), ROWS_PER_SECOND, silence)
        rows = ChangedRows(self._heard, lambda magnitudes: normalise(magnitudes, gain))
        return Rows(ChangedRows(rows, standardiser(rows, silence)), ROWS_PER_SECOND, silence)


def standardiser(heard: RowSource, silence: float) -> Callable[[np.ndarray], np.ndarray]:
    """What gives rows [T, 80] zero mean and unit deviation per band over the rows `heard` that hold speech.

    Speech is what lies above the middle between the quiet (5th percentile) and the loud
    (99.5th: a few words in long silence count) level of what was heard; values are limited
    to [silence, 3].
    """
    level = np.concatenate([rows.mean(1) for rows in blocks_of(heard)])
    middle = np.percentile(level, [5, 99.5]).mean()

    def spoken() -> Iterator[np.ndarray]:
        return (rows[rows.mean(1) >= middle] for rows in blocks_of(heard))

    count = (level >= middle).sum()
    mean = sum(rows.sum(0, dtype=np.float64) for rows in spoken()) / count
    deviation = np.sqrt(sum(((rows - mean) ** 2).sum(0) for rows in spoken()) / count)

    def standardise(rows: np.ndarray) -> np.ndarray:
        return np.clip((rows - mean) / (deviation + 0.3), silence, 3.0).astype(np.float32)

    return standardise
