"""Rigid head tracking: bundle adjustment of the subject's own mesh, then smooth poses.

Three least-squares problems, each small and solved by Gauss-Newton:

1. on a few hundred key frames, all at once: one neutral shape of the points that speech
   does not move, one focal length, a pose per frame (poses eliminated by Schur complement);
2. a pose for every frame, given shape and focal length;
3. smooth poses: the maximum a posteriori track under white accelerations whose variance,
   like the noise of the poses, is measured from the track's own higher differences, so no
   smoothing weight is guessed and a two-sided filter adds no lag.

Everything is in crop pixels and millimetres (pupils 63 mm apart); head axes are those of
the camera when the face looks straight into it (x right, y down, z forward).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from ..config import BundleConfig
from ..facemesh import MESH_POINTS, rigid_points
from ..geometry.camera import Intrinsics, Poses, project
from ..shapes import check_shape
from .least_squares import (
    Linearised,
    huber_weights,
    linearise,
    measure_point_weights,
    pick_keyframes,
    pose_normal,
    procrustes,
    robust_residual,
    weak_perspective_poses,
)
from .observations import ClipObservations
from .result import HeadTrack
from .smoothing import smooth_poses


def track_head(clip: ClipObservations, config: BundleConfig = BundleConfig(), smooth: float = 1.0) -> HeadTrack:
    """Fit shape, focal length and poses to FaceMesh's landmarks.

    smooth: factor on the measured pose noise (0 keeps raw poses).
    """
    keys = pick_keyframes(clip.seen, config.keyframes)
    clouds = clip.clouds(keys)
    first = procrustes(clouds)
    rigid = rigid_points(first.shape)
    observed = clip.centred(rigid)
    guess = config.focal_guess * clip.side
    start = _Rigid(weak_perspective_poses(clouds, first, clip.camera(guess)), first.shape[rigid], guess)
    joint, weights = start, np.ones(len(rigid))
    for _ in range(2):  # the second round weighs points by their measured residual
        joint = _adjust(observed[keys], joint, start, weights, config)
        weights = measure_point_weights(observed[keys] - joint.predict())
    raw, information = _pose_all(observed, clip.seen, keys, joint, weights)
    poses, noise = smooth_poses(raw, information, clip.seen, clip.segments, smooth)
    camera = clip.camera(joint.focal)
    mesh = triangulate_mesh(clip, poses, first.shape, camera)
    mesh[rigid] = joint.points
    residual = robust_residual(observed[clip.seen] - replace(joint, poses=poses[clip.seen]).predict())
    return HeadTrack(Poses(poses[:, :3], poses[:, 3:]), mesh, camera, residual, noise)


@dataclass(frozen=True)
class _Rigid:
    """A rigid shape in some frames: poses [K, 6], points [N, 3] mm, focal length px."""

    poses: np.ndarray
    points: np.ndarray
    focal: float

    def predict(self) -> np.ndarray:
        """[K, N, 2] projections relative to the principal point."""
        turned = np.einsum("kij,nj->kni", Rotation.from_rotvec(self.poses[:, :3]).as_matrix(), self.points)
        turned += self.poses[:, None, 3:]
        return project(turned, Intrinsics(self.focal, 0.0, 0.0))


def _adjust(observed: np.ndarray, state: _Rigid, prior: _Rigid, weights: np.ndarray, config: BundleConfig) -> _Rigid:
    """Joint Gauss-Newton over poses, points and focal length; the prior is of points and focal length."""
    for _ in range(config.iterations):
        lin = linearise(observed, state.poses, state.points, state.focal)
        w = huber_weights(lin.residual, weights)
        variance = max(float((w[..., None] * lin.residual**2).mean()), 1e-6)
        w = w / variance
        hessian, gradient = _shared_normal(lin, w, state, prior, config)
        block, right = pose_normal(lin, w)
        coupling = _coupling(lin, w)
        root = np.linalg.cholesky(block)
        half = np.linalg.solve(root, coupling).reshape(-1, coupling.shape[2])
        reduced = hessian - half.T @ half  # of a matrix with itself NumPy computes one half
        inner = np.linalg.solve(block, right[..., None])[..., 0]
        step = cho_solve(cho_factor(reduced), gradient - np.einsum("kpi,kp->i", coupling, inner))
        state = _Rigid(
            state.poses + np.linalg.solve(block, (right - coupling @ step)[..., None])[..., 0],
            state.points + step[:-1].reshape(-1, 3),
            state.focal * float(np.exp(np.clip(step[-1], -0.2, 0.2))),
        )
    return state


def _coupling(lin: Linearised, w: np.ndarray) -> np.ndarray:
    """[K, 6, 3N + 1]: the normal equations' part between poses and the shared unknowns."""
    frames, count = w.shape
    out = np.zeros((frames, 6, 3 * count + 1))
    weighted = (w[..., None, None] * lin.pose).transpose(0, 1, 3, 2)
    out[:, :, :-1] = (weighted @ lin.point).transpose(0, 2, 1, 3).reshape(frames, 6, -1)
    out[:, :, -1] = np.einsum("kn,knap,kna->kp", w, lin.pose, lin.focal, optimize=True)
    return out


