"""What trackers return."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..geometry.camera import Intrinsics, Poses


@dataclass(frozen=True)
class Surface:
    """A morphable model fitted to the clip: neutral vertices [V, 3] float32 mm, triangles [F, 3],
    identity [K] and expression [T, E] coefficients in standard deviations."""

    model: str
    vertices: np.ndarray
    triangles: np.ndarray
    identity: np.ndarray
    expression: np.ndarray


@dataclass(frozen=True)
class HeadTrack:
    """poses: one per frame (interpolated over bridged gaps; identity rotation where there
    is no face); mesh: [468, 3] mm; camera: in crop pixels; residual: root mean square
    reprojection error of the rigid points, in pixels; noise: measured standard deviation
    of the raw poses, [6] (rad, mm); surface: from trackers with a morphable model."""

    poses: Poses
    mesh: np.ndarray
    camera: Intrinsics
    residual: float
    noise: np.ndarray
    surface: Surface | None = None


@dataclass(frozen=True)
class FitState:
    """poses: [T, 6] axis-angle and mm; identity: [K]; expression: [T, E]; focal: px."""

    poses: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    focal: float

    def part(self, frames: np.ndarray) -> FitState:
        """The state of some frames [K]."""
        return replace(self, poses=self.poses[frames], expression=self.expression[frames])

    def moved(self, poses: np.ndarray, expression: np.ndarray) -> FitState:
        """Other poses and expressions of the same identity and focal length."""
        return replace(self, poses=poses, expression=expression)
