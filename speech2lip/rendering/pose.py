"""Which pose every frame shall have, and on which source frame it is painted.

The head is turned as little as possible: of the clip, the walk is chosen whose own poses are nearest to the wanted ones. It goes
forth or back by one frame at a time, and turning round has a price.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..geometry.camera import Poses
from ..geometry.turning import angle_between
from ..subject.motion import HeadMotion, Stance

SHIFT = 0.3  # degrees that a millimetre of the head's place counts as
_FURTHEST = 20.0  # mm that a head is moved from where its frame has it
_TURNING = 2000.0  # squared degrees that turning round costs: four seconds of standing 4.5 degrees away
_KEPT, _AHEAD = 250, 250  # frames that are decided at once, and those beyond that are looked at
_DEARER = 20.0  # times: what is beyond the limit counts for more
_TRIED = 400  # poses by which a motion's reach is measured


@dataclass(frozen=True)
class Wish:
    """The wanted motion, counted from `stance`. loop: where it is that of the clip itself, one row per source frame: the source frames
    [N] whose rows follow each other, over and over."""

    motion: HeadMotion
    stance: Stance
    loop: np.ndarray | None = None

    def at(self, numbers: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Rotations [n, 3, 3] and places of the joint [n, 3] (None: wherever the frame has it) of result frames [n]."""
        if self.loop is not None:
            rows = self.loop[numbers % len(self.loop)]
            shifts = self.motion.shifts
            angles, shifts = self.motion.angles[rows], None if shifts is None else shifts[rows]
        else:
            angles, shifts = self.motion.at(numbers, fps)
        return self.stance.rotations(angles), None if shifts is None else self.stance.place + shifts


@dataclass(frozen=True)
class Steps:
    """Some result frames: source frames [n], and the pose [n, 4, 4] head -> camera that each gets."""

    sources: np.ndarray
    poses: np.ndarray


@dataclass(frozen=True)
class Plan:
    """Steps without end, decided as far ahead as they are asked for, in memory that does not grow.

    poses: of the clip; frames: [L] neighbouring source frames that may be used; limit: degrees that a head is turned at most, beyond which a
    pose is held back.
    """

    wish: Wish
    poses: Poses
    frames: np.ndarray
    fps: float
    limit: float
    first: int | None = None

    def __iter__(self) -> Iterator[Steps]:
        turns = self.poses.matrices()[self.frames]
        best = np.zeros((2, len(self.frames)))
        if self.first is not None:
            best[:] = np.inf
            best[:, int(np.abs(self.frames - self.first).argmin())] = 0
        done = 0
        while True:
            numbers = np.arange(done, done + _KEPT + _AHEAD)
            rotations, places = self.wish.at(numbers, self.fps)
            path, way = cheapest_walk(self._costs(turns, rotations, places), best, _TURNING)
            path = path[:_KEPT]
            places = None if places is None else places[:_KEPT]
            yield self._steps(turns[path], path, rotations[:_KEPT], places)
            best = np.full((2, len(self.frames)), np.inf)
            best[way[_KEPT - 1], path[-1]] = -0.0
            best = _next(best, _TURNING)[0]
            done += _KEPT

    def _costs(self, turns: np.ndarray, rotations: np.ndarray, places: np.ndarray | None) -> np.ndarray:
        """[n, L] squared degrees between the wanted poses and those of frames."""
        trace = rotations.reshape(len(rotations), 9) @ turns[:, :3, :3].reshape(len(turns), 9).T
        away = np.degrees(np.arccos(((trace - 1) / 2).clip(-1, 1)))
        costs = away**2 + _DEARER * (away - self.limit).clip(0) ** 2
        if places is not None:
            joints = _joints(turns, self.wish.stance.joint)
            apart = (places**2).sum(1)[:, None] + (joints**2).sum(1) - 2 * places @ joints.T
            costs += SHIFT**2 * apart.clip(0)
        return np.asarray(costs, np.float32)

    def _steps(self, turns: np.ndarray, path: np.ndarray, rotations: np.ndarray, places: np.ndarray | None) -> Steps:
        joint = self.wish.stance.joint
        own = _joints(turns, joint)
        held = held_back(turns[:, :3, :3], rotations, self.limit)
        poses = np.tile(np.eye(4), (len(path), 1, 1))
        poses[:, :3, :3] = held
        there = own if places is None else own + _shortened(places - own, _FURTHEST)
        poses[:, :3, 3] = there - held @ joint
        return Steps(self.frames[path], poses)