def _shared_normal(
    lin: Linearised, w: np.ndarray, state: _Rigid, prior: _Rigid, config: BundleConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of the shared unknowns (points, then log focal), priors included.

    Landmark errors of one frame are strongly correlated, so a prior is given the weight of
    one independent observation per frame and point times the number of key frames' root.
    """
    count = len(state.points)
    hessian = np.zeros((3 * count + 1, 3 * count + 1))
    rows = lin.point.transpose(1, 0, 2, 3).reshape(count, -1, 3)  # of both coordinates in all frames
    diagonal = (np.repeat(w.T, 2, 1)[..., None] * rows).transpose(0, 2, 1) @ rows
    strength = np.sqrt(len(w)) / config.shape_prior**2
    for n in range(count):
        hessian[3 * n : 3 * n + 3, 3 * n : 3 * n + 3] = diagonal[n] + np.eye(3) * strength
    cross = np.einsum("kn,knap,kna->np", w, lin.point, lin.focal, optimize=True).ravel()
    hessian[-1, :-1] = hessian[:-1, -1] = cross
    focal_strength = count * np.sqrt(len(w)) / config.focal_prior**2
    hessian[-1, -1] = np.einsum("kn,kna->", w, lin.focal**2) + focal_strength
    gradient = np.zeros(3 * count + 1)
    gradient[:-1] = np.einsum("kn,knap,kna->np", w, lin.point, lin.residual, optimize=True).ravel()
    gradient[:-1] += strength * (prior.points - state.points).ravel()
    gradient[-1] = np.einsum("kn,kna,kna->", w, lin.focal, lin.residual)
    gradient[-1] += focal_strength * np.log(prior.focal / state.focal)
    return hessian, gradient


def _pose_all(
    observed: np.ndarray, seen: np.ndarray, keys: np.ndarray, joint: _Rigid, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Unsmoothed poses [T, 6] and their information matrices [T, 6, 6] (zero where unseen)."""
    frames = np.arange(len(observed))
    poses = np.stack([np.interp(frames, keys, joint.poses[:, k]) for k in range(6)], 1)
    information = np.zeros((len(observed), 6, 6))
    for part in np.array_split(np.flatnonzero(seen), max(1, int(seen.sum()) // 512)):
        current = poses[part]
        for _ in range(8):
            lin = linearise(observed[part], current, joint.points, joint.focal)
            w = huber_weights(lin.residual, weights)
            block, right = pose_normal(lin, w)
            current = current + np.linalg.solve(block, right[..., None])[..., 0]
        poses[part], information[part] = current, block
    return poses, information


def triangulate_mesh(clip: ClipObservations, poses: np.ndarray, shape: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Neutral positions [468, 3] mm of all points: triangulated over frames, with `shape` [468, 3] as prior.

    poses: [T, 6] axis-angle and mm.
    """
    check_shape("poses", poses, len(clip), 6)
    check_shape("shape", shape, MESH_POINTS, 3)
    index = pick_keyframes(clip.seen, 200)
    rotation = Rotation.from_rotvec(poses[index, :3]).as_matrix()
    observed = clip.landmarks[index, :MESH_POINTS, :2] - np.array([camera.cx, camera.cy])
    ray = np.concatenate([observed / camera.focal, np.ones((*observed.shape[:2], 1))], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    across = np.eye(3) - ray[..., :, None] * ray[..., None, :]  # distance from the ray
    local = np.einsum("kji,knjl->knil", rotation, across)
    spread = 2.0  # mm, typical distance of a landmark from its ray
    hessian = np.einsum("knij,kjl->nil", local, rotation) / spread**2 / len(index) * np.sqrt(len(index))
    right = -np.einsum("knij,kj->ni", local, poses[index, 3:]) / spread**2 / len(index) * np.sqrt(len(index))
    prior = 1 / 16.0
    return np.linalg.solve(hessian + np.eye(3) * prior, (right + prior * shape)[..., None])[..., 0]
