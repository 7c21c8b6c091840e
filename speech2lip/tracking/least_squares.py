"""Jacobians of projections, robust weights, and closed-form first poses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from ..facemesh import LANDMARKS, MESH_POINTS, rigid_points
from ..geometry.camera import Intrinsics, project
from ..shapes import check_shape

PUPIL_DISTANCE = 63.0
_IRISES = (468, 473)


def pick_keyframes(seen: np.ndarray, count: int) -> np.ndarray:
    """Indices [K] of at most `count` frames, spread evenly over those that are `seen` [T]."""
    check_shape("seen", seen, None)
    index = np.flatnonzero(seen)
    return index[np.unique(np.linspace(0, len(index) - 1, min(count, len(index))).astype(int))]


@dataclass(frozen=True)
class Alignment:
    """A shape [N, 3] in mm laid on K clouds of pixels: mm per pixel `scale` [K], `rotations` [K, 3, 3] head -> camera."""

    shape: np.ndarray
    scale: np.ndarray
    rotations: np.ndarray


def procrustes(clouds: np.ndarray) -> Alignment:
    """Generalised Procrustes of FaceMesh's own 3D points [K, 478, 3], in pixels.

    The shape is their mean [468, 3] in mm (median over frames, faced to the camera), whose
    pupils are 63 mm apart.
    """
    check_shape("clouds", clouds, None, LANDMARKS, 3)
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
    return Alignment((reference * factor)[:MESH_POINTS], factor / size, rotations @ upright.T)


def kabsch(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation R [3, 3] with R @ source ~ target, of points [N, 3] around their means (Kabsch 1976)."""
    check_shape("source", source, len(target), 3)
    check_shape("target", target, None, 3)
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


def weak_perspective_poses(clouds: np.ndarray, alignment: Alignment, camera: Intrinsics) -> np.ndarray:
    """Poses [K, 6] (axis-angle, translation in mm) of an aligned shape, as seen from afar.

    clouds: [K, 478, 3] pixels that it was aligned with.
    """
    scale, rotations = alignment.scale, alignment.rotations
    check_shape("clouds", clouds, len(scale), LANDMARKS, 3)
    depth = camera.focal * scale
    turned = np.einsum("kij,nj->kni", rotations, alignment.shape)
    offset = clouds[:, :MESH_POINTS, :2].mean(1) - np.array([camera.cx, camera.cy])
    xy = offset * scale[:, None] - turned[:, :, :2].mean(1)
    return np.concatenate([Rotation.from_matrix(rotations).as_rotvec(), xy, depth[:, None]], 1)


def left_jacobian(rotvec: np.ndarray) -> np.ndarray:
    """[K, 3, 3]: change of the left perturbation of exp(rotvec) with rotvec [K, 3] in radians."""
    check_shape("rotvec", rotvec, None, 3)
    angle = np.linalg.norm(rotvec, axis=1).clip(1e-8)[:, None, None]
    cross = skew(rotvec)
    return np.eye(3) + (1 - np.cos(angle)) / angle**2 * cross + (angle - np.sin(angle)) / angle**3 * cross @ cross


def turn_jacobian(turned: np.ndarray, rotvec: np.ndarray) -> np.ndarray:
    """[K, N, 3, 3]: change of rotated points [K, N, 3] with the axis-angle [K, 3] that rotated them."""
    return -skew(turned) @ left_jacobian(rotvec)[:, None]


def row_products(camera: np.ndarray, right: np.ndarray) -> np.ndarray:
    """camera [K, N, 2, 3] @ right [K, 3, 3], as few products of large matrices."""
    return (camera.reshape(len(camera), -1, 3) @ right).reshape(camera.shape)


def by_turn(camera: np.ndarray, turned: np.ndarray, rotvec: np.ndarray) -> np.ndarray:
    """camera [K, N, 2, 3] @ `turn_jacobian`, [K, N, 2, 3]: a row times its skew matrix is a cross product."""
    return row_products(np.cross(turned[:, :, None], camera), left_jacobian(rotvec))


def camera_jacobian(points: np.ndarray, focal: float) -> np.ndarray:
    """[..., 2, 3]: change of a pinhole projection with camera-space points [..., 3]."""
    x, y, z = np.moveaxis(points, -1, 0)
    out = np.zeros((*x.shape, 2, 3))
    out[..., 0, 0] = out[..., 1, 1] = focal / z
    out[..., 0, 2], out[..., 1, 2] = -focal * x / z**2, -focal * y / z**2
    return out


def skew(v: np.ndarray) -> np.ndarray:
    """Cross product matrices [..., 3, 3] of vectors [..., 3]: skew(v) @ x = v x x."""
    out = np.zeros((*v.shape[:-1], 3, 3))
    out[..., 0, 1], out[..., 0, 2], out[..., 1, 2] = -v[..., 2], v[..., 1], -v[..., 0]
    return out - np.swapaxes(out, -1, -2)


@dataclass(frozen=True)
class Linearised:
    """Residuals [K, N, 2] in pixels (observed - projected) and Jacobians of the projection by
    pose [K, N, 2, 6], point [K, N, 2, 3] and log focal [K, N, 2]."""

    residual: np.ndarray
    pose: np.ndarray
    point: np.ndarray
    focal: np.ndarray


def linearise(observed: np.ndarray, params: np.ndarray, points: np.ndarray, focal: float) -> Linearised:
    """The projection of a rigid shape, linearised at its poses.

    observed: [K, N, 2] pixels relative to the principal point; params: poses [K, 6]
    (axis-angle, mm); points: [N, 3] mm in head axes; focal: px.
    """
    check_shape("observed", observed, len(params), len(points), 2)
    check_shape("params", params, None, 6)
    check_shape("points", points, None, 3)
    rotation = Rotation.from_rotvec(params[:, :3]).as_matrix()
    turned = np.einsum("kij,nj->kni", rotation, points)
    seen = turned + params[:, None, 3:]
    by_camera = camera_jacobian(seen, focal)
    predicted = project(seen, Intrinsics(focal, 0.0, 0.0))
    by_pose = np.concatenate([by_turn(by_camera, turned, params[:, :3]), by_camera], -1)
    by_point = row_products(by_camera, rotation)
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


def measure_point_weights(error: np.ndarray) -> np.ndarray:
    """Inverse variances [N] of the points' errors [K, N, 2], scaled to a median of 1."""
    check_shape("error", error, None, None, 2)
    variance = np.median((error**2).sum(2), 0) + 1e-4
    return np.asarray(np.median(variance) / variance)


def robust_residual(error: np.ndarray) -> float:
    """Root mean square length of errors [K, N, 2] as it is without outliers: from the median of
    Rayleigh-distributed lengths."""
    check_shape("error", error, None, None, 2)
    return float(np.median(np.linalg.norm(error, axis=2)) * np.sqrt(2 / np.log(4)))
