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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solveh_banded
from scipy.spatial.transform import Rotation

from ..geometry import Intrinsics, Poses, project
from .topology import LANDMARKS, MESH_POINTS, rigid_points

PUPIL_DISTANCE = 63.0
_IRISES = (468, 473)


@dataclass(frozen=True)
class TrackerConfig:
    """keyframes: frames of the joint adjustment; iterations: Gauss-Newton steps of it;
    shape_prior: standard deviation (mm) of the shape around FaceMesh's average;
    focal_prior: standard deviation of log focal length around `focal_guess` image sides;
    smooth: factor on the measured pose noise (0 keeps raw poses)."""

    keyframes: int = 240
    iterations: int = 12
    shape_prior: float = 4.0
    focal_prior: float = 0.3
    focal_guess: float = 1.6
    smooth: float = 1.0


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


def track_head(
    landmarks: np.ndarray, seen: np.ndarray, segments: Sequence[tuple[int, int]], centre: tuple[float, float],
    source_side: float, config: TrackerConfig = TrackerConfig(),
) -> HeadTrack:  # fmt: skip
    """Fit shape, focal length and poses to FaceMesh landmarks.

    landmarks: [T, 478, 3] crop pixels; seen: [T] bool; segments: [start, end) ranges over
    which poses may be smoothed (no cut, no long gap inside); centre: principal point;
    source_side: longer side of the source image in crop pixels, the scale of the focal prior.
    """
    keys = pick_keyframes(seen, config.keyframes)
    shape, scale, rotations = procrustes(landmarks[keys].astype(np.float64))
    rigid = rigid_points(shape)
    observed = landmarks[:, rigid, :2].astype(np.float64) - np.array(centre)
    focal = config.focal_guess * source_side
    start = weak_perspective_poses(landmarks[keys].astype(np.float64), scale, rotations, shape, focal, centre)
    weights = np.ones(len(rigid))
    points = shape[rigid]
    params, focal_now = start, focal
    for _ in range(2):  # the second round weighs points by their measured residual
        params, points, focal_now = _adjust(
            observed[keys], params, points, shape[rigid], focal_now, focal, weights, config
        )
        weights = measure_point_weights(observed[keys] - _project_all(params, points, focal_now))
    every = _pose_all(observed, seen, params, keys, points, focal_now, weights)
    raw, information = every
    smooth, noise = smooth_poses(raw, information, seen, segments, config.smooth)
    camera = Intrinsics(focal_now, float(centre[0]), float(centre[1]))
    mesh = triangulate_mesh(landmarks, seen, smooth, shape, camera)
    mesh[rigid] = points
    error = observed[seen] - _project_all(smooth[seen], points, focal_now)
    inlier = np.median(np.linalg.norm(error, axis=2)) * np.sqrt(2 / np.log(4))
    return HeadTrack(Poses(smooth[:, :3], smooth[:, 3:]), mesh, camera, float(inlier), noise)


def pick_keyframes(seen: np.ndarray, count: int) -> np.ndarray:
    index = np.flatnonzero(seen)
    return index[np.unique(np.linspace(0, len(index) - 1, min(count, len(index))).astype(int))]


