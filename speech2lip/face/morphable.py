"""Morphable head models: linear geometry and texture, points on their surface, SH lighting.

Inside the program every model is in millimetres and OpenCV axes (x right, y down, z away
from the viewer when the face looks into the camera); `compat` changes the Basel Face Model's
own frame (y up, z towards the viewer, unit 100 mm) into it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


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


@dataclass(frozen=True)
class SurfacePoints:
    """Points on triangles: corner vertices [N, 3] and barycentric weights [N, 3]."""

    vertices: np.ndarray
    weights: np.ndarray

    @staticmethod
    def of_vertices(index: np.ndarray) -> SurfacePoints:
        """Plain vertices [N] as surface points."""
        weights = np.zeros((len(index), 3))
        weights[:, 0] = 1
        return SurfacePoints(np.repeat(index[:, None], 3, 1), weights)

    def __getitem__(self, index: np.ndarray) -> SurfacePoints:
        return SurfacePoints(self.vertices[index], self.weights[index])

    def __len__(self) -> int:
        return len(self.vertices)

    def positions(self, vertices: np.ndarray) -> np.ndarray:
        """[N, 3] (or [N, C]) values of vertices [V, C] at the points."""
        return np.einsum("nkc,nk->nc", vertices[self.vertices], self.weights)


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


def sh_basis(normals: np.ndarray) -> np.ndarray:
    """The published tracker's nine spherical harmonics [..., 9] of unit normals [..., 3].

    Normals are in the Basel model's axes (y up, z to the viewer). Constants are those of
    Ramamoorthi and Hanrahan 2001, convolved with the cosine lobe.
    """
    x, y, z = np.moveaxis(normals, -1, 0)
    a0, a1, a2 = np.pi, 2 * np.pi / np.sqrt(3), 2 * np.pi / np.sqrt(8)
    c0, c1, c2 = 1 / np.sqrt(4 * np.pi), np.sqrt(3) / np.sqrt(4 * np.pi), 3 * np.sqrt(5) / np.sqrt(12 * np.pi)
    rows = [
        np.full_like(x, a0 * c0), -a1 * c1 * y, a1 * c1 * z, -a1 * c1 * x, a2 * c2 * x * y, -a2 * c2 * y * z,
        a2 * c2 * 0.5 / np.sqrt(3) * (3 * z**2 - 1), -a2 * c2 * x * z, a2 * c2 * 0.5 * (x**2 - y**2),
    ]  # fmt: skip
    return np.stack(rows, -1)


AMBIENT = 0.8  # what the first coefficient of each channel is counted from


def light_up(colours: np.ndarray, normals: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Lit colours [B, N, 3] of unlit ones [B or 1, N, 3] under 27 coefficients [B, 27] (nine per channel)."""
    per_channel = light.reshape(-1, 3, 9) + np.eye(9)[0] * AMBIENT
    return np.asarray(colours * np.einsum("bnk,bck->bnc", sh_basis(normals), per_channel))