def _joints(turns: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Where heads [N, 4, 4] have their joint, [N, 3]."""
    return np.asarray(turns[:, :3, :3] @ joint + turns[:, :3, 3])


def _shortened(shift: np.ndarray, most: float) -> np.ndarray:
    """Shifts [N, 3] that are at most so long."""
    length = np.linalg.norm(shift, axis=1, keepdims=True)
    return np.asarray(shift * np.minimum(1, most / length.clip(1e-9)))


def held_back(own: np.ndarray, wanted: np.ndarray, limit: float) -> np.ndarray:
    """Rotations [N, 3, 3] on the way from `own` to `wanted`, at most `limit` degrees along it."""
    from scipy.spatial.transform import Rotation  # here, so that rendering starts where it is missing

    away = angle_between(own, wanted)
    beyond = away > limit
    if not beyond.any():
        return wanted
    way = Rotation.from_matrix(wanted @ own.transpose(0, 2, 1)).as_rotvec()
    way *= np.minimum(1, limit / away.clip(1e-9))[:, None]
    return np.where(beyond[:, None, None], Rotation.from_rotvec(way).as_matrix() @ own, wanted)


def reach(rotations: np.ndarray, own: np.ndarray) -> float:
    """Degrees between the pose of rotations [N, 3, 3] that is furthest from all of `own` [M, 3, 3], and the nearest of those."""
    some, others = (a[:: len(a) // _TRIED + 1].reshape(-1, 9) for a in (rotations, own))
    trace = (some @ others.T).max(1)
    return float(np.degrees(np.arccos(((trace - 1) / 2).clip(-1, 1))).max())


def fitting(motion: HeadMotion, stance: Stance, own: np.ndarray, limit: float) -> float:
    """The largest factor, at most 1, by which a motion stays within `limit` degrees of poses `own` [M, 3, 3]."""
    low, high = 0.0, 1.0
    if reach(stance.rotations(motion.angles), own) <= limit:
        return 1.0
    for _ in range(12):
        middle = (low + high) / 2
        within = reach(stance.rotations(motion.angles * middle), own) <= limit
        low, high = (middle, high) if within else (low, middle)
    return low


def cheapest_walk(costs: np.ndarray, start: np.ndarray, turning: float) -> tuple[np.ndarray, np.ndarray]:
    """The walk over frames 0 .. L - 1, one frame forth or back at a time, whose costs [n, L] are least in sum.

    start: [2, L] what it costs to begin at a frame, walking forth or back; turning: the price of turning round, which the ends force.
    Returns the frames [n] and the ways on which each was reached [n], 0 forth, 1 back (dynamic programming).
    """
    count, length = costs.shape
    if length == 1:
        return np.zeros(count, np.int64), np.zeros(count, np.int64)
    turned = np.zeros((count, 2, length), bool)
    best = start + costs[0]
    for k in range(1, count):
        best, turned[k] = _next(best, turning)
        best = best + costs[k]
    way, at = np.unravel_index(int(best.argmin()), best.shape)
    path, ways = np.empty(count, np.int64), np.empty(count, np.int64)
    for k in range(count - 1, -1, -1):
        path[k], ways[k] = at, way
        before = 1 - way if turned[k, way, at] else way
        at, way = at - (1 if way == 0 else -1), before
    return path, ways


def _next(best: np.ndarray, turning: float) -> tuple[np.ndarray, np.ndarray]:
    """One step further: costs [2, L] to be at frames having come forth or back, and whether that meant to turn round."""
    if best.shape[1] == 1:
        return best, np.zeros(best.shape, bool)
    other = best[::-1] + turning
    turned = other < best
    least = np.minimum(best, other)
    out, which = np.full(best.shape, np.inf), np.zeros(best.shape, bool)
    out[0, 1:], which[0, 1:] = least[0, :-1], turned[0, :-1]
    out[1, :-1], which[1, :-1] = least[1, 1:], turned[1, 1:]
    return out, which
