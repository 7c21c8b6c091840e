"""Sound of which some spans are replaced by that of other files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .facts import Selection
from .soundtrack import Soundtrack, channels_of

FADE = 0.008  # seconds at the ends of a span, inside it, over which one sound becomes the other
_PIECE = 1.0  # seconds that are passed over at once


@dataclass(frozen=True)
class Insert:
    """Samples [start, stop) come from the sound of `path`, whose first sample lies at `begins`."""

    start: int
    stop: int
    path: Path
    begins: int


class DubbedSound:
    """A clip's own sound, but for `inserts`, whose spans follow each other and do not overlap.

    source: None where the clip has no sound: silence; bits: of `Sound`. Outside the spans samples are the source's; inside,
    over `FADE` at their ends, one becomes the other without a click. Spans that touch each other do not let the source through
    between them. Files are read in their order, as far as they are needed.
    """

    def __init__(
        self, source: Path | None, form: tuple[int, str], inserts: Sequence[Insert], select: Selection = Selection(),
        bits: int = 192_000,
    ):  # fmt: skip
        self.rate, self.layout = form
        self.bits = bits
        self._channels = channels_of(self.layout)
        self._source = None if source is None else Soundtrack(source, *form, select)
        self._inserts = inserts
        self._runs = _runs(inserts)
        self._fade = max(1, round(FADE * self.rate))
        self._at = 0
        self._open: dict[tuple[Path, int], _Passing] = {}

    def take(self, count: int) -> np.ndarray:
        """The next `count` samples, float32 [channels, count]."""
        out = np.zeros((self._channels, count), np.float32) if self._source is None else self._source.take(count)
        begin, end = self._at, self._at + count
        for start, stop in self._runs:
            if start < end and stop > begin:
                part = slice(max(start, begin), min(stop, end))
                out[:, part.start - begin : part.stop - begin] *= 1 - self._gain(part, start, stop)
        for insert in self._inserts:
            if insert.start < end and insert.stop > begin:
                part = slice(max(insert.start, begin), min(insert.stop, end))
                new = self._of(insert).take(part.start - insert.begins, part.stop - part.start)
                out[:, part.start - begin : part.stop - begin] += new * self._gain(part, insert.start, insert.stop)
        self._at = end
        self._close_passed()
        return out

    def _gain(self, part: slice, start: int, stop: int) -> np.ndarray:
        """[N] float32 of the samples in `part`: rises from 0 at the ends of [start, stop) to 1 inside."""
        position = np.arange(part.start, part.stop)
        depth = np.minimum(position - start, stop - 1 - position) / self._fade
        return (0.5 - 0.5 * np.cos(np.pi * np.clip(depth, 0, 1))).astype(np.float32)

    def _of(self, insert: Insert) -> _Passing:
        name = insert.path, insert.begins
        if name not in self._open:
            self._open[name] = _Passing(Soundtrack(insert.path, self.rate, self.layout))
        return self._open[name]

    def _close_passed(self) -> None:
        needed = {(i.path, i.begins) for i in self._inserts if i.stop > self._at}
        for name in [name for name in self._open if name not in needed]:
            self._open.pop(name).track.close()

    def close(self) -> None:
        for passing in self._open.values():
            passing.track.close()
        self._open.clear()
        if self._source is not None:
            self._source.close()


@dataclass
class _Passing:
    """A track that is read onwards."""

    track: Soundtrack
    at: int = 0

    def take(self, start: int, count: int) -> np.ndarray:
        """Samples [start, start + count), where nothing behind `start` was taken before."""
        most = round(_PIECE * self.track.rate)
        while self.at < start:
            self.at += self.track.take(min(most, start - self.at)).shape[1]
        self.at += count
        return self.track.take(count)


def _runs(inserts: Sequence[Insert]) -> list[tuple[int, int]]:
    """Spans of inserts, those that touch joined."""
    runs: list[tuple[int, int]] = []
    for insert in inserts:
        if runs and insert.start == runs[-1][1]:
            runs[-1] = runs[-1][0], insert.stop
        else:
            runs.append((insert.start, insert.stop))
    return runs


class Heard:
    """Sound in pieces [n], of which any part is asked for; silence after its end. What was forgotten cannot be asked for again."""

    def __init__(self, pieces: Iterator[np.ndarray]):
        self._pieces = pieces
        self._held, self._at, self._low = np.zeros(0, np.float32), 0, 0

    def forget(self, low: int) -> None:
        """Samples before `low` will not be asked for."""
        self._low = max(low, self._low)
        gone = min(max(self._low - self._at, 0), len(self._held))
        self._held, self._at = self._held[gone:], self._at + gone

    def between(self, low: int, high: int) -> np.ndarray:
        """Samples [low, high)."""
        while self._at + len(self._held) < high:
            piece = next(self._pieces, None)
            if piece is None:
                piece = np.zeros(high - self._at - len(self._held), np.float32)
            self._held = np.concatenate([self._held, piece])
            self.forget(self._low)
        return self._held[low - self._at : high - self._at]
