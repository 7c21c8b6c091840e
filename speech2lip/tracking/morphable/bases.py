"""Where a morphable model's landmarks lie in the picture, and how that changes with its unknowns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from ...geometry.camera import Intrinsics, project
from ...shapes import check_shape
from ..least_squares import by_turn, camera_jacobian, huber_weights, row_products
from ..result import FitState
from ..surface import SurfacePoints
from .model import LandmarkKeys, MorphableModel, select_contour


@dataclass(frozen=True)
class Linearised:
    """Projections [T, N, 2]; residuals [T, 2N] and Jacobians of the projection by pose and
    expression [T, 2N, 6 + E], identity [T, 2N, K] and log focal [T, 2N]."""

    predicted: np.ndarray
    residual: np.ndarray
    local: np.ndarray
    identity: np.ndarray
    focal: np.ndarray

    def weights(self, points: np.ndarray) -> np.ndarray:
        """[T, 2N] Huber weights on top of the landmarks' own [N]."""
        frames = len(self.residual)
        return np.repeat(huber_weights(self.residual.reshape(frames, -1, 2), points), 2, 1)


@dataclass(frozen=True)
class LandmarkBases:
    """A morphable model at its landmarks, in bases reduced to what they can see.

    mean: [V, 3] float64 mm; identity: [V, 3, K]; expression: [V, 3, E]; identity_map and
    expression_map: [model's, reduced] coefficients; keys: where each frame picks its 68
    landmarks by pose among the V candidates; else the V points are the landmarks.
    """

    mean: np.ndarray
    identity: np.ndarray
    expression: np.ndarray
    identity_map: np.ndarray
    expression_map: np.ndarray
    keys: LandmarkKeys | None = None

    @staticmethod
    def at_points(model: MorphableModel, points: SurfacePoints, keep: float) -> LandmarkBases:
        """Of landmarks at places [N] on the model; keep: share of the bases' energy there that is kept."""
        local = model.at(points)
        identity, identity_map = _reduced(local.identity, keep)
        expression, expression_map = _reduced(local.expression, keep)
        return LandmarkBases(local.mean.astype(np.float64), identity, expression, identity_map, expression_map)

    @staticmethod
    def with_outline(model: MorphableModel, keys: LandmarkKeys, keep: float) -> LandmarkBases:
        """Of the model's own 68 landmarks, those of the outline chosen by pose."""
        every = np.unique(np.concatenate([keys.points, keys.left.ravel(), keys.right.ravel()]))
        own = [np.searchsorted(every, k) for k in (keys.points, keys.left, keys.right)]
        bases = LandmarkBases.at_points(model, SurfacePoints.of_vertices(every), keep)
        return replace(bases, keys=LandmarkKeys(own[0], own[1], own[2], np.zeros(0)))

    @property
    def landmarks(self) -> int:
        return 68 if self.keys is not None else len(self.mean)

    def initial(self, poses: np.ndarray, focal: float) -> FitState:
        """The mean face at some poses [T, 6]."""
        check_shape("poses", poses, None, 6)
        expression = np.zeros((len(poses), self.expression.shape[2]))
        return FitState(poses, np.zeros(self.identity.shape[2]), expression, focal)

    def expand(self, state: FitState) -> tuple[np.ndarray, np.ndarray]:
        """The model's own identity [K] and expression [T, E] coefficients."""
        return self.identity_map @ state.identity, state.expression @ self.expression_map.T

    def reduced_expression(self, model: MorphableModel) -> np.ndarray:
        """Expression basis [E', V, 3] of a model (or of some of its points) in the reduced coefficients."""
        return np.tensordot(self.expression_map.T, model.expression, 1)

    def predict(self, state: FitState) -> np.ndarray:
        """Projected landmarks [T, N, 2] relative to the principal point."""
        parts = np.array_split(np.arange(len(state.poses)), len(state.poses) // 512 + 1)
        return np.concatenate(
            [project(self._place(state.part(p))[0], Intrinsics(state.focal, 0.0, 0.0)) for p in parts]
        )

    def linearise(self, state: FitState, observed: np.ndarray) -> Linearised:
        """Around a state; observed: landmarks [T, N, 2] relative to the principal point."""
        check_shape("observed", observed, len(state.poses), self.landmarks, 2)
        seen, turned, pick = self._place(state)
        rotation = Rotation.from_rotvec(state.poses[:, :3]).as_matrix()
        predicted = project(seen, Intrinsics(state.focal, 0.0, 0.0))
        camera = camera_jacobian(seen, state.focal)
        turn = by_turn(camera, turned, state.poses[:, :3])
        point = row_products(camera, rotation)
        expression, identity = (b if pick is None else b[pick] for b in (self.expression, self.identity))
        frames, rows = len(seen), 2 * seen.shape[1]
        local = np.concatenate([turn, camera, point @ expression], -1).reshape(frames, rows, -1)
        return Linearised(
            predicted,
            (observed - predicted).reshape(frames, rows),
            local,
            (point @ identity).reshape(frames, rows, -1),
            predicted.reshape(frames, rows),
        )

    def _place(self, state: FitState) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Landmarks in camera space [T, N, 3], the same before translation, and, with an outline, which
        of the candidate vertices they are [T, N]."""
        rotation = Rotation.from_rotvec(state.poses[:, :3]).as_matrix()
        shape = self.mean + self.identity @ state.identity
        shape = shape + np.einsum("nce,te->tnc", self.expression, state.expression, optimize=True)
        turned = shape @ rotation.transpose(0, 2, 1)
        pick: np.ndarray | None = None
        if self.keys is not None:
            seen = turned + state.poses[:, None, 3:]
            pick = select_contour(self.keys, seen[..., :2] / seen[..., 2:])
            turned = np.take_along_axis(turned, pick[..., None], 1)
        return turned + state.poses[:, None, 3:], turned, pick


def _reduced(basis: np.ndarray, keep: float) -> tuple[np.ndarray, np.ndarray]:
    """Basis [N, 3, R] at the points and map [K, R] with coefficients = map @ reduced.

    Directions that hardly move any landmark stay at the prior's mean, 0; the prior of the
    others is unchanged, since the map is orthonormal.
    """
    count, points = basis.shape[:2]
    flat = basis.reshape(count, -1).astype(np.float64)
    vectors, values, _ = np.linalg.svd(flat, full_matrices=False)
    energy = np.cumsum(values**2) / (values**2).sum()
    rank = min(int(np.searchsorted(energy, keep)) + 1, count)
    return (vectors[:, :rank].T @ flat).reshape(rank, points, 3).transpose(1, 2, 0), vectors[:, :rank]
