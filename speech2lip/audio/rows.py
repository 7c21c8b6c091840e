"""Rows of features at a steady rate -> windows per video frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def window_offsets(window: int, step: float, centred: bool = True) -> np.ndarray:
    """Seconds [window] from a frame's time to its rows.

    Centred windows lie evenly around the frame; else, as in DeepSpeech's, half the rows
    come before the frame and the other half starts on it.
    """
    middle = (window - 1) / 2 if centred else window // 2
    return (np.arange(window) - middle) * step


@dataclass(frozen=True)
class Rows:
    """Rows of features [T, C], row k at second start + k / rate; what lies outside them is `silence`."""

    values: np.ndarray
    rate: float
    silence: float
    start: float = 0.0

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """Rows float32 [..., C] at any times [...], by linear interpolation."""
        position = (seconds - self.start) * self.rate
        nearest = np.round(position)
        position = np.where(np.abs(position - nearest) < 1e-6, nearest, position)  # rows that are hit need no blending
        below = np.floor(position).astype(int)
        blend = (position - below)[..., None].astype(np.float32)
        return np.asarray(self._row(below) * (1 - blend) + self._row(below + 1) * blend, np.float32)

    def _row(self, index: np.ndarray) -> np.ndarray:
        inside = (index >= 0) & (index < len(self.values))
        return np.where(inside[..., None], self.values[np.where(inside, index, 0)], np.float32(self.silence))


@dataclass(frozen=True)
class FeatureWindows:
    """Windows [count, W, C] of the rows of one or several streams, made when they are asked for.

    Frame i looks at seconds i / fps + offsets [W]; the streams' channels lie side by side.
    Indexed like an array by frames.
    """

    streams: tuple[Rows, ...]
    fps: float
    count: int
    offsets: np.ndarray

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, frames: slice | np.ndarray) -> np.ndarray:
        """Windows float32 [N, W, C] of the frames that a slice or indices [N] choose."""
        seconds = np.arange(self.count)[frames][:, None] / self.fps + self.offsets
        parts = [rows.at(seconds) for rows in self.streams]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, 2)


def resample_rows(rows: np.ndarray, rate: float, new_rate: float, count: int) -> np.ndarray:
    """Linear interpolation of rows [T, C] at `rate` per second to `count` rows at `new_rate`; the last row continues."""
    position = np.minimum(np.arange(count) / new_rate * rate, len(rows) - 1)
    below = np.minimum(position.astype(int), max(len(rows) - 2, 0))
    blend = (position - below)[:, None]
    above = np.minimum(below + 1, len(rows) - 1)
    return ((1 - blend) * rows[below] + blend * rows[above]).astype(rows.dtype)


def chunks_at_silence(wav: np.ndarray, longest: int, block: int = 800) -> list[tuple[int, int]]:
    """Cut samples [N] into [start, end) pieces of at most `longest`, each cut in the quietest
    block of the piece's last quarter, so that words are not cut where speech has pauses."""
    pieces, start = [], 0
    while len(wav) - start > longest:
        search = start + longest * 3 // 4
        stretch = wav[search : start + longest]
        level = (stretch[: len(stretch) // block * block].reshape(-1, block) ** 2).mean(1)
        end = search + int(level.argmin()) * block + block // 2
        pieces.append((start, end))
        start = end
    return [*pieces, (start, len(wav))]
