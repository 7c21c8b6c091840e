"""The order in which source frames are walked, and their decoding in that order."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import numpy as np

from ..errors import UserError
from ..files import temporary_space
from ..media.decode import read_pictures
from ..media.facts import Selection
from ..media.planes import Picture, Stored

_PIECE_BYTES = 2**30  # of decoded frames in a temporary file while the clip is walked backwards


def forth_and_back(count: int, first: int, length: int, done: int = 0) -> np.ndarray:
    """`count` indices that walk 0 .. length - 1 forth and back without a jump, `done` steps after they were at `first`."""
    if length == 1:
        return np.zeros(count, np.int64)
    period = 2 * (length - 1)
    phase = (np.arange(done, done + count) + first) % period
    return np.where(phase < length, phase, period - phase).astype(np.int64)


def clear_stretch(clear: np.ndarray, first: int, count: int, least: int) -> tuple[int, int]:
    """The range [start, end) in which a walk from `first` over `count` frames stays.

    clear: [T] bool, frames whose mouth is seen. It is the whole clip where the walk would meet clear
    frames only; else the run of clear frames around `first` where that has `least` frames, the longest run
    where that has, or the whole clip.
    """
    whole = (0, len(clear))
    if clear[forth_and_back(min(count, 2 * len(clear)), first, len(clear))].all():
        return whole
    runs = [(a, b) for a, b in _clear_runs(clear) if b - a >= least]
    around = [(a, b) for a, b in runs if a <= first < b]
    return next(iter(around), max(runs, key=lambda r: r[1] - r[0], default=whole))


def longest_clear(clear: np.ndarray) -> int:
    """Frames of the longest run of clear ones; clear: [T] bool."""
    return max((b - a for a, b in _clear_runs(clear)), default=0)


def _clear_runs(clear: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], clear.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def painted_share(clear: np.ndarray, shots: Sequence[tuple[int, int]], fade: int) -> np.ndarray:
    """How far every frame is painted, [T] float32: 0 where it is not clear, 1 elsewhere, rising over `fade` frames
    beside those that are not; never across a cut.

    clear: [T] bool, frames whose mouth is seen: it is this person's, and nothing is in front of it.
    """
    share = clear.astype(np.float32)
    for start, end in shots:
        if not clear[start:end].all():
            from scipy.ndimage import distance_transform_edt  # here, so that training starts where it is missing

            away = distance_transform_edt(clear[start:end])
            share[start:end] *= np.clip(away / (fade + 1), 0, 1)
    return share


def eased(spans: Sequence[tuple[int, int]], frames: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """What happens at the ends of spans [start, end) of a clip: how far the mouth keeps its own shape, and how far frames are
    painted, [T] float32 each.

    Inside, the shape is left over `length` frames, and painting begins within the first half of them, while both mouths are
    alike. Nothing happens at the ends of the clip, nor where spans touch.
    """
    own, share = np.zeros(frames, np.float32), np.ones(frames, np.float32)
    for start, end in joined(spans):
        position = np.arange(start, end)
        depth = np.full(end - start, np.inf)
        if start > 0:
            depth = position - start + 1.0
        if end < frames:
            depth = np.minimum(depth, end - position)
        own[start:end] = np.clip(1 - depth / (length + 1), 0, 1)
        share[start:end] = np.clip(depth / (length // 2 + 1), 0, 1)
    return own, share


def joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in their order, those that touch as one."""
    out: list[tuple[int, int]] = []
    for start, end in spans:
        if out and out[-1][1] >= start:
            out[-1] = out[-1][0], max(end, out[-1][1])
        else:
            out.append((start, end))
    return out


def runs_of(order: np.ndarray) -> Iterator[np.ndarray]:
    """Indices that move by one at a time, cut where they turn round."""
    position = 0
    while position < len(order):
        backwards = position + 1 < len(order) and order[position + 1] < order[position]
        step = -1 if backwards else 1
        stop = position + 1
        while stop < len(order) and order[stop] - order[stop - 1] == step:
            stop += 1
        yield order[position:stop]
        position = stop


def endless_runs(first: int, start: int, end: int) -> Iterator[np.ndarray]:
    """The runs of `forth_and_back` inside [start, end) from `first` on, without end."""
    yield np.arange(first, end)
    while end - start > 1:
        yield np.arange(end - 2, start - 1, -1)
        yield np.arange(start + 1, end)
    while True:
        yield np.array([start])


class Walked(NamedTuple):
    """A source frame, its number, and the pose [4, 4] head -> camera that its head is given (None: it stays as it is)."""

    picture: Picture
    source: int
    pose: np.ndarray | None = None


@dataclass(frozen=True)
class Footage:
    """What is walked: a video, or a folder of frames, at a rate; keep_hdr: see `read_pictures`."""

    source: Path
    fps: float
    select: Selection = Selection()
    keep_hdr: bool = False


def pictures_in_order(footage: Footage, runs: Iterable[np.ndarray]) -> Generator[Picture, None, None]:
    """Decoded frames for runs of neighbouring indices, rising or falling.

    Rising runs are streamed; falling ones are decoded in pieces from their end, so memory
    does not depend on their length.
    """
    for run in runs:
        falling = len(run) > 1 and run[1] < run[0]
        if falling:
            yield from _reversed_run(footage, run)
        else:
            yield from _forward_run(footage, int(run[0]), len(run))


def _forward_run(footage: Footage, start: int, count: int) -> Iterator[Picture]:
    pictures = read_pictures(footage.source, footage.fps, start, footage.select, footage.keep_hdr)
    with closing(pictures):
        for number in range(count):
            picture = next(pictures, None)
            if picture is None:
                raise UserError(
                    f"{footage.source} ends at frame {start + number}, but was longer when it was preprocessed: restore it"
                )
            yield picture


def _reversed_run(footage: Footage, run: np.ndarray) -> Iterator[Picture]:
    """Each piece is decoded forwards, up to its end, which costs a seek to the key frame before it; pieces
    are therefore large, and lie in a temporary file."""
    size, at = 16, 0
    while at < len(run):
        part = run[at : at + size]
        with temporary_space(), TemporaryFile() as chunk:
            stored = [_put(chunk, picture) for picture in _forward_run(footage, int(part[-1]), len(part))]
            held = max(1, chunk.tell() // len(part))
            for laid in reversed(stored):
                yield _taken(chunk, laid)
        at += len(part)
        size = max(16, _PIECE_BYTES // held)


class _Place(NamedTuple):
    """An array in a file."""

    start: int
    shape: tuple[int, ...]
    kind: np.dtype[Any]


class _Laid(NamedTuple):
    """A picture in a file: its parts (`media.planes.Stored`) with places instead of arrays."""

    rgb: _Place | None
    planes: _Place | None
    picture: Stored


def _put(file: IO[bytes], picture: Picture) -> _Laid:
    """Append a picture to a file."""

    def put(array: np.ndarray | None) -> _Place | None:
        if array is None:
            return None
        place = _Place(file.tell(), array.shape, array.dtype)
        file.write(array.data)
        return place

    stored = picture.stored
    return _Laid(put(stored.rgb), put(stored.planes), stored._replace(rgb=None, planes=None))


def _taken(file: IO[bytes], laid: _Laid) -> Picture:
    def take(place: _Place | None) -> np.ndarray | None:
        if place is None:
            return None
        file.seek(place.start)
        array = np.frombuffer(bytearray(file.read(math.prod(place.shape) * place.kind.itemsize)), place.kind)
        return array.reshape(place.shape)

    return Picture(take(laid.rgb), take(laid.planes), size=laid.picture.size, colour=laid.picture.colour)
