"""Canonical space: its frame, depth, masks, lip box, and the warp into it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.spatial import Delaunay

from ..facemesh import (
    LANDMARKS,
    LIPS,
    MESH_POINTS,
    eye_openness,
    interocular,
    mouth_opening,
)
from ..geometry.camera import Intrinsics, Poses, project, relative_transforms, unproject
from ..geometry.fragments import Rasterizer
from ..geometry.rasterizer_cpu import rasterize
from ..shapes import check_shape
from ..subject.outline import swept_corners, swept_width
from ..subject.records import Box


def choose_canonical(landmarks: np.ndarray, usable: np.ndarray, rotvec: np.ndarray, sharpness: np.ndarray) -> int:
    """Index of the frame that is most frontal, sharp, open-eyed and closed-mouthed.

    landmarks: [T, 478, 2]; usable: [T] bool; rotvec: [T, 3]; sharpness: [T], any unit.
    Each criterion is a rank in 0..1 among the usable frames, so none needs a unit.
    """
    check_shape("landmarks", landmarks, None, LANDMARKS, 2)
    check_shape("rotvec", rotvec, len(landmarks), 3)
    scale = interocular(landmarks).clip(1e-6)
    away = np.linalg.norm(rotvec - np.median(rotvec[usable], 0), axis=1)
    away += 0.5 * np.linalg.norm(rotvec[:, :2], axis=1)
    criteria = (-away, sharpness, np.minimum(eye_openness(landmarks), np.median(eye_openness(landmarks)[usable])),
                -mouth_opening(landmarks) / scale)  # fmt: skip
    score = np.zeros(len(landmarks))
    for weight, values in zip((2.0, 1.0, 1.0, 2.0), criteria, strict=True):
        score += weight * (np.searchsorted(np.sort(values[usable]), values) / max(usable.sum(), 1)).clip(0, 1)
    return int(np.flatnonzero(usable)[score[usable].argmax()])


def canonical_depth(
    mesh: np.ndarray, pose: np.ndarray, camera: Intrinsics, size: int, triangles: np.ndarray | None = None,
    rasterizer: Rasterizer = rasterize,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Depth map [size, size] float32 (mm) of the posed mesh, and the mask [size, size] it covers.

    mesh: [468, 3] of FaceMesh, or a model's vertices with their triangles [F, 3]; pose:
    [4, 4] head -> camera. Outside the mesh the depth of the nearest
    covered pixel continues, smoothed, so that chin, ears and neck have a sensible start
    for the learnable depth.
    """
    points = mesh @ pose[:3, :3].T + pose[:3, 3]
    pixels = project(points, camera)
    faces = mesh_triangles(pixels) if triangles is None else triangles
    fragments = rasterizer(pixels, points[:, 2], faces, size, size)
    covered = fragments.mask
    rows, columns = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    extended = gaussian_filter(fragments.depth[rows, columns], size / 64)
    away = distance_transform_edt(~covered)
    blend = np.clip(away / (size / 64), 0, 1)
    depth = (1 - blend) * fragments.depth[rows, columns] + blend * extended
    return depth.astype(np.float32), covered


def mesh_triangles(pixels: np.ndarray) -> np.ndarray:
    """Triangles [F, 3] over the projected points [468, 2] (eyes and mouth closed)."""
    return np.asarray(Delaunay(pixels[:MESH_POINTS]).simplices)


def to_canonical(
    landmarks: np.ndarray, poses: Poses, mesh: np.ndarray, canonical: np.ndarray, camera: Intrinsics
) -> np.ndarray:
    """Carry observed landmarks [T, K, 2] of mesh points [K, 3] into the canonical view [T, K, 2].

    Each point is lifted to the depth that its neutral mesh point has in that frame's pose.
    """
    depth = np.einsum("tj,kj->tk", poses.matrices()[:, 2, :3], mesh) + poses.trans[:, 2:]
    back = canonical @ np.linalg.inv(poses.matrices())
    points = unproject(landmarks, depth, camera)
    moved = np.einsum("tij,tkj->tki", back[:, :3, :3], points) + back[:, None, :3, 3]
    return project(moved, camera)


@dataclass(frozen=True)
class LipRegion:
    """box: lip box in canonical pixels; mask: [size, size] float32, 1 where the generated
    mouth replaces the picture, falling to 0 inside the box."""

    box: Box
    mask: np.ndarray


def lip_region(mouth: np.ndarray, nose_y: float, size: int, margin: float, feather: float) -> LipRegion:
    """The region that lips and chin sweep over the clip, with margin and a soft edge.

    mouth: [T, K, 2] canonical landmarks of lips and chin; nose_y: y below the nose that the
    region must not cross; margin and feather: as shares of the lips' swept width.
    """
    check_shape("mouth", mouth, None, None, 2)
    low, high = np.percentile(mouth, [1, 99], axis=0)
    corners, width = swept_corners(mouth), swept_width(mouth)
    hull = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(corners.round().astype(np.int32)), 1)
    outside = distance_transform_edt(hull == 0)
    soft = max(feather * width, 2.0)
    reach = margin * width
    mask = np.clip((reach + soft - outside) / soft, 0, 1)
    rows = np.arange(size)[:, None]
    limit = min(nose_y, float(low[: len(LIPS), 1].min()) - 1)
    mask *= np.clip((rows - limit) / max(soft * 0.6, 2.0) + 1, 0, 1)
    chin = float(high[:, 1].max()) + 0.4 * reach  # below it neck and clothes begin, which move on their own
    mask *= np.clip((chin + soft - rows) / soft, 0, 1)
    mask = mask * mask * (3 - 2 * mask)
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    ys, xs = np.nonzero(mask > 1 / 512)
    left, top = int(xs.min()), int(ys.min())
    box = Box(left, top, int(xs.max()) + 1 - left, int(ys.max()) + 1 - top)
    return LipRegion(box, mask.astype(np.float32))


def lip_lattice(box: Box, size: tuple[int, int]) -> np.ndarray:
    """Canonical pixels [h, w, 2] of a lip image's samples: its pixel areas tile the lip box."""
    width, height = size
    x = box.left + (np.arange(width) + 0.5) * box.width / width - 0.5
    y = box.top + (np.arange(height) + 0.5) * box.height / height - 0.5
    return np.stack(np.meshgrid(x, y), -1)


def project_canonical(
    pixels: np.ndarray, depth: np.ndarray, poses: Poses, canonical: np.ndarray, camera: Intrinsics
) -> np.ndarray:
    """Canonical pixels [N, 2] at depth [N] -> where they lie in every frame: [T, N, 2]."""
    points = unproject(pixels, depth, camera)
    transform = relative_transforms(poses, canonical)
    return project(np.einsum("tij,nj->tni", transform[:, :3, :3], points) + transform[:, None, :3, 3], camera)


def region_size(spots: np.ndarray, margin: int) -> int:
    """Side of the square, a multiple of 16, that holds points [T, N, 2] of any one frame with a margin."""
    return int(np.ceil((np.ptp(spots, axis=1).max() + 2 * margin) / 16) * 16)
