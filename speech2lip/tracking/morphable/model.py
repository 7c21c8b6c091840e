"""Morphable head models: linear geometry and texture, points on their surface, SH lighting.

Inside the program every model is in millimetres and OpenCV axes (x right, y down, z away
from the viewer when the face looks into the camera); `compat` changes the Basel Face Model's
own frame (y up, z towards the viewer, unit 100 mm) into it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..surface import SurfacePoints


@dataclass(frozen=True)
class LandmarkKeys:
    """Vertices of the 68 landmarks: [68]; candidates of its outline, left and right: [8, 20]
    each; vertices that expressions do not move: [R]."""

    points: np.ndarray
    left: np.ndarray
    right: np.ndarray
    rigid: np.ndarray


@dataclass(frozen=True)
class MorphableModel:
    """geometry = mean + identity . a + expression . e, a and e in standard deviations.

    mean: [V, 3] float32; identity: [K, V, 3]; expression: [E, V, 3]; texture_mean: [V, 3]
    and texture: [X, V, 3] colours in 0..255 (X may be 0); triangles: [F, 3]; keys: where the
    model brings a landmark list.
    """

    name: str
    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    texture_mean: np.ndarray
    texture: np.ndarray
    triangles: np.ndarray
    keys: LandmarkKeys | None = None

    def geometry(self, identity: np.ndarray, expression: np.ndarray) -> np.ndarray:
        """Coefficients [K'] or [B, K'] and [B, E'] (leading ones; the rest is 0) -> vertices [B, V, 3]."""
        identity, expression = np.atleast_2d(identity), np.atleast_2d(expression)
        shape = np.tensordot(identity, self.identity[: identity.shape[1]], 1)
        return self.mean + shape + np.tensordot(expression, self.expression[: expression.shape[1]], 1)

    def colours(self, texture: np.ndarray) -> np.ndarray:
        """Texture coefficients [X'] -> unlit vertex colours [V, 3]."""
        return self.texture_mean + np.tensordot(texture, self.texture[: len(texture)], 1)

    def at(self, points: SurfacePoints) -> MorphableModel:
        """The model of some points on the surface: its vertices are those points."""

        def pick(values: np.ndarray) -> np.ndarray:
            corners = values[..., points.vertices, :]
            return np.asarray(np.einsum("...nkc,nk->...nc", corners, points.weights), np.float32)

        return replace(
            self, mean=pick(self.mean), identity=pick(self.identity), expression=pick(self.expression),
            texture_mean=pick(self.texture_mean), texture=pick(self.texture), triangles=np.zeros((0, 3), np.int64), keys=None,
        )  # fmt: skip


def select_contour(keys: LandmarkKeys, pixels: np.ndarray) -> np.ndarray:
    """Vertices [B, 68] of the landmarks, those of the jaw chosen for each pose.

    pixels: [B, V, 2]. Of each outline candidate list the outermost vertex in the picture is
    taken: left lists by smallest x (landmarks 0 to 7), right lists by largest x (9 to 16).
    """
    out = np.tile(keys.points, (len(pixels), 1))
    left, right = (pixels[:, side, 0] for side in (keys.left, keys.right))
    rows = np.arange(len(keys.left))
    out[:, : len(rows)] = keys.left[rows, left.argmin(2)]
    out[:, len(rows) + 1 : 2 * len(rows) + 1] = keys.right[rows, right.argmax(2)]
    return out
