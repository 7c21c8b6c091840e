"""How a head moves, in a file that people can read and edit: angles from the person's mean pose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import LONGEST_CLIP, Unsound, read_json
from ..errors import UserError
from ..files import atomic_path
from ..geometry.camera import Poses
from ..geometry.turning import angles_of, mean_rotation, rotations_of
from ..shapes import check_shape
from . import schema

FORMAT = "speech2lip head motion"
ANGLES = {"yaw": (-90, 90), "pitch": (-60, 60), "roll": (-60, 60)}  # degrees
_FAR = 1000.0  # mm
_REMEDY = "write one with `speech2lip pose`, or see docs/pose.md for what it must hold"


@dataclass(frozen=True)
class HeadMotion:
    """angles: [N, 3] yaw, pitch, roll in degrees (`geometry.turning.rotations_of`); shifts: [N, 3] mm that the head's joint lies to the
    right, down and away from the camera of where it is on average, or None; at `fps`."""

    fps: float
    angles: np.ndarray
    shifts: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_shape("angles", self.angles, None, 3)
        if self.shifts is not None:
            check_shape("shifts", self.shifts, len(self.angles), 3)

    def __len__(self) -> int:
        return len(self.angles)

    def scaled(self, factor: float) -> HeadMotion:
        """Calmer below 1, stronger above."""
        return HeadMotion(self.fps, self.angles * factor, None if self.shifts is None else self.shifts * factor)

    def at(self, numbers: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray | None]:
        """Angles and shifts of frames `numbers` [n] at another rate; past its end it goes back, and forth again."""
        last = len(self) - 1
        place = np.abs((numbers * (self.fps / fps) + last) % (2 * last) - last) if last else np.zeros(len(numbers))
        return _between(self.angles, place), None if self.shifts is None else _between(self.shifts, place)


def _between(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Rows of values [N, 3] at places [n] that need not be whole."""
    low = np.floor(place).astype(np.int64)
    high, share = np.minimum(low + 1, len(values) - 1), (place - low)[:, None]
    return np.asarray(values[low] * (1 - share) + values[high] * share)


@dataclass(frozen=True)
class Stance:
    """What a person's motion is counted from: rotation [3, 3], head -> camera, and place [3] mm of the joint; joint: [3] mm in
    the head's axes."""

    rotation: np.ndarray
    place: np.ndarray
    joint: np.ndarray

    @staticmethod
    def of(poses: Poses, usable: np.ndarray, joint: np.ndarray) -> Stance:
        """The mean over the usable [T] frames."""
        turns = poses.matrices()[usable]
        return Stance(mean_rotation(turns[:, :3, :3]), (turns[:, :3, :3] @ joint + turns[:, :3, 3]).mean(0), joint)

    def motion(self, poses: Poses, usable: np.ndarray, fps: float) -> HeadMotion:
        """Of tracked poses; frames that are not usable [T] lie between their neighbours."""
        turns, frames = poses.matrices(), np.arange(len(poses))
        seen = np.flatnonzero(usable)
        values = np.concatenate([
            angles_of(turns[seen, :3, :3], self.rotation), turns[seen, :3, :3] @ self.joint + turns[seen, :3, 3] - self.place,
        ], 1)  # fmt: skip
        values = np.stack([np.interp(frames, seen, column) for column in values.T], 1)
        return HeadMotion(fps, values[:, :3], values[:, 3:])

    def rotations(self, angles: np.ndarray) -> np.ndarray:
        """[n, 3, 3] of angles [n, 3]."""
        return rotations_of(angles, self.rotation)


def write_motion(target: Path, motion: HeadMotion) -> None:
    """As JSON, one line per frame, rounded to a thousandth of a degree and a hundredth of a millimetre."""
    lines = []
    for k in range(len(motion)):
        frame: dict[str, Any] = {n: round(float(a), 3) for n, a in zip(ANGLES, motion.angles[k], strict=True)}
        if motion.shifts is not None:
            frame["shift"] = [round(float(s), 2) for s in motion.shifts[k]]
        lines.append(json.dumps(frame))
    head = f'{{"format": {json.dumps(FORMAT)}, "version": 1, "fps": {motion.fps:.10g}, "frames": [\n'
    with atomic_path(target, follow=True) as path:
        path.write_text(head + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


def read_motion(path: Path) -> HeadMotion:
    """UserError, which names the entry, for a file that does not hold a motion."""
    raw = read_json(path, _REMEDY)
    try:
        return _motion(raw)
    except Unsound as error:
        raise UserError(f"{path} is no head motion ({error}): {_REMEDY}") from error


def _motion(raw: Mapping[str, Any]) -> HeadMotion:
    if raw.get("format", FORMAT) != FORMAT or raw.get("version", 1) != 1:
        raise Unsound(f"its format is {str(raw.get('format', FORMAT))[:40]}, version {str(raw.get('version', 1))[:20]}")
    fps = schema.number("fps", raw.get("fps"), *schema.FPS)
    frames = raw.get("frames")
    if not isinstance(frames, list) or not 1 <= len(frames) <= LONGEST_CLIP:
        raise Unsound("frames is missing, or no list of at least one frame")
    angles = np.array([_angles(k, frame) for k, frame in enumerate(frames)])
    moved = [isinstance(frame.get("shift"), list) for frame in frames]
    if any(moved) and not all(moved):
        raise Unsound(f"frame {moved.index(False)} has no shift, and others have one: give it to all frames or to none")
    return HeadMotion(
        fps, angles, np.array([_shift(k, f["shift"]) for k, f in enumerate(frames)]) if any(moved) else None
    )


def _angles(number: int, frame: Any) -> list[float]:
    if not isinstance(frame, Mapping):
        raise Unsound(f"frame {number} is no object with yaw, pitch and roll")
    unknown = sorted(set(frame) - {*ANGLES, "shift"})
    if unknown:
        raise Unsound(f"frame {number} has {str(unknown[0])[:40]}, known are yaw, pitch, roll and shift")
    if "shift" in frame and not isinstance(frame["shift"], list):
        raise Unsound(f"shift of frame {number} is no list of three numbers")
    return [schema.number(f"{n} of frame {number}", frame.get(n, 0.0), *bounds) for n, bounds in ANGLES.items()]


def _shift(number: int, shift: list[Any]) -> list[float]:
    if len(shift) != 3:
        raise Unsound(f"shift of frame {number} has {len(shift)} numbers, needed are 3")
    return [schema.number(f"shift of frame {number}", value, -_FAR, _FAR) for value in shift]
