"""Fitting a morphable model to landmarks of all frames, as one regularised least-squares problem.

Shared by the clip: identity and focal length. Per frame: rigid pose and expression. Key
frames are solved together (per-frame unknowns eliminated by Schur complement), then every
frame by itself with the shared part fixed; Gauss-Newton throughout.

The objective is, summed over frames, |landmark error|^2 / (noise^2 x `redundancy`) plus
expression_weight |e|^2 plus identity_weight |a|^2, with a and e in standard deviations:
errors of one frame's landmarks are not independent, and their biases do not average out
over frames, so priors keep their weight however many of either there are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from ...config import FitConfig
from ...geometry.camera import Intrinsics, project
from ..least_squares import camera_jacobian, huber_weights, turn_jacobian
from ..result import FitState
from ..surface import SurfacePoints
from .model import LandmarkKeys, MorphableModel, select_contour

_CHUNK = 32  # frames whose Jacobians are in memory at once


class LandmarkFit:
    """The problem for one set of landmarks.

    points: the landmarks on the model, [N]; or, with `keys`, the model's own vertices, of
    which each frame picks its 68 by pose. Coefficients inside are those of bases reduced to
    what the landmarks can see; `expand` gives the model's own.
    """

    def __init__(
        self, model: MorphableModel, points: SurfacePoints | None, keys: LandmarkKeys | None, options: FitConfig
    ):
        assert (points is None) != (keys is None)
        self.options, self.keys = options, None
        if keys is not None:
            every = np.unique(np.concatenate([keys.points, keys.left.ravel(), keys.right.ravel()]))
            points = SurfacePoints.of_vertices(every)
            own = [np.searchsorted(every, k) for k in (keys.points, keys.left, keys.right)]
            self.keys = LandmarkKeys(own[0], own[1], own[2], np.zeros(0))
        assert points is not None
        local = model.at(points)
        self.mean = local.mean.astype(np.float64)
        self.identity, self._identity_map = _reduced(local.identity, options.keep)
        self.expression, self._expression_map = _reduced(local.expression, options.keep)

    @property
    def landmarks(self) -> int:
        return 68 if self.keys is not None else len(self.mean)

    def initial(self, poses: np.ndarray, focal: float) -> FitState:
        """The mean face at some poses [T, 6]."""
        return FitState(
            poses, np.zeros(self.identity.shape[2]), np.zeros((len(poses), self.expression.shape[2])), focal
        )

    def expand(self, state: FitState) -> tuple[np.ndarray, np.ndarray]:
        """The model's own identity [K] and expression [T, E] coefficients."""
        return self._identity_map @ state.identity, state.expression @ self._expression_map.T

    def reduced_expression(self, model: MorphableModel) -> np.ndarray:
        """Expression basis [E', V, 3] of a model (or of some of its points) in the fit's own coefficients."""
        return np.tensordot(self._expression_map.T, model.expression, 1)

    def predict(self, state: FitState) -> np.ndarray:
        """Projected landmarks [T, N, 2] relative to the principal point."""
        parts = np.array_split(np.arange(len(state.poses)), len(state.poses) // 512 + 1)
        return np.concatenate(
            [project(self._place(_part(state, p))[0], Intrinsics(state.focal, 0.0, 0.0)) for p in parts]
        )

    def joint(
        self, observed: np.ndarray, state: FitState, weights: np.ndarray, iod: float, prior_focal: float
    ) -> FitState:
        """All unknowns of some frames together. observed: [T, N, 2] relative to the principal
        point; weights: [N]; iod: distance between the eyes in pixels."""
        scale, best = self.options.information(iod), self.cost(observed, state, weights, iod, prior_focal)
        damping, trial = 1e-4, state
        for _ in range(self.options.iterations):
            step = self._joint_step(observed, trial, weights, scale, prior_focal, damping)
            cost = self.cost(observed, step, weights, iod, prior_focal)
            if cost < best:
                done = best - cost < 1e-6 * cost
                state, trial, best, damping = step, step, cost, damping / 4
                if done:
                    break
            else:
                trial, damping = state, damping * 16
        return state

    def each(
        self, observed: np.ndarray, state: FitState, weights: np.ndarray, iod: float, iterations: int = 6
    ) -> tuple[FitState, np.ndarray]:
        """Pose and expression of every frame by itself; also the information [T, 6, 6] of the poses."""
        scale = self.options.information(iod)
        poses, expression = state.poses.copy(), state.expression.copy()
        information = np.zeros((len(poses), 6, 6))
        for part in np.array_split(np.arange(len(poses)), len(poses) // _CHUNK + 1):
            current = _part(state, part)
            for _ in range(iterations):
                lin = self._linearise(current, observed[part])
                normal, right = self._local_normal(lin, current, weights, scale)
                change = np.linalg.solve(normal, right[..., None])[..., 0]
                current = FitState(
                    current.poses + change[:, :6], current.identity, current.expression + change[:, 6:], current.focal
                )
            poses[part], expression[part] = current.poses, current.expression
            information[part] = pose_information(normal)
        return FitState(poses, state.identity, expression, state.focal), information

    def cost(self, observed: np.ndarray, state: FitState, weights: np.ndarray, iod: float, prior_focal: float) -> float:
        """The objective, with Huber's loss on each landmark."""
        error = np.linalg.norm(observed - self.predict(state), axis=2) * np.sqrt(weights)
        limit = 2.0 * np.median(error) + 1e-9
        huber = np.where(error < limit, error**2, 2 * limit * error - limit**2)
        frames = len(observed)
        prior = self.options.identity_weight * frames * (state.identity**2).sum()
        prior += self.options.expression_weight * (state.expression**2).sum()
        prior += frames * (np.log(state.focal / prior_focal) / self.options.focal_prior) ** 2
        return float(huber.sum() * self.options.information(iod) + prior)

    def local_terms(
        self, state: FitState, observed: np.ndarray, weights: np.ndarray, iod: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations [T, P, P] and right sides [T, P] of pose and expression of some frames."""
        return self._local_normal(self._linearise(state, observed), state, weights, self.options.information(iod))

    def _joint_step(
        self,
        observed: np.ndarray,
        state: FitState,
        weights: np.ndarray,
        scale: float,
        prior_focal: float,
        damping: float,
    ) -> FitState:
        frames, size = len(observed), len(state.identity) + 1
        hessian, gradient = np.zeros((size, size)), np.zeros(size)
        back: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        for part in np.array_split(np.arange(frames), frames // _CHUNK + 1):
            lin = self._linearise(_part(state, part), observed[part])
            normal, right = self._local_normal(lin, _part(state, part), weights, scale)
            normal = normal + damping * normal * np.eye(normal.shape[1])
            w = lin.weights(weights) * scale
            shared = np.concatenate([lin.identity, lin.focal[..., None]], 2)
            weighted = shared * w[..., None]
            coupling = lin.local.transpose(0, 2, 1) @ weighted
            eliminated = np.linalg.solve(normal, np.concatenate([coupling, right[..., None]], 2))
            flat = weighted.reshape(-1, size)
            hessian += flat.T @ shared.reshape(-1, size) - np.einsum(
                "kps,kpq->sq", coupling, eliminated[..., :-1], optimize=True
            )
            gradient += flat.T @ lin.residual.ravel() - np.einsum(
                "kps,kp->s", coupling, eliminated[..., -1], optimize=True
            )
            back.append((part, eliminated[..., :-1], eliminated[..., -1]))
        prior = np.append(np.full(size - 1, self.options.identity_weight), 1 / self.options.focal_prior**2) * frames
        at = np.append(state.identity, np.log(state.focal / prior_focal))
        hessian += np.diag(prior) + damping * np.diag(np.diag(hessian))
        step = cho_solve(cho_factor(hessian), gradient - prior * at)
        poses, expression = state.poses.copy(), state.expression.copy()
        for part, eliminated_shared, eliminated_right in back:
            change = eliminated_right - eliminated_shared @ step
            poses[part] += change[:, :6]
            expression[part] += change[:, 6:]
        focal = state.focal * float(np.exp(np.clip(step[-1], -0.2, 0.2)))
        return FitState(poses, state.identity + step[:-1], expression, focal)

    def _local_normal(
        self, lin: _Linearised, state: FitState, weights: np.ndarray, scale: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations [T, P, P], [T, P] of pose and expression, expression prior included."""
        w = lin.weights(weights) * scale
        weighted = lin.local * w[..., None]
        normal = weighted.transpose(0, 2, 1) @ lin.local
        right = (weighted * lin.residual[..., None]).sum(1)
        prior = np.append(np.zeros(6), np.full(normal.shape[1] - 6, self.options.expression_weight))
        right[:, 6:] -= self.options.expression_weight * state.expression
        return normal + np.diag(prior), right

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

    def _linearise(self, state: FitState, observed: np.ndarray) -> _Linearised:
        seen, turned, pick = self._place(state)
        rotation = Rotation.from_rotvec(state.poses[:, :3]).as_matrix()
        predicted = project(seen, Intrinsics(state.focal, 0.0, 0.0))
        camera = camera_jacobian(seen, state.focal)
        turn = camera @ turn_jacobian(turned, state.poses[:, :3])
        point = camera @ rotation[:, None]
        expression, identity = (b if pick is None else b[pick] for b in (self.expression, self.identity))
        frames, rows = len(seen), 2 * seen.shape[1]
        local = np.concatenate([turn, camera, point @ expression], -1).reshape(frames, rows, -1)
        return _Linearised(
            predicted,
            (observed - predicted).reshape(frames, rows),
            local,
            (point @ identity).reshape(frames, rows, -1),
            predicted.reshape(frames, rows),
        )


@dataclass(frozen=True)
class _Linearised:
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


def pose_information(normal: np.ndarray) -> np.ndarray:
    """[T, 6, 6] information of poses when everything after them in [T, P, P] is eliminated."""
    corner = normal[:, :6, 6:]
    return normal[:, :6, :6] - corner @ np.linalg.solve(normal[:, 6:, 6:], corner.transpose(0, 2, 1))


def _part(state: FitState, index: np.ndarray) -> FitState:
    return FitState(state.poses[index], state.identity, state.expression[index], state.focal)


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
