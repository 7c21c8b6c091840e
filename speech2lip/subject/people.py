"""Who is seen in a clip, when, and where: what choosing a face starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import LONGEST_CLIP, Entry

_MET = 0.1  # intersection over union of two faces' boxes, from which on one may hide a part of the other
_ROOM = 32_768  # pixels beyond which no box lies
EMBEDDING = 128

PEOPLE = {  # S shots, N tracks of a face, K boxes, P people, L looks
    "shots": Entry(("S", 2), "iu", 0, LONGEST_CLIP),
    "size": Entry((2,), "iu", 1, _ROOM),
    "frames": Entry((), "iu", 1, LONGEST_CLIP),
    "people": Entry((), "iu", 1, LONGEST_CLIP),
    "spans": Entry(("N", 2), "iu", 0, LONGEST_CLIP),
    "owner": Entry(("N",), "iu", -1, LONGEST_CLIP),
    "counts": Entry(("N",), "iu", 1, LONGEST_CLIP),
    "seen": Entry(("K",), "iu", 0, LONGEST_CLIP),
    "boxes": Entry(("K", 4), "f", -_ROOM, _ROOM),
    "looks": Entry(("L", EMBEDDING), "f", -1e3, 1e3),
    "looked": Entry(("L",), "iu", 0, LONGEST_CLIP),
}


@dataclass(frozen=True)
class FaceTrack:
    """One face, followed within a shot: there in frames [start, end), found in frames `seen` [K] at `boxes` [K, 4] (left,
    top, width, height in source pixels)."""

    start: int
    end: int
    seen: np.ndarray
    boxes: np.ndarray

    def boxes_at(self, frames: np.ndarray) -> np.ndarray:
        """Where the face is in frames [N], between those in which it was found linearly: [N, 4]."""
        return np.stack([np.interp(frames, self.seen, column) for column in self.boxes.T], -1)


@dataclass(frozen=True)
class Person:
    """tracks: of one person's face, in order; looks: [L, EMBEDDING] what identifies it (none in a clip whose only face was never
    seen closely)."""

    tracks: tuple[FaceTrack, ...]
    looks: np.ndarray

    def frames(self, count: int) -> np.ndarray:
        """Where in `count` frames this person is seen, [T] bool."""
        out = np.zeros(count, bool)
        for track in self.tracks:
            out[track.start : track.end] = True
        return out


@dataclass(frozen=True)
class ClipPeople:
    """Everybody in a clip. shots: [start, end) between cuts; size: of the picture, (width, height); frames: their number; people:
    by number (the first is 1): the more frames in which theirs is the largest face, the earlier; strangers: faces nobody knows."""

    shots: tuple[tuple[int, int], ...]
    size: tuple[int, int]
    frames: int
    people: tuple[Person, ...]
    strangers: tuple[FaceTrack, ...] = ()

    def seen(self, number: int) -> np.ndarray:
        """Who is in each frame, [T]: 0: the person of this number; 1, 2, ...: others, where that one is not there; -1: nobody, or
        that person's face met by another, which may hide it."""
        out = np.full(self.frames, -1)
        others = [k for k in range(len(self.people)) if k != number - 1]
        for place in reversed(range(len(others))):
            out[self.people[others[place]].frames(self.frames)] = place + 1
        out[self.people[number - 1].frames(self.frames)] = 0
        out[self.met(number)] = -1
        return out

    def met(self, number: int) -> np.ndarray:
        """Frames [T] bool in which another face's box overlaps that of the person of this number."""
        out = np.zeros(self.frames, bool)
        for own in self.people[number - 1].tracks:
            for other in self._others[number - 1]:
                frames = np.arange(max(own.start, other.start), min(own.end, other.end))
                if len(frames):
                    out[frames] |= overlap(own.boxes_at(frames), other.boxes_at(frames)) > _MET
        return out

    def boxes_at(self, frame: int, number: int) -> tuple[np.ndarray | None, np.ndarray]:
        """The box [4] of a person in a frame (None: not there), and those [K, 4] of all other faces."""
        at = np.array([frame])
        own = [t for t in self.people[number - 1].tracks if t.start <= frame < t.end]
        largest = max((t.boxes_at(at)[0] for t in own), key=lambda box: float(box[3]), default=None)
        others = [t.boxes_at(at)[0] for t in self._others[number - 1] if t.start <= frame < t.end]
        return largest, np.array(others).reshape(-1, 4)

    @cached_property
    def _others(self) -> list[list[FaceTrack]]:
        """For every person, all faces that are not theirs."""
        return [
            [t for k, p in enumerate(self.people) if k != own for t in p.tracks] + list(self.strangers)
            for own in range(len(self.people))
        ]


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union [...] of boxes [..., 4] (left, top, width, height)."""
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    common = np.prod((high - low).clip(0), -1)
    return np.asarray(common / (np.prod(a[..., 2:], -1) + np.prod(b[..., 2:], -1) - common + 1e-9))


def people_to_arrays(found: ClipPeople) -> dict[str, Any]:
    """What is stored of a `ClipPeople`, as `PEOPLE` describes it."""
    owned = [(k, t) for k, p in enumerate(found.people) for t in p.tracks] + [(-1, t) for t in found.strangers]
    return {
        "shots": np.array(found.shots), "size": np.array(found.size), "frames": np.array(found.frames),
        "people": np.array(len(found.people)), "spans": np.array([(t.start, t.end) for _, t in owned]).reshape(-1, 2),
        "owner": np.array([k for k, _ in owned]), "counts": np.array([len(t.seen) for _, t in owned]),
        "seen": np.concatenate([t.seen for _, t in owned]), "boxes": np.concatenate([t.boxes for _, t in owned]),
        "looks": np.concatenate([p.looks for p in found.people]).astype(np.float32),
        "looked": np.repeat(np.arange(len(found.people)), [len(p.looks) for p in found.people]),
    }  # fmt: skip


def people_from_arrays(data: Mapping[str, np.ndarray]) -> ClipPeople:
    """The `ClipPeople` in checked arrays; ValueError where they do not fit each other."""
    ends = np.cumsum(data["counts"])
    count = int(data["people"])
    if (
        len(ends) == 0
        or ends[-1] != len(data["seen"])
        or max(data["owner"].max(), data["looked"].max(initial=0)) >= count
    ):
        raise ValueError("its tables do not fit each other")
    starts = ends - data["counts"]
    tracks = [
        FaceTrack(int(a), int(b), data["seen"][i:j], data["boxes"][i:j])
        for (a, b), i, j in zip(data["spans"], starts, ends, strict=True)
    ]

    def of(owner: int) -> tuple[FaceTrack, ...]:
        return tuple(t for t, k in zip(tracks, data["owner"], strict=True) if k == owner)

    people = tuple(Person(of(k), data["looks"][data["looked"] == k]) for k in range(count))
    width, height = map(int, data["size"])
    shots = tuple((int(a), int(b)) for a, b in data["shots"])
    return ClipPeople(shots, (width, height), int(data["frames"]), people, of(-1))


def in_order(people: Sequence[Person], frames: int) -> tuple[Person, ...]:
    """People by how many frames show theirs as the largest face, then by how many show theirs at all."""
    heights = np.zeros((len(people), frames))
    for row, person in zip(heights, people, strict=True):
        for t in person.tracks:
            inside = np.arange(t.start, t.end)
            row[inside] = np.maximum(row[inside], t.boxes_at(inside)[:, 3])
    there = heights > 0
    leads = np.bincount(heights.argmax(0)[there.any(0)], minlength=len(people))
    order = sorted(range(len(people)), key=lambda k: (-int(leads[k]), -int(there[k].sum()), k))
    return tuple(people[k] for k in order)
