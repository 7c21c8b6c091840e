"""One face among several: others are covered before landmarks are looked for, and what is found must be the right one."""

from __future__ import annotations

import numpy as np

from ..facemesh import face_box
from ..subject.people import ClipPeople, overlap
from ..subject.records import Crop
from .detect import FaceMesh

_THERE = 0.25  # overlap with the box of the person that landmarks must have
_MARGIN = 0.25  # of another face's box, that is covered around it
_OWN = 0.15  # of the person's box, that is never covered around it


class OneFace:
    """Landmarks of one person's face in the squares of a clip's frames, in order.

    Where another face meets that one, and where the person is not, there are none.
    """

    def __init__(self, mesh: FaceMesh, people: ClipPeople, number: int, crop: Crop):
        self._mesh, self._people, self._number, self._crop = mesh, people, number, crop
        self.person = people.seen(number)
        self._away = (self.person != 0) & (len(people.people) > 1) | people.met(number)
        self._starts = {start for start, _ in people.shots if start > 0}
        self._lost = False

    def __call__(self, index: int, patch: np.ndarray) -> np.ndarray | None:
        """Landmarks [478, 3] in the square [S, S, 3] of frame `index`, or None."""
        if index in self._starts:
            self._mesh.reset()
        if self._away[index : index + 1].any():
            self._lost = True
            return None
        own, others = self._people.boxes_at(index, self._number)
        if own is None or not len(others):
            return self._found(patch)
        shown, own = self._covered(patch, own, others), self._in_crop(own)
        points = self._found(shown)
        if points is not None and overlap(face_box(points), own) < _THERE:
            self._mesh.reset()  # it follows somebody else
            points = self._mesh(shown)
        return points if points is not None and overlap(face_box(points), own) >= _THERE else None

    def _found(self, patch: np.ndarray) -> np.ndarray | None:
        if self._lost:
            self._mesh.reset()
            self._lost = False
        return self._mesh(patch)

    def _covered(self, patch: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
        """The square with other faces in one colour."""
        out, grey = patch.copy(), patch.mean((0, 1)).astype(np.uint8)
        for box in others:
            out[self._window(box, _MARGIN)] = grey
        window = self._window(own, _OWN)
        out[window] = patch[window]
        return out

    def _window(self, box: np.ndarray, margin: float) -> tuple[slice, slice]:
        x, y, w, h = self._in_crop(box)
        top, bottom, left, right = (
            int(max(v, 0)) for v in (y - margin * h, y + (1 + margin) * h, x - margin * w, x + (1 + margin) * w)
        )
        return slice(top, bottom), slice(left, right)

    def _in_crop(self, box: np.ndarray) -> np.ndarray:
        return np.concatenate([self._crop.to_crop(box[:2]), box[2:] * self._crop.scale])
