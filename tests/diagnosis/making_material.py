"""Made landmarks and measured values for tests of findings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np

from speech2lip.diagnosis.face import _BASE, _LEFT, _RIGHT, _TOP
from speech2lip.diagnosis.material import Channels, Material, Pixels
from speech2lip.facemesh import BROWS, EYE_OUTER, FACE_OVAL, INNER_PAIRS, LANDMARKS
from speech2lip.media.coding import Coding
from speech2lip.media.facts import VideoFacts
from speech2lip.subject.records import ClipLandmarks, Crop

SIDE, EYES = 200.0, 100.0  # width of the face, distance of the eyes
FPS = 25.0
_USUAL = {"luma": 110, "face_luma": 120, "face_low": 60, "face_high": 180, "face_burnt": 0.0, "change": 2.0}


def landmarks_of(count: int, opening: np.ndarray | float = 0.0, widen: float = 1.0) -> np.ndarray:
    """[count, 478, 3] float32: a frontal, symmetric face 200 wide whose eyes are 100 apart; opening: [count] of the
    mouth."""
    face = np.zeros((LANDMARKS, 3), np.float32)
    turn = np.linspace(0, 2 * np.pi, len(FACE_OVAL), endpoint=False)
    face[FACE_OVAL, 0], face[FACE_OVAL, 1] = SIDE / 2 * np.sin(turn), -SIDE / 2 * np.cos(turn)
    face[BROWS, 1] = -70
    face[_RIGHT] = [[60, -30, 20]]
    face[_LEFT] = [[-60, -30, 20]]
    face[EYE_OUTER[0]], face[EYE_OUTER[1]] = (-EYES / 2, -40, 10), (EYES / 2, -40, 10)
    face[_TOP], face[_BASE] = (0, -100, 0), (0, 20, 0)
    face[127, 0], face[356, 0] = (
        -SIDE / 2,
        SIDE / 2,
    )  # the widest points of the outline, which are among those of the pose too
    out = np.tile(face * np.float32(widen), (count, 1, 1))
    out[:, INNER_PAIRS[:, 0], 1] = 60
    out[:, INNER_PAIRS[:, 1], 1] = 60 + np.broadcast_to(np.asarray(opening, np.float32), (count,))[:, None]
    return out


def pixels_of(count: int = 100, **values: Any) -> Pixels:
    """Usual values, but for those given: numbers, or [count]."""
    known = {f.name for f in fields(Pixels)}
    assert set(values) <= known
    return Pixels(
        **{k: np.broadcast_to(np.asarray(v, np.float64), (count,)).copy() for k, v in {**_USUAL, **values}.items()}
    )


def clip_of(landmarks: np.ndarray, **values: Any) -> ClipLandmarks:
    count = len(landmarks)
    usual = {
        "landmarks": landmarks,
        "seen": np.ones(count, bool),
        "sharpness": np.full(count, 90.0),
        "shots": ((0, count),),
        "crop": Crop(0, 0, 320, 320),
        "size": (640, 480),
        "person": np.zeros(count, int),
    }
    return ClipLandmarks(**{**usual, **values})


def material_of(clip: ClipLandmarks, wav: np.ndarray, **values: Any) -> Material:
    count = len(clip.seen)
    usual = {
        "name": "me.mp4",
        "fps": FPS,
        "video": VideoFacts(0, "h264", 640, 480, FPS),
        "clip": clip,
        "pixels": pixels_of(count),
        "octaves": np.ones((4, 3)),
        "hidden": None,
        "crowd": np.array([[0, 1], [9, 1]]),
        "coding": Coding("h264", 0.1, 20.0),
        "wav": wav,
        "channels": Channels(np.ones((1, 1)), 0.0, len(wav) / 16000),
    }
    return Material(**{**usual, **values})
