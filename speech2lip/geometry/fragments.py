"""What a rasterizer returns, and what it must look like to be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees.

    face: [H, W] int32 triangle index, -1 where nothing is hit;
    barycentric: [H, W, 3] float32 perspective-correct weights of its corners;
    depth: [H, W] float32 camera z, 0 where nothing is hit.
    """

    face: np.ndarray
    barycentric: np.ndarray
    depth: np.ndarray

    @property
    def mask(self) -> np.ndarray:
        return self.face >= 0

    def interpolate(self, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Per-vertex values [V, C] -> [H, W, C], 0 where nothing is hit."""
        corners = values[triangles[self.face.clip(0)]]
        out = np.einsum("hwk,hwkc->hwc", self.barycentric, corners)
        out[~self.mask] = 0
        return out


class Rasterizer(Protocol):
    """`rasterize` below, or PyTorch3D's in `rasterizer_pytorch3d`."""

    def __call__(
        self, pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, width: int, height: int
    ) -> Fragments: ...
