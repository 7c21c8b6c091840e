"""The whole head in the canonical frame: its depth beyond the face, and what moves with it.

The tracked mesh ends in front of the ears. Beyond it the head is taken for an ellipsoid through ears and forehead, so that
hair and ears lie where a skull has them; below the chin the neck follows the head less and less.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..facemesh import MESH_POINTS
from ..geometry.camera import Intrinsics, pixel_rays
from ..shapes import check_shape

_EARS = np.array([234, 454])  # where the mesh ends beside the ears
_CHIN, _HAIRLINE = 152, 10
_LONG = 1.27  # a skull's length over its breadth
_HIGH = (1.3, 1.9)  # and its height over its half breadth, at least and at most
_JOINT = np.array([0.0, 25.0, 15.0])  # mm from between the ears to the joint on which the head turns: below and behind
_ROUNDS = 0.12  # of the face's height, over which the mesh's depth becomes the ellipsoid's
_BENDS = 0.03  # of the face's height, over which the depth is smooth at the mesh's end, where it falls off steeply
_TAKEN, _HIDDEN, _SOFT = (
    0.02,
    0.055,
    0.015,
)  # of the face's height: what moves beside the head, what is filled there, and soft edges
_NECK = (-5.0, 85.0)  # mm below the chin at which the neck begins to follow the head less, and follows it no more
_SLIDES = (
    -45.0,
    -15.0,
)  # mm below the chin: above, the head slides over what is behind it; below, neck and shoulders bend
_WHOLLY, _CLOSE = 0.98, 0.3  # of the head mask, what lies where it slides, or so near the neck, is the head's
_BROAD, _BESIDE = (
    0.32,
    (0.04, 0.26),
)  # of the face's height: half the neck's width, and how far beside it what bends goes along


@dataclass(frozen=True)
class Skull:
    """The head as an ellipsoid in its own axes: centre and semi-axes [3], joint [3] on which it turns, chin: y; all mm."""

    centre: np.ndarray
    axes: np.ndarray
    joint: np.ndarray
    chin: float

    @staticmethod
    def of(mesh: np.ndarray) -> Skull:
        """Of a neutral mesh [468, 3]."""
        check_shape("mesh", mesh, MESH_POINTS, 3)
        centre = mesh[_EARS].mean(0)
        across = float(np.linalg.norm(mesh[_EARS[0]] - mesh[_EARS[1]])) / 2
        along = _LONG * across
        up, front = np.abs(mesh[_HAIRLINE] - centre)[1:]
        high = up / np.sqrt(max(1 - (front / along) ** 2, 0.05))
        axes = np.array([across, np.clip(high, *(across * np.array(_HIGH))), along])
        return Skull(centre, axes, centre + _JOINT, float(mesh[_CHIN, 1]))

    def depth(self, pose: np.ndarray, camera: Intrinsics, size: int) -> np.ndarray:
        """Depth [size, size] in mm of its near side as a posed head [4, 4] shows it; beside it, of its outline continued."""
        rays = pixel_rays(camera, size) @ pose[:3, :3] / self.axes
        start = (-pose[:3, :3].T @ pose[:3, 3] - self.centre) / self.axes
        square, middle = (rays * rays).sum(-1), rays @ start
        beyond = middle**2 - square * (start @ start - 1)
        return np.asarray((-middle - np.sqrt(beyond.clip(0))) / square)


@dataclass(frozen=True)
class HeadMaps:
    """What is known of every canonical pixel, [S, S] float32.

    depth: mm; places: [S, S, 3] in the head's axes, mm; follows: 1 where a pixel moves with the head, 0 where it stays with the
    body; slides: 1 where the head slides over what is behind it, 0 where neck and shoulders bend; taken: 1 on what slides, the head and a
    little beside it, 0 on what is behind; hidden: 1 where the head may be in the way of what is behind it, which reaches further.
    """

    depth: np.ndarray
    places: np.ndarray
    follows: np.ndarray
    slides: np.ndarray
    taken: np.ndarray
    hidden: np.ndarray


def head_maps(
    skull: Skull, depth: np.ndarray, face: np.ndarray, head: np.ndarray, pose: np.ndarray, camera: Intrinsics
) -> HeadMaps:
    """depth: [S, S] mm, of the face and learned around it; face, head: masks [S, S] in 0..1; pose: [4, 4] head -> camera."""
    size = len(depth)
    for name, mask in (("depth", depth), ("face", face), ("head", head)):
        check_shape(name, mask, size, size)
    rows = np.flatnonzero((face > 0.5).any(1))
    height = float(rows[-1] + 1 - rows[0])
    whole = _rounded(depth, skull.depth(pose, camera, size), face > 0.5, height)
    places = (pixel_rays(camera, size) * whole[..., None] - pose[:3, 3]) @ pose[:3, :3]
    below = places[..., 1] - skull.chin
    slides = 1 - smooth_step((below - _SLIDES[0]) / (_SLIDES[1] - _SLIDES[0]))
    follows = 1 - smooth_step((below - _NECK[0]) / (_NECK[1] - _NECK[0]))
    near = _near_neck(face > 0.5, height)
    follows = follows * (slides + (1 - slides) * near)
    body = _continued((head > 0.5) & ((slides > _WHOLLY) | (near > _CLOSE)))  # without pieces of shoulders
    taken, hidden = (_widened(body, share * height, _SOFT * height) for share in (_TAKEN, _HIDDEN))
    return HeadMaps(*(part.astype(np.float32) for part in (whole, places, follows, slides, taken, hidden)))


def _near_neck(face: np.ndarray, height: float) -> np.ndarray:
    """[S, S] 1 on the face and the neck below it, falling to 0 beside them."""
    rows, columns = np.nonzero(face)
    both, middle = face.copy(), columns.mean()
    left, right = (int(np.clip(round(middle + side * _BROAD * height), 0, len(face))) for side in (-1, 1))
    both[(rows.min() + rows.max()) // 2 :, left:right] = True
    away = _distances(~both) / height
    return np.asarray(1 - smooth_step((away - _BESIDE[0]) / (_BESIDE[1] - _BESIDE[0])))


def _rounded(depth: np.ndarray, skull: np.ndarray, face: np.ndarray, height: float) -> np.ndarray:
    """Depth [S, S] that becomes the skull's beyond the face, and bends smoothly where the face ends."""
    outside, inside = _distances(~face), _distances(face)
    whole = depth + smooth_step(outside / (_ROUNDS * height)) * (skull - depth)
    bent = cv2.GaussianBlur(whole, (0, 0), _BENDS * height)
    return np.asarray(bent + smooth_step(inside / (3 * _BENDS * height)) * (whole - bent))


def _distances(mask: np.ndarray) -> np.ndarray:
    """[S, S] pixels from each pixel of a mask [S, S] bool to the nearest that is not of it."""
    from scipy.ndimage import distance_transform_edt  # here, so that training starts where it is missing

    return np.asarray(distance_transform_edt(mask))


def _continued(mask: np.ndarray) -> np.ndarray:
    """A head mask [S, S] bool that ends below the chin, continued straight down: uint8."""
    out = mask.astype(np.uint8)
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return np.ones_like(out)
    last = int(rows[-1])
    out[last + 1 :] = mask[last]
    return out


def _widened(mask: np.ndarray, reach: float, soft: float) -> np.ndarray:
    """A mask [S, S] uint8, wider by `reach` pixels, with a soft edge beyond that: float32."""
    side = 2 * max(round(reach + soft), 1) + 1
    wide = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    return np.asarray(cv2.GaussianBlur(wide.astype(np.float32), (0, 0), max(soft, 0.8)))


def smooth_step(share: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, and a smooth rise between them."""
    share = np.clip(share, 0, 1)
    return np.asarray(share * share * (3 - 2 * share))
