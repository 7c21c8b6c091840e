"""Which face, and the one square that holds its head for the whole clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..subject.people import overlap
from ..subject.records import Crop

_SAME = 0.2  # overlap of two boxes in neighbouring samples from which on they may be one face


@dataclass(frozen=True)
class ShotFace:
    """A face that is followed within a shot: on which samples it is seen [K], which box it is there [K], and the boxes
    themselves [K, 4]."""

    samples: np.ndarray
    places: np.ndarray
    boxes: np.ndarray

    @property
    def size(self) -> float:
        """Of a face that is large, and there for long, much."""
        return float(self.boxes[:, 3].sum())

    def part(self, which: slice | np.ndarray) -> ShotFace:
        return ShotFace(self.samples[which], self.places[which], self.boxes[which])


def shot_faces(samples: Sequence[tuple[int, np.ndarray]], shots: Sequence[tuple[int, int]]) -> list[list[ShotFace]]:
    """The faces of every shot, the largest and most persistent one first.

    samples: (frame index, boxes [K, 4]) in order. Within a shot, boxes that overlap from
    sample to sample are one face.
    """
    numbers = np.searchsorted([frame for frame, _ in samples], np.array(shots))
    return [_followed([(n, samples[n][1]) for n in range(start, end)]) for start, end in numbers]


def _followed(samples: list[tuple[int, np.ndarray]]) -> list[ShotFace]:
    """samples: (number of the sample, boxes) of one shot."""
    tracks: list[list[tuple[int, int, np.ndarray]]] = []
    for number, boxes in samples:
        alike = [
            (float(overlap(t[-1][2], box)), k, place) for k, t in enumerate(tracks) for place, box in enumerate(boxes)
        ]
        free, taken = set(range(len(boxes))), set()
        for common, k, place in sorted(alike, key=lambda x: (-x[0], -tracks[x[1]][-1][0])):
            if common > _SAME and place in free and k not in taken:
                tracks[k].append((number, place, boxes[place]))
                free.discard(place)
                taken.add(k)
        tracks += [[(number, place, boxes[place])] for place in sorted(free)]
    faces = [ShotFace(*(np.array(column) for column in zip(*track, strict=True))) for track in tracks]
    return sorted(faces, key=lambda face: -face.size)


def usual_boxes(tracks: Sequence[np.ndarray]) -> np.ndarray:
    """Boxes [N, 4] of one person's tracks [K, 4]; those whose face is less than half as large as the typical one are left out."""
    typical = np.median(np.concatenate(tracks)[:, 3])
    return np.concatenate([boxes for boxes in tracks if np.median(boxes[:, 3]) > 0.5 * typical])


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
