"""Points on a mesh, and light on its skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..geometry.mesh import head_normals
from ..shapes import check_shape


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
        check_shape("vertices", vertices, None, None)
        return np.einsum("nkc,nk->nc", vertices[self.vertices], self.weights)

    def normals(self, vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """Outward unit normals [N, 3] at the points of a head [V, 3] in its own axes, triangles [F, 3]."""
        out = self.positions(head_normals(vertices, triangles))
        return out / np.linalg.norm(out, axis=1, keepdims=True)


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
