"""Another person made of the synthetic speaker: paler, with a longer face, a beard and glasses."""

from __future__ import annotations

import cv2
import numpy as np

from speech2lip.detection.detect import FaceMesh
from speech2lip.facemesh import FACE_OVAL, LIPS_OUTER, NOSE_BASE

_LONGER, _FROM = 1.3, 0.42  # times, below this share of the picture's height
_CHEEKS = [205, 425]
_EYES = ((33, 133), (362, 263))


def second_look(frame: np.ndarray, mesh: FaceMesh) -> np.ndarray:
    """RGB uint8 [H, W, 3] with one face -> the same head of somebody else."""
    points = mesh(frame)
    assert points is not None
    xy = points[:, :2]
    wide = float(np.linalg.norm(xy[263] - xy[33]))
    picture = frame.astype(np.float32) * 0.55 + np.array([97, 90, 86], np.float32)
    picture += 0.85 * _beard(xy, frame.shape)[..., None] * (np.array([38, 30, 26], np.float32) - picture)
    out = picture.clip(0, 255).astype(np.uint8)
    for eye in _EYES:
        x, y = xy[list(eye)].mean(0).astype(int).tolist()
        cv2.ellipse(
            out,
            (x, y),
            (int(0.27 * wide), int(0.2 * wide)),
            0,
            0,
            360,
            (20, 20, 25),
            max(3, int(0.05 * wide)),
            cv2.LINE_AA,
        )
    cv2.line(out, *(tuple(xy[k].astype(int).tolist()) for k in (133, 362)), (20, 20, 25), 3)
    return _longer(out)


def _beard(xy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    mask = np.zeros(shape[:2], np.uint8)
    below = xy[FACE_OVAL][xy[FACE_OVAL, 1] > xy[NOSE_BASE, 1]]
    around = np.concatenate([below, xy[[*_CHEEKS, NOSE_BASE]]])
    cv2.fillConvexPoly(mask, cv2.convexHull(around.astype(np.int32)), 255)
    cv2.fillConvexPoly(mask, cv2.convexHull(xy[LIPS_OUTER].astype(np.int32)), 0)
    return cv2.GaussianBlur(mask, (0, 0), 3).astype(np.float32) / 255


def _longer(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    start = height * _FROM
    rows = np.where(y > start, start + (y - start) / _LONGER, y).astype(np.float32)
    return cv2.remap(image, x, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
