"""What the encoder of Moonshine tiny, a speech recogniser, hears (the package carries its weights).

Recognisers learn from thousands of hours which sounds are the same; a minute of one person
cannot teach that. Two layers are taken: an early one, which still knows how a sound is
spoken, and a late one, which knows which it is and what surrounds it.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch

from ..media.sound import SAMPLE_RATE
from ..nets.pretrained.moonshine import FIELD, FIRST, HOP, MoonshineEncoder, Past
from ..weights.bundled import load_bundled
from .backend import Backend, Collector
from .level import LevelMeter
from .rows import RowFile, Rows, chunks_at_silence

LAYERS = (1, 4)
ROWS_PER_SECOND = SAMPLE_RATE / HOP
_WIDTH = 288
_CHUNK, _CONTEXT = 8 * SAMPLE_RATE, 2 * SAMPLE_RATE  # the context is heard on both sides, and thrown away
_SCALE, _LIMIT = 1.5, 6.0  # rows of speech get a deviation of about one
_AGAIN = 20  # rows, nearly half a second: windows of frames that may still be asked for reach back no farther
_SILENT = 1e-3  # amplitude below which a chunk is digital silence


class Moonshine(Backend):
    """States of two layers of Moonshine tiny, less those of silence: what is silent is 0."""

    name, channels, silence, spectral = "moonshine", _WIDTH * len(LAYERS), 0.0, False

    def params(self) -> dict[str, Any]:
        return {**super().params(), "moonshine": "tiny-en layers " + ", ".join(map(str, LAYERS))}

    def collector(self) -> Collector:
        return _States()


class _States:
    """Hears sound in overlapping chunks that are cut at pauses, so that memory does not grow with the sound.

    Sound is brought to one level by what was heard of it until the end of the chunk.
    """

    def __init__(self) -> None:
        self._meter = LevelMeter()
        self._sound = np.zeros(0, np.float32)  # from sample `_first` on, a multiple of HOP
        self._first = self._done = self._measured = 0
        self._rows = RowFile(Moonshine.channels, np.float16)

    def push(self, wav: np.ndarray) -> None:
        self._sound = np.concatenate([self._sound, wav.astype(np.float32)])
        while len(self._waiting) > _CHUNK + _CONTEXT:
            self._hear(self._done + chunks_at_silence(self._waiting, _CHUNK, HOP)[0][1])

    def finish(self) -> Rows:
        start = self._done
        for _, end in chunks_at_silence(self._waiting, _CHUNK, HOP):
            self._hear(start + end)
        return Rows(self._rows, ROWS_PER_SECOND, Moonshine.silence, FIRST / SAMPLE_RATE)

    @property
    def _waiting(self) -> np.ndarray:
        return self._sound[self._done - self._first :]

    def _hear(self, end: int) -> None:
        """Add the rows that are centred on samples [`_done`, end)."""
        heard = self._sound[: end + _CONTEXT - self._first]
        self._meter.push(heard[self._measured - self._first :])
        self._measured = self._first + len(heard)
        centres = np.arange(self._first + FIRST, end, HOP)
        wanted = int((centres >= self._done).sum())
        if wanted:
            last = len(centres) * HOP + FIELD  # so many samples hold the last row's field
            padded = np.pad(heard, (0, max(last - len(heard), 0)))
            gain = 0.0 if self._meter.silent else self._meter.gain
            self._rows.append(states_of(padded * np.float32(gain))[len(centres) - wanted : len(centres)])
        self._done = end
        spare = max(end - _CONTEXT, 0) // HOP * HOP - self._first
        if spare > 0:
            self._sound, self._first = self._sound[spare:].copy(), self._first + spare


@torch.no_grad()
def states_of(wav: np.ndarray, past: Past | None = None) -> np.ndarray:
    """16 kHz sound [N], N at least FIELD -> rows float16 [T, channels], row k centred on sample FIRST + k * HOP.

    past: of `RecentStates`; the rows that it holds are not among those returned.
    """
    if np.abs(wav).max() < _SILENT:
        return np.zeros(((len(wav) - FIELD) // HOP + 1, Moonshine.channels), np.float16)
    states = torch.cat(_encoder()(torch.from_numpy(wav)[None], LAYERS, past), 2)[0] - _silence()
    return (states * _SCALE).clamp(-_LIMIT, _LIMIT).half().numpy()


class RecentStates:
    """Rows of the last seconds of sound that goes on.

    Only the newest rows, and as many before them as windows of coming frames show, are computed every time. The older ones, which these hear,
    are as they were when they were last computed.
    """

    def __init__(self, again: int = _AGAIN):
        """again: rows that are computed once more when new ones come."""
        self._again = again
        self._forget()

    def _forget(self) -> None:
        self._past, self._rows = Past(), np.zeros((0, Moonshine.channels), np.float16)

    def hear(self, wav: np.ndarray) -> np.ndarray:
        """Sound [N], N at least FIELD, that begins where it did the last time, but for what was dropped since -> its rows."""
        if np.abs(wav).max() < _SILENT:
            self._forget()
            return states_of(wav)
        kept = max(self._past.rows - self._again, 0)
        self._past.keep(0, kept)
        self._rows = np.concatenate([self._rows[:kept], states_of(wav, self._past)])
        return self._rows

    def drop(self, rows: int) -> None:
        """The sound begins so many rows later from now on."""
        self._past.keep(rows, self._past.rows)
        self._rows = self._rows[rows:]


def prepare() -> None:
    """Read the network now: not when the first sound waits for it."""
    _silence()


@functools.cache
@torch.no_grad()
def _silence() -> torch.Tensor:
    """States [channels] of digital silence."""
    return torch.cat(_encoder()(torch.zeros(1, SAMPLE_RATE), LAYERS), 2)[0, 20]


@functools.cache
def _encoder() -> MoonshineEncoder:
    encoder = MoonshineEncoder().eval()
    encoder.load_state_dict(load_bundled("moonshine_tiny_encoder"))
    return encoder
