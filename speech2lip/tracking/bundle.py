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

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from ..config import BundleConfig
from ..facemesh import MESH_POINTS, rigid_points
from ..geometry.camera import Intrinsics, Poses, project
from .least_squares import (
    Linearised,
    huber_weights,
    linearise,
    measure_point_weights,
    pick_keyframes,
    pose_normal,
    procrustes,
    weak_perspective_poses,
)
from .observations import ClipObservations
from .result import HeadTrack
from .smoothing import smooth_poses


def track_head(clip: ClipObservations, config: BundleConfig = BundleConfig(), smooth: float = 1.0) -> HeadTrack:
    """Fit shape, focal length and poses to FaceMesh landmarks.

    smooth: factor on the measured pose noise (0 keeps raw poses).
    """
    landmarks, seen, centre = clip.landmarks, clip.seen, clip.centre
    keys = pick_keyframes(seen, config.keyframes)
    shape, scale, rotations = procrustes(landmarks[keys].astype(np.float64))
    rigid = rigid_points(shape)
    observed = landmarks[:, rigid, :2].astype(np.float64) - np.array(centre)
    focal = config.focal_guess * clip.side
    start = weak_perspective_poses(landmarks[keys].astype(np.float64), scale, rotations, shape, focal, centre)
    weights = np.ones(len(rigid))
    points = shape[rigid]
    params, focal_now = start, focal
    for _ in range(2):  # the second round weighs points by their measured residual
        params, points, focal_now = _adjust(
            observed[keys], params, points, shape[rigid], focal_now, focal, weights, config
        )
        weights = measure_point_weights(observed[keys] - _project_all(params, points, focal_now))
    raw, information = _pose_all(observed, seen, params, keys, points, focal_now, weights)
    smoothed, noise = smooth_poses(raw, information, seen, clip.segments, smooth)
    camera = Intrinsics(focal_now, float(centre[0]), float(centre[1]))
    mesh = triangulate_mesh(landmarks, seen, smoothed, shape, camera)
    mesh[rigid] = points
    error = observed[seen] - _project_all(smoothed[seen], points, focal_now)
    inlier = np.median(np.linalg.norm(error, axis=2)) * np.sqrt(2 / np.log(4))
    return HeadTrack(Poses(smoothed[:, :3], smoothed[:, 3:]), mesh, camera, float(inlier), noise)


def _project_all(params: np.ndarray, points: np.ndarray, focal: float) -> np.ndarray:
    """[K, N, 2] projections relative to the principal point."""
    camera_points = np.einsum("kij,nj->kni", Rotation.from_rotvec(params[:, :3]).as_matrix(), points)
    camera_points += params[:, None, 3:]
    return project(camera_points, Intrinsics(focal, 0.0, 0.0))


def _adjust(
    observed: np.ndarray, params: np.ndarray, points: np.ndarray, prior: np.ndarray, focal: float,
    focal_prior: float, weights: np.ndarray, config: BundleConfig,
) -> tuple[np.ndarray, np.ndarray, float]:  # fmt: skip
    """Joint Gauss-Newton over poses [K, 6], points [N, 3] and focal length."""
    count, size = len(points), 3 * len(points) + 1
    for _ in range(config.iterations):
        lin = linearise(observed, params, points, focal)
        w = huber_weights(lin.residual, weights)
        variance = max(float((w[..., None] * lin.residual**2).mean()), 1e-6)
        w = w / variance
        shared = np.zeros((len(params), 6, size))
        weighted = (w[..., None, None] * lin.pose).transpose(0, 1, 3, 2)
        shared[:, :, :-1] = (weighted @ lin.point).transpose(0, 2, 1, 3).reshape(len(params), 6, -1)
        shared[:, :, -1] = np.einsum("kn,knap,kna->kp", w, lin.pose, lin.focal, optimize=True)
        hessian, gradient = _shared_normal(lin, w, points, prior, focal, focal_prior, config)
        block, right = pose_normal(lin, w)
        eliminated = np.linalg.solve(block, shared)
        reduced = hessian - np.einsum("kpi,kpj->ij", shared, eliminated, optimize=True)
        step = cho_solve(cho_factor(reduced), gradient - np.einsum("kpi,kp->i", eliminated, right))
        params = params + np.linalg.solve(block, (right - shared @ step)[..., None])[..., 0]
        points = points + step[:-1].reshape(count, 3)
        focal = focal * float(np.exp(np.clip(step[-1], -0.2, 0.2)))
    return params, points, focal


def _shared_normal(
    lin: Linearised, w: np.ndarray, points: np.ndarray, prior: np.ndarray, focal: float, focal_prior: float,
    config: BundleConfig,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Normal equations of the shared unknowns (points, then log focal), priors included.

    Landmark errors of one frame are strongly correlated, so a prior is given the weight of
    one independent observation per frame and point times the number of key frames' root.
    """
    count = len(points)
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
    gradient[:-1] += strength * (prior - points).ravel()
    gradient[-1] = np.einsum("kn,kna,kna->", w, lin.focal, lin.residual)
    gradient[-1] += focal_strength * np.log(focal_prior / focal)
    return hessian, gradient


def _pose_all(
    observed: np.ndarray, seen: np.ndarray, key_params: np.ndarray, keys: np.ndarray, points: np.ndarray,
    focal: float, weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Unsmoothed poses [T, 6] and their information matrices [T, 6, 6] (zero where unseen)."""
    frames = np.arange(len(observed))
    params = np.stack([np.interp(frames, keys, key_params[:, k]) for k in range(6)], 1)
    information = np.zeros((len(observed), 6, 6))
    for part in np.array_split(np.flatnonzero(seen), max(1, int(seen.sum()) // 512)):
        current = params[part]
        for _ in range(8):
            lin = linearise(observed[part], current, points, focal)
            w = huber_weights(lin.residual, weights)
            block, right = pose_normal(lin, w)
            current = current + np.linalg.solve(block, right[..., None])[..., 0]
        params[part], information[part] = current, block
    return params, information


def triangulate_mesh(
    landmarks: np.ndarray, seen: np.ndarray, params: np.ndarray, shape: np.ndarray, camera: Intrinsics
) -> np.ndarray:
    """Neutral positions [468, 3] of all points: triangulated over frames, FaceMesh's average as prior."""
    index = pick_keyframes(seen, 200)
    rotation = Rotation.from_rotvec(params[index, :3]).as_matrix()
    observed = landmarks[index, :MESH_POINTS, :2] - np.array([camera.cx, camera.cy])
    ray = np.concatenate([observed / camera.focal, np.ones((*observed.shape[:2], 1))], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    across = np.eye(3) - ray[..., :, None] * ray[..., None, :]  # distance from the ray
    local = np.einsum("kji,knjl->knil", rotation, across)
    spread = 2.0  # mm, typical distance of a landmark from its ray
    hessian = np.einsum("knij,kjl->nil", local, rotation) / spread**2 / len(index) * np.sqrt(len(index))
    right = -np.einsum("knij,kj->ni", local, params[index, 3:]) / spread**2 / len(index) * np.sqrt(len(index))
    prior = 1 / 16.0
    return np.linalg.solve(hessian + np.eye(3) * prior, (right + prior * shape)[..., None])[..., 0]
