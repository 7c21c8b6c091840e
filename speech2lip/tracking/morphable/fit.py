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

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from ...config import FitConfig
from ...shapes import check_shape
from ..result import FitState
from .bases import LandmarkBases, Linearised

_CHUNK = 32  # frames whose Jacobians are in memory at once


@dataclass(frozen=True)
class Evidence:
    """Landmarks that are to be explained.

    observed: [T, N, 2] pixels relative to the principal point; weights: [N]; iod: distance
    between the eyes in pixels; focal: the prior's, in pixels.
    """

    observed: np.ndarray
    weights: np.ndarray
    iod: float
    focal: float

    def __post_init__(self) -> None:
        check_shape("observed", self.observed, None, len(self.weights), 2)

    def part(self, frames: np.ndarray) -> Evidence:
        """The evidence of some frames [K]."""
        return replace(self, observed=self.observed[frames])


class LandmarkFit:
    """Gauss-Newton on the objective above, for one set of landmarks."""

    def __init__(self, bases: LandmarkBases, options: FitConfig):
        self.bases, self.options = bases, options

    def joint(self, evidence: Evidence, state: FitState) -> FitState:
        """All unknowns of some frames together, by steps that are damped where they do not help (Levenberg-Marquardt)."""
        best = self.cost(evidence, state)
        damping, trial = 1e-4, state
        for _ in range(self.options.iterations):
            step = self._joint_step(evidence, trial, damping)
            cost = self.cost(evidence, step)
            if cost < best:
                done = best - cost < 1e-6 * cost
                state, trial, best, damping = step, step, cost, damping / 4
                if done:
                    break
            else:
                trial, damping = state, damping * 16
        return state

    def each(self, evidence: Evidence, state: FitState, iterations: int = 6) -> tuple[FitState, np.ndarray]:
        """Pose and expression of every frame by itself; also the information [T, 6, 6] of the poses."""
        poses, expression = state.poses.copy(), state.expression.copy()
        information = np.zeros((len(poses), 6, 6))
        for part in _chunks(len(poses)):
            current, seen = state.part(part), evidence.part(part)
            for _ in range(iterations):
                normal, right = self.local_terms(seen, current)
                change = np.linalg.solve(normal, right[..., None])[..., 0]
                current = current.moved(current.poses + change[:, :6], current.expression + change[:, 6:])
            poses[part], expression[part] = current.poses, current.expression
            information[part] = pose_information(normal)
        return state.moved(poses, expression), information

    def cost(self, evidence: Evidence, state: FitState) -> float:
        """The objective, with Huber's loss on each landmark."""
        error = np.linalg.norm(evidence.observed - self.bases.predict(state), axis=2) * np.sqrt(evidence.weights)
        limit = 2.0 * np.median(error) + 1e-9
        huber = np.where(error < limit, error**2, 2 * limit * error - limit**2)
        frames = len(evidence.observed)
        prior = self.options.identity_weight * frames * (state.identity**2).sum()
        prior += self.options.expression_weight * (state.expression**2).sum()
        prior += frames * (np.log(state.focal / evidence.focal) / self.options.focal_prior) ** 2
        return float(huber.sum() * self.options.information(evidence.iod) + prior)

    def local_terms(self, evidence: Evidence, state: FitState) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations [T, P, P] and right sides [T, P] of pose and expression of some frames."""
        lin = self.bases.linearise(state, evidence.observed)
        return self._local_normal(lin, self._weights(lin, evidence), state)

    def _weights(self, lin: Linearised, evidence: Evidence) -> np.ndarray:
        """[T, 2N]: what each squared residual counts."""
        return lin.weights(evidence.weights) * self.options.information(evidence.iod)

    def _local_normal(self, lin: Linearised, w: np.ndarray, state: FitState) -> tuple[np.ndarray, np.ndarray]:
        """Normal equations [T, P, P], [T, P] of pose and expression, expression prior included."""
        weighted = lin.local * w[..., None]
        normal = weighted.transpose(0, 2, 1) @ lin.local
        right = (weighted * lin.residual[..., None]).sum(1)
        prior = np.append(np.zeros(6), np.full(normal.shape[1] - 6, self.options.expression_weight))
        right[:, 6:] -= self.options.expression_weight * state.expression
        return normal + np.diag(prior), right

    def _joint_step(self, evidence: Evidence, state: FitState, damping: float) -> FitState:
        """One step of all unknowns: those of frames are eliminated, the shared ones solved, the others follow."""
        size = len(state.identity) + 1
        hessian, gradient = np.zeros((size, size)), np.zeros(size)
        reduced = [self._eliminate(evidence.part(p), state.part(p), damping) for p in _chunks(len(state.poses))]
        for part in reduced:
            hessian += part.hessian
            gradient += part.gradient
        step = self._shared_step(hessian, gradient, state, evidence.focal, damping)
        change = np.concatenate([part.right - part.coupling @ step for part in reduced])
        focal = state.focal * float(np.exp(np.clip(step[-1], -0.2, 0.2)))
        poses, expression = state.poses + change[:, :6], state.expression + change[:, 6:]
        return FitState(poses, state.identity + step[:-1], expression, focal)

    def _eliminate(self, evidence: Evidence, state: FitState, damping: float) -> _Reduced:
        lin = self.bases.linearise(state, evidence.observed)
        w = self._weights(lin, evidence)
        normal, right = self._local_normal(lin, w, state)
        normal = normal + damping * normal * np.eye(normal.shape[1])
        shared = np.concatenate([lin.identity, lin.focal[..., None]], 2)
        weighted = shared * w[..., None]
        coupling = lin.local.transpose(0, 2, 1) @ weighted
        both = np.linalg.solve(normal, np.concatenate([coupling, right[..., None]], 2))
        eliminated, force = both[..., :-1], both[..., -1]
        flat = weighted.reshape(-1, shared.shape[2])
        hessian = flat.T @ shared.reshape(flat.shape) - np.einsum("kps,kpq->sq", coupling, eliminated, optimize=True)
        gradient = flat.T @ lin.residual.ravel() - np.einsum("kps,kp->s", coupling, force, optimize=True)
        return _Reduced(hessian, gradient, eliminated, force)

    def _shared_step(
        self, hessian: np.ndarray, gradient: np.ndarray, state: FitState, focal: float, damping: float
    ) -> np.ndarray:
        """Step [K + 1] of identity and log focal length, priors included; focal: the prior's."""
        count = len(state.identity)
        prior = np.append(np.full(count, self.options.identity_weight), 1 / self.options.focal_prior**2)
        prior = prior * len(state.poses)
        at = np.append(state.identity, np.log(state.focal / focal))
        hessian = hessian + (np.diag(prior) + damping * np.diag(np.diag(hessian)))
        return np.asarray(cho_solve(cho_factor(hessian), gradient - prior * at))


@dataclass(frozen=True)
class _Reduced:
    """Normal equations [K + 1, K + 1], [K + 1] of the shared unknowns when those of T frames are
    eliminated; those follow a step s of the shared ones by right [T, P] - coupling [T, P, K + 1] s."""

    hessian: np.ndarray
    gradient: np.ndarray
    coupling: np.ndarray
    right: np.ndarray


def _chunks(frames: int) -> list[np.ndarray]:
    return np.array_split(np.arange(frames), frames // _CHUNK + 1)


def pose_information(normal: np.ndarray) -> np.ndarray:
    """[T, 6, 6] information of poses when everything after them in [T, P, P] is eliminated."""
    corner = normal[:, :6, 6:]
    return normal[:, :6, :6] - corner @ np.linalg.solve(normal[:, 6:, 6:], corner.transpose(0, 2, 1))
