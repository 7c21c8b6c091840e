"""Rows of features at a steady rate -> windows per video frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from tempfile import SpooledTemporaryFile
from typing import Protocol

import numpy as np

from ..files import temporary_space

_HELD_BYTES = 2**20  # of rows that stay in memory


def window_offsets(window: int, step: float, centred: bool = True, ahead: float | None = None) -> np.ndarray:
    """Seconds [window] from a frame's time to its rows.

    Centred windows lie evenly around the frame; else, as in DeepSpeech's, half the rows
    come before the frame and the other half starts on it. ahead: where the last row lies instead.
    """
    middle = (window - 1) / 2 if centred else window // 2
    offsets = (np.arange(window) - middle) * step
    return offsets if ahead is None else offsets + (ahead - offsets[-1])


class RowSource(Protocol):
    """Rows [T, C] of which a slice can be had: an array, or what is not in memory."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> np.ndarray: ...


class RowFile:
    """Rows [T, C] that are appended and read back; beyond a megabyte they lie in a temporary file."""

    def __init__(self, channels: int, dtype: type[np.floating]):
        self._channels, self._dtype = channels, np.dtype(dtype)
        self._file = SpooledTemporaryFile(_HELD_BYTES)  # noqa: SIM115 (it lives as long as this does)
        self._count = 0

    def append(self, rows: np.ndarray) -> None:
        with temporary_space():
            self._file.seek(self._count * self._row_bytes)
            self._file.write(np.ascontiguousarray(rows, self._dtype).tobytes())
        self._count += len(rows)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> np.ndarray:
        start, stop, step = part.indices(self._count)
        if step != 1:
            raise ValueError("rows are read in their order")
        count = max(stop - start, 0)
        self._file.seek(start * self._row_bytes)
        rows = np.frombuffer(self._file.read(count * self._row_bytes), self._dtype)
        return rows.reshape(count, self._channels)

    @property
    def _row_bytes(self) -> int:
        return self._channels * self._dtype.itemsize


@dataclass(frozen=True)
class ChangedRows:
    """Rows that are computed from others, [T, C] -> [T, C'] each for itself, when they are read."""

    source: RowSource
    change: Callable[[np.ndarray], np.ndarray]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, part: slice) -> np.ndarray:
        return self.change(self.source[part])


def blocks_of(rows: RowSource) -> Iterator[np.ndarray]:
    """All rows, a thousand at a time, so that what is computed of them needs little memory."""
    for at in range(0, len(rows), 1024):
        yield rows[at : at + 1024]


@dataclass(frozen=True)
class Rows:
    """Rows of features [T, C], row k at second start + k / rate; what lies outside them is `silence`, but after them the last one
    where it `holds`."""

    values: RowSource
    rate: float
    silence: float
    start: float = 0.0
    holds: bool = False

    def at(self, seconds: np.ndarray) -> np.ndarray:
        """Rows float32 [..., C] at any times [...], by linear interpolation."""
        position = (seconds - self.start) * self.rate
        if self.holds:
            position = np.minimum(position, len(self.values) - 1)
        nearest = np.round(position)
        position = np.where(np.abs(position - nearest) < 1e-6, nearest, position)  # rows that are hit need no blending
        below = np.floor(position).astype(int)
        blend = (position - below)[..., None].astype(np.float32)
        first = max(int(below.min(initial=len(self.values))), 0)
        stretch = self.values[first : max(int(below.max(initial=0)) + 2, first)]
        known = np.pad(stretch, ((0, 1), (0, 0)), constant_values=self.silence).astype(np.float32)

        def row(index: np.ndarray) -> np.ndarray:
            inside = (index >= first) & (index < first + len(stretch))
            return known[np.where(inside, index - first, -1)]

        return np.asarray(row(below) * (1 - blend) + row(below + 1) * blend, np.float32)


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
        """Windows float32 [N, W, C] of the frames that a slice or indices [N], from 0 on, choose."""
        if isinstance(frames, slice):
            frames = np.arange(*frames.indices(self.count))
        if len(frames) and not 0 <= frames.min() <= frames.max() < self.count:
            raise IndexError(f"frames {frames.min()} to {frames.max()} of {self.count}")
        seconds = frames[:, None] / self.fps + self.offsets  # of these alone: live, the count has no end
        parts = [rows.at(seconds) for rows in self.streams]
        return parts[0] if len(parts) == 1 else np.concatenate(parts, 2)

    def part(self, first: int, count: int) -> FeatureWindows:
        """The windows of `count` frames from number `first` on."""
        streams = tuple(replace(rows, start=rows.start - first / self.fps) for rows in self.streams)
        return replace(self, streams=streams, count=count)


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
