"""A source frame with its head in another pose: pixels of that frame, warped through the canonical depth (GAMEM).

Every pixel is looked up in the canonical frame, whose depth lifts it onto the head; there it moves with the head, or less and
less down the neck. The head is laid over what is behind it (`backdrop`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from ..canonical.skull import HeadMaps, Skull, smooth_step
from ..geometry.camera import Intrinsics, pixel_lattice, project, warp_to_canonical
from ..geometry.turning import Turn
from ..subject.records import Crop

_NODES = 96  # along the crop's side, at which the warp is solved
_SETTLED, _CAREFUL = 8, 0.8  # steps in which the warp is inverted, and how far each goes
_EDGE = 0.06  # of the crop's side, over which the warp ends where the picture goes on
_STILL = 1.0  # crop pixels of movement below which a frame is more and more itself


@dataclass(frozen=True)
class Reposed:
    """image: RGB uint8 [h, w, 3] from pixel `corner` (x, y) of the frame on; landmarks: [K, 2] crop pixels."""

    image: np.ndarray
    corner: tuple[int, int]
    landmarks: np.ndarray


@dataclass(frozen=True)
class _Field:
    """Of the lattice's nodes [n, n], float32: where each comes from, less where it is (`back`, [n, n, 2] nodes); in 0..1: how far the head
    is there in the result (`shows`), how far what is behind must be filled there (`hidden`), and how far the result may differ
    (`moves`)."""

    back: np.ndarray
    shows: np.ndarray
    hidden: np.ndarray
    moves: np.ndarray


@dataclass(frozen=True)
class _Outline:
    """Where a picture shows a head: its middle [2], its roll in radians, and its distance in mm."""

    middle: np.ndarray
    roll: float
    distance: float

    @staticmethod
    def of(pose: np.ndarray, centre: np.ndarray, camera: Intrinsics) -> _Outline:
        """pose: [4, 4]; centre: [3] mm in the head's axes."""
        there = pose[:3, :3] @ centre + pose[:3, 3]
        return _Outline(project(there, camera), float(np.arctan2(pose[0, 1], pose[1, 1])), float(there[2]))

    def onto(self, other: _Outline, pixels: np.ndarray) -> np.ndarray:
        """Pixels [..., 2] of this picture in the other's, by size, place and roll alone."""
        angle, size = self.roll - other.roll, self.distance / other.distance
        turn = size * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return np.asarray((pixels - self.middle) @ turn + other.middle)