def procrustes(clouds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Generalised Procrustes of FaceMesh's own 3D points [K, 478, 3].

    Returns the mean shape [468, 3] in mm (median over frames, faced to the camera), mm per
    pixel [K] and rotations [K, 3, 3] head -> camera.
    """
    stable = rigid_points(np.median(clouds, 0))
    centred = clouds - clouds[:, stable].mean(1, keepdims=True)
    size = np.sqrt((centred[:, stable] ** 2).sum((1, 2)))
    reference = centred[len(clouds) // 2, :, :] / size[len(clouds) // 2]
    rotations = np.broadcast_to(np.eye(3), (len(clouds), 3, 3)).copy()
    for _ in range(6):
        for k, cloud in enumerate(centred):
            rotations[k] = kabsch(reference[stable], cloud[stable])
        reference = np.median(np.einsum("kji,knj->kni", rotations, centred / size[:, None, None]), 0)
    upright = _frontal(reference)
    reference = reference @ upright.T
    pupils = np.linalg.norm(reference[_IRISES[0]] - reference[_IRISES[1]])
    factor = PUPIL_DISTANCE / pupils
    return (reference * factor)[:MESH_POINTS], factor / size, rotations @ upright.T


def kabsch(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation R with R @ source ~ target."""
    u, _, vt = np.linalg.svd(target.T @ source)
    return np.asarray(u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt)


def _frontal(shape: np.ndarray) -> np.ndarray:
    """Rotation that makes the shape face the camera: eyes level, eye-to-chin plane upright."""
    x = shape[263] - shape[33]
    down = shape[152] - (shape[263] + shape[33]) / 2
    x /= np.linalg.norm(x)
    y = down - x * (down @ x)
    y /= np.linalg.norm(y)
    return np.stack([x, y, np.cross(x, y)])


def weak_perspective_poses(
    clouds: np.ndarray, scale: np.ndarray, rotations: np.ndarray, shape: np.ndarray, focal: float,
    centre: tuple[float, float],
) -> np.ndarray:  # fmt: skip
    """Weak-perspective poses [K, 6] (axis-angle, translation)."""
    depth = focal * scale
    turned = np.einsum("kij,nj->kni", rotations, shape)
    offset = clouds[:, :MESH_POINTS, :2].mean(1) - np.array(centre)
    xy = offset * scale[:, None] - turned[:, :, :2].mean(1)
    return np.concatenate([Rotation.from_matrix(rotations).as_rotvec(), xy, depth[:, None]], 1)


def _project_all(params: np.ndarray, points: np.ndarray, focal: float) -> np.ndarray:
    """[K, N, 2] projections relative to the principal point."""
    camera_points = np.einsum("kij,nj->kni", Rotation.from_rotvec(params[:, :3]).as_matrix(), points)
    camera_points += params[:, None, 3:]
    return project(camera_points, Intrinsics(focal, 0.0, 0.0))


def left_jacobian(rotvec: np.ndarray) -> np.ndarray:
    """[K, 3, 3]: change of the left perturbation of exp(rotvec) with rotvec."""
    angle = np.linalg.norm(rotvec, axis=1).clip(1e-8)[:, None, None]
    cross = skew(rotvec)
    return np.eye(3) + (1 - np.cos(angle)) / angle**2 * cross + (angle - np.sin(angle)) / angle**3 * cross @ cross


def turn_jacobian(turned: np.ndarray, rotvec: np.ndarray) -> np.ndarray:
    """[K, N, 3, 3]: change of rotated points [K, N, 3] with the axis-angle [K, 3] that rotated them."""
    return -skew(turned) @ left_jacobian(rotvec)[:, None]


def camera_jacobian(points: np.ndarray, focal: float) -> np.ndarray:
    """[..., 2, 3]: change of a pinhole projection with camera-space points [..., 3]."""
    x, y, z = np.moveaxis(points, -1, 0)
    out = np.zeros((*x.shape, 2, 3))
    out[..., 0, 0] = out[..., 1, 1] = focal / z
    out[..., 0, 2], out[..., 1, 2] = -focal * x / z**2, -focal * y / z**2
    return out


def skew(v: np.ndarray) -> np.ndarray:
    out = np.zeros((*v.shape[:-1], 3, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    return out - np.swapaxes(out, -1, -2)


@dataclass(frozen=True)
class Linearised:
    """Residuals [K, N, 2] (observed - projected) and Jacobians of the projection by pose
    [K, N, 2, 6], point [K, N, 2, 3] and log focal [K, N, 2]."""

    residual: np.ndarray
    pose: np.ndarray
    point: np.ndarray
    focal: np.ndarray


def linearise(observed: np.ndarray, params: np.ndarray, points: np.ndarray, focal: float) -> Linearised:
    rotation = Rotation.from_rotvec(params[:, :3]).as_matrix()
    turned = np.einsum("kij,nj->kni", rotation, points)
    seen = turned + params[:, None, 3:]
    by_camera = camera_jacobian(seen, focal)
    predicted = project(seen, Intrinsics(focal, 0.0, 0.0))
    by_turn = by_camera @ turn_jacobian(turned, params[:, :3])
    by_pose = np.concatenate([by_turn, by_camera], -1)
    by_point = by_camera @ rotation[:, None]
    return Linearised(observed - predicted, by_pose, by_point, predicted)


def pose_normal(lin: Linearised, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations [K, 6, 6], [K, 6] of poses under landmark weights [K, N]."""
    rows = lin.pose.reshape(len(weights), -1, 6)  # of both coordinates of all points
    block = (np.repeat(weights, 2, 1)[..., None] * rows).transpose(0, 2, 1) @ rows
    return block, np.einsum("kn,knap,kna->kp", weights, lin.pose, lin.residual, optimize=True)


def huber_weights(residual: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Huber weights [K, N] on top of the points' own weights [N]."""
    size = np.linalg.norm(residual, axis=2) * np.sqrt(weights)
    limit = 2.0 * np.median(size) + 1e-9
    return weights * np.minimum(1, limit / size.clip(1e-9))


def _adjust(
    observed: np.ndarray, params: np.ndarray, points: np.ndarray, prior: np.ndarray, focal: float,
    focal_prior: float, weights: np.ndarray, config: TrackerConfig,
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
    config: TrackerConfig,
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


def measure_point_weights(error: np.ndarray) -> np.ndarray:
    """Inverse variances [N] of the points' errors [K, N, 2], scaled to a median of 1."""
    variance = np.median((error**2).sum(2), 0) + 1e-4
    return np.asarray(np.median(variance) / variance)


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


def smooth_poses(
    raw: np.ndarray, information: np.ndarray, seen: np.ndarray, segments: Sequence[tuple[int, int]], factor: float
) -> tuple[np.ndarray, np.ndarray]:
    """MAP poses [T, 6] under white accelerations, and the measured noise [6].

    For white noise of variance s2, the fourth difference has variance 70 s2 and a smooth
    motion almost none; what second differences hold beyond 6 s2 is real acceleration.
    """
    noise, acceleration = _difference_variances(raw, seen, segments)
    covariance = np.linalg.inv(information[seen]).diagonal(axis1=1, axis2=2).mean(0)
    trust = 1 / np.maximum(np.median(noise / covariance), 1e-12)
    out = raw.copy()
    for start, end in segments:
        if end - start >= 3 and seen[start:end].any() and factor > 0:
            weights = information[start:end] * trust / factor
            out[start:end] = solve_smooth(raw[start:end], weights, 1 / acceleration)
    return out, np.sqrt(noise)


def _difference_variances(
    raw: np.ndarray, seen: np.ndarray, segments: Sequence[tuple[int, int]]
) -> tuple[np.ndarray, np.ndarray]:
    second, fourth = [], []
    for start, end in segments:
        inside = raw[start:end].copy()
        inside[~seen[start:end]] = np.nan
        second.append(np.diff(inside, 2, axis=0))
        fourth.append(np.diff(inside, 4, axis=0))
    d2, d4 = np.concatenate(second), np.concatenate(fourth)
    if np.isfinite(d4).all(1).sum() < 8:
        return np.full(6, 1e-12), np.full(6, 1.0)
    noise = np.nanmean(_clipped_square(d4), 0) / 70 + 1e-12
    return noise, np.maximum(np.nanmean(_clipped_square(d2), 0) - 6 * noise, 0.02 * noise)


def _clipped_square(values: np.ndarray) -> np.ndarray:
    """Squares, limited to ten times their median so that single outliers do not count."""
    square = values**2
    return np.minimum(square, 10 * np.nanmedian(square, axis=0) + 1e-12)


def solve_smooth(raw: np.ndarray, weights: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
    """min over p: sum_t (p_t - raw_t)' W_t (p_t - raw_t) + sum_t stiffness . (second diff p)_t^2."""
    frames = len(raw)
    band = np.zeros((13, 6 * frames))  # lower form: band[d, j] = A[j + d, j]
    for a in range(6):
        for b in range(a, 6):
            band[b - a, a::6] += weights[:, b, a]
    stencil = np.array([1.0, -2.0, 1.0])
    for offset in range(3):
        for first in range(3 - offset):
            value = stencil[first] * stencil[first + offset]
            for c in range(6):
                columns = 6 * np.arange(first, frames - 2 + first) + c
                band[6 * offset, columns] += value * stiffness[c]
    right = np.einsum("tab,tb->ta", weights, np.where(weights.any((1, 2))[:, None], raw, 0)).ravel()
    return np.asarray(solveh_banded(band, right, lower=True)).reshape(frames, 6)


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


def bridge(seen: np.ndarray, shots: Sequence[tuple[int, int]], max_gap: int) -> list[tuple[int, int]]:
    """Segments [start, end) of continuous tracking: within a shot, gaps of up to `max_gap` frames bridged."""
    segments = []
    for start, end in shots:
        inside = np.flatnonzero(seen[start:end]) + start
        if len(inside):
            breaks = np.flatnonzero(np.diff(inside) > max_gap + 1)
            starts = [inside[0], *inside[breaks + 1]]
            ends = [*(inside[breaks] + 1), inside[-1] + 1]
            segments += [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]
    return segments


def fill_landmarks(landmarks: np.ndarray, seen: np.ndarray, segments: Sequence[tuple[int, int]]) -> np.ndarray:
    """Landmarks [T, 478, C] with bridged gaps interpolated linearly."""
    assert landmarks.shape[1] == LANDMARKS
    out = landmarks.copy()
    for start, end in segments:
        known = np.flatnonzero(seen[start:end]) + start
        for t in np.flatnonzero(~seen[start:end]) + start:
            after = known[np.searchsorted(known, t)]
            before = known[np.searchsorted(known, t) - 1]
            blend = (t - before) / (after - before)
            out[t] = (1 - blend) * landmarks[before] + blend * landmarks[after]
    return out
