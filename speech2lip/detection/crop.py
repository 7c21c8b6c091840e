"""Which face, and the one square that holds its head for the whole clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from ..subject.records import Crop


@dataclass(frozen=True)
class ShotFace:
    """The face that stands for a shot: on which samples it is seen [K], which box it is there [K], and the boxes
    themselves [K, 4]; K is 0 in a shot without a face."""

    samples: np.ndarray
    places: np.ndarray
    boxes: np.ndarray


def shot_faces(samples: list[tuple[int, np.ndarray]], shots: list[tuple[int, int]]) -> list[ShotFace]:
    """The largest, most persistent face of every shot.

    samples: (frame index, boxes [K, 4]) in order. Within a shot, boxes that overlap from
    sample to sample form a candidate; the one with the greatest summed size stands for
    the shot.
    """
    return [_shot_face([(n, s[1]) for n, s in enumerate(samples) if start <= s[0] < end]) for start, end in shots]


def _shot_face(samples: list[tuple[int, np.ndarray]]) -> ShotFace:
    """samples: (number of the sample, boxes) of one shot."""
    candidates: list[list[tuple[int, int, np.ndarray]]] = []
    for number, boxes in samples:
        for place, box in enumerate(boxes):
            match = max(candidates, key=lambda c: _overlap(c[-1][2], box), default=None)
            if match is not None and _overlap(match[-1][2], box) > 0.2:
                match.append((number, place, box))
            else:
                candidates.append([(number, place, box)])
    best = max(candidates, key=lambda c: sum(float(b[3]) for _, _, b in c), default=[])
    numbers, places = (np.array([b[k] for b in best], int) for k in (0, 1))
    return ShotFace(numbers, places, np.array([b for _, _, b in best]).reshape(-1, 4))


def dominant_face(faces: list[ShotFace]) -> np.ndarray:
    """Boxes [N, 4] of one person's shots; those whose face is less than half as large as the typical one are left out."""
    chosen = [face.boxes for face in faces if len(face.boxes)]
    if not chosen:
        raise UserError("no face was found in the video: give a clip in which one person's face is well visible")
    typical = np.median(np.concatenate(chosen)[:, 3])
    return np.concatenate([c for c in chosen if np.median(c[:, 3]) > 0.5 * typical])


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[:2] + a[2:], b[:2] + b[2:])
    common = float(np.prod((high - low).clip(0)))
    return common / (float(a[2] * a[3] + b[2] * b[3]) - common + 1e-9)


def head_crop(boxes: np.ndarray, width: int, height: int, max_size: int) -> Crop:
    """The square that holds the head in all `boxes` [N, 4] of a width x height image.

    A detector's box spans brows to chin; the head reaches further by 0.7 of it above, 0.35
    below, and 0.45 on both sides. The square is no larger than the image's longer side.
    """
    left = np.percentile(boxes[:, 0] - 0.45 * boxes[:, 2], 1)
    right = np.percentile(boxes[:, 0] + 1.45 * boxes[:, 2], 99)
    top = np.percentile(boxes[:, 1] - 0.70 * boxes[:, 3], 1)
    bottom = np.percentile(boxes[:, 1] + 1.35 * boxes[:, 3], 99)
    side = int(np.ceil(max(right - left, bottom - top) / 2) * 2)
    side = max(min(side, max(width, height)), 32)
    x = _inside(round((left + right - side) / 2), side, width)
    y = _inside(round((top + bottom - side) / 2), side, height)
    return Crop(x, y, side, min(side, max_size))


def _inside(start: int, side: int, length: int) -> int:
    """Shift a span into the image where it fits, else centre it."""
    return (length - side) // 2 if side > length else min(max(start, 0), length - side)