class Reposer:
    """Moves heads in frames of one subject.

    size: (width, height) of frames; canonical: [4, 4] head -> camera in the canonical frame.
    """

    def __init__(
        self, maps: HeadMaps, camera: Intrinsics, crop: Crop, size: tuple[int, int], canonical: np.ndarray,
        skull: Skull,
    ):  # fmt: skip
        self._camera, self._crop, self._size, self._skull = camera, crop, size, skull
        self._outline = _Outline.of(canonical, skull.centre, camera)
        self._back_to_canonical = np.linalg.inv(canonical)
        self._depth = torch.from_numpy(maps.depth)
        self._places = maps.places
        self._follows, self._masks = np.dstack([maps.follows, maps.slides]), np.dstack([maps.taken, maps.hidden])
        self._step = crop.size / _NODES
        lattice = pixel_lattice(_NODES + 1, _NODES + 1)
        self._nodes = lattice.numpy()
        self._pixels = lattice.reshape(1, -1, 2) * self._step
        self._inner = self._edge()
        rows, columns = crop.seen(size)
        self._rows, self._columns = (_even(part, most) for part, most in ((rows, size[1]), (columns, size[0])))
        self._backdrop = np.zeros((0, 0, 3), np.uint8)

    def set_backdrop(self, backdrop: np.ndarray) -> None:
        """RGB uint8 [S, S, 3], over the crop: what is behind the head."""
        self._backdrop = self._at_source(backdrop)

    def hidden(self, pose: np.ndarray) -> np.ndarray:
        """[S, S] in 0..1 over the crop: where a head in this pose [4, 4] may be in the way of what is behind it."""
        hidden, side = self._shares(pose, self._canonical(pose))[2], self._crop.size
        matrix = np.array([[1 / self._step, 0, 0], [0, 1 / self._step, 0]])
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        return np.asarray(cv2.warpAffine(hidden, matrix, (side, side), flags=flags))

    def __call__(self, picture: np.ndarray, was: np.ndarray, wanted: np.ndarray, landmarks: np.ndarray) -> Reposed:
        """picture: RGB uint8 [h, w, 3], the crop's `seen` rows and columns of a frame; was, wanted: its pose and another,
        [4, 4] head -> camera; landmarks: [K, 2] of its face, crop pixels."""
        field = self._field(was, wanted)
        return Reposed(
            self._drawn(picture, field), (self._columns.start, self._rows.start), self._moved(landmarks, was, wanted)
        )

    @property
    def seen(self) -> tuple[slice, slice]:
        """Rows and columns of a frame that may change, from even numbers to even numbers but at the frame's end."""
        return self._rows, self._columns

    def _edge(self) -> np.ndarray:
        """[n, n] 0 at those sides of the crop beyond which the picture goes on, 1 inside and at the picture's own end."""
        crop, reach = self._crop, _EDGE * _NODES
        across, down = self._nodes[..., 0], self._nodes[..., 1]
        ends = ((across, crop.x > 0), (_NODES - across, crop.x + crop.side < self._size[0]),
                (down, crop.y > 0), (_NODES - down, crop.y + crop.side < self._size[1]))  # fmt: skip
        out = np.ones_like(across)
        for away, goes_on in ends:
            if goes_on:
                out = out * smooth_step(away / reach)
        return out.astype(np.float32)

    def _canonical(self, pose: np.ndarray) -> np.ndarray:
        """Canonical pixels [n, n, 2] of the lattice in a frame."""
        transform = torch.from_numpy(pose @ self._back_to_canonical)[None].float()
        found = warp_to_canonical(self._pixels, self._depth, transform, self._camera).numpy()[0]
        return np.asarray(found.reshape(_NODES + 1, _NODES + 1, 2))

    def _field(self, was: np.ndarray, wanted: np.ndarray) -> _Field:
        spots = self._canonical(was)
        places, (follows, taken, hidden) = _looked_up(self._places, spots), self._shares(was, spots)
        points = places @ was[:3, :3].T + was[:3, 3]
        moved = Turn.between(was, wanted, self._skull.joint).moved(points, follows * self._inner)
        forth = ((project(moved, self._camera) - project(points, self._camera)) / self._step).astype(np.float32)
        back = self._inverse(forth)
        moves = np.hypot(*np.maximum(np.abs(forth), np.abs(back)).transpose(2, 0, 1)) * self._step / _STILL
        return _Field(back, _looked_up(taken, self._nodes + back), hidden, moves.clip(0, 1))

    def _shares(self, pose: np.ndarray, spots: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """`follows`, `taken` and `hidden` of `HeadMaps`, [n, n] each, in a frame whose nodes show canonical pixels `spots`.

        A head that turns shows what the canonical frame does not, but its outline hardly changes: that of a ball stays where it
        is. So masks are looked up through the surface, and also where the outline was, and the larger one counts.
        """
        outline = _Outline.of(pose, self._skull.centre, self._camera).onto(self._outline, self._nodes * self._step)
        taken, hidden = cv2.split(np.maximum(_looked_up(self._masks, spots), _looked_up(self._masks, outline)))
        follows, slides = cv2.split(_looked_up(self._follows, spots))
        return follows, 1 - slides * (1 - taken), slides * hidden

    def _inverse(self, forth: np.ndarray) -> np.ndarray:
        """A field of movements [n, n, 2], in nodes, as seen from where they lead to."""
        back = -forth
        for _ in range(_SETTLED):
            back -= _CAREFUL * (back + _looked_up(forth, self._nodes + back))
        return back

    def _drawn(self, picture: np.ndarray, field: _Field) -> np.ndarray:
        back = self._at_source(field.back)
        shows, hidden, moves = cv2.split(self._at_source(np.dstack([field.shows, field.hidden, field.moves])))
        height, width = picture.shape[:2]
        pixels = self._step / self._crop.scale
        across = back[..., 0] * pixels + np.arange(width, dtype=np.float32)
        down = back[..., 1] * pixels + np.arange(height, dtype=np.float32)[:, None]
        moved = cv2.remap(picture, across, down, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        filled = hidden * moves
        behind = cv2.blendLinear(picture, self._backdrop, 1 - filled, filled)
        head = 1 - moves * (1 - shows)
        return np.asarray(cv2.blendLinear(moved, behind, head, 1 - head))

    def _at_source(self, values: np.ndarray) -> np.ndarray:
        """Nodes [n, n, ...], or crop pixels [S, S, ...], as pixels of the crop's `seen` part."""
        step = self._step if len(values) == _NODES + 1 else 1.0
        scale = self._crop.scale / step
        left, top = self._columns.start - self._crop.x, self._rows.start - self._crop.y
        shift = [((a + 0.5) * self._crop.scale - 0.5) / step for a in (left, top)]
        matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
        shape = (self._columns.stop - self._columns.start, self._rows.stop - self._rows.start)
        flags = cv2.WARP_INVERSE_MAP | cv2.INTER_LINEAR
        return np.asarray(cv2.warpAffine(values, matrix, shape, flags=flags, borderMode=cv2.BORDER_REPLICATE))

    def _moved(self, landmarks: np.ndarray, was: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        """Landmarks [K, 2] where the head takes them."""
        transform = torch.from_numpy(was @ self._back_to_canonical)[None].float()
        found = warp_to_canonical(
            torch.from_numpy(landmarks)[None].float(), self._depth, transform, self._camera
        ).numpy()[0]
        places = _looked_up(self._places, found[None])[0]
        return project(places @ wanted[:3, :3].T + wanted[:3, 3], self._camera)


def _even(part: slice, most: int) -> slice:
    """As chroma is shared by 2 x 2 pixels."""
    return slice(part.start - part.start % 2, min(part.stop + part.stop % 2, most))


def _looked_up(values: np.ndarray, spots: np.ndarray) -> np.ndarray:
    """Values of a map [H, W, ...] at spots [h, w, 2] (x, y); the border continues."""
    x, y = spots[..., 0].astype(np.float32), spots[..., 1].astype(np.float32)
    return np.asarray(cv2.remap(values, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
