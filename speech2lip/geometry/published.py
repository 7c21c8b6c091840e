"""Conventions of the published code, reproduced exactly and kept in this one place.

The published camera looks along -z with y up and counts in units of 100 mm; ours is OpenCV's
in millimetres. Its sampling grids are normalised by (size - 1), so that -1 and 1 are the
centres of the border pixels, but sampled as if they were the picture's edges.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .camera import Intrinsics, pixel_to_grid, project, transform_points, unproject

UNIT = 100.0  # mm per published unit of length
FLIP = np.array([1.0, -1.0, -1.0])  # published axes <-> OpenCV's


def pose_matrices(euler: np.ndarray, trans: np.ndarray, unit: float = UNIT) -> np.ndarray:
    """Published poses -> head -> camera transforms [T, 4, 4] in OpenCV axes.

    euler: [T, 3] radians (the published Rx Ry Rz); trans: [T, 3] in published units, z about
    -7; unit: length of one published unit in the result (1 keeps published units).
    """
    out = np.tile(np.eye(4), (len(euler), 1, 1))
    (ax, ay, az) = np.asarray(euler, np.float64).T
    sx, cx, sy, cy, sz, cz = np.sin(ax), np.cos(ax), np.sin(ay), np.cos(ay), np.sin(az), np.cos(az)
    one, zero = np.ones_like(ax), np.zeros_like(ax)
    about_x = _matrices([[one, zero, zero], [zero, cx, -sx], [zero, sx, cx]])
    about_y = _matrices([[cy, zero, -sy], [zero, one, zero], [sy, zero, cy]])
    about_z = _matrices([[cz, -sz, zero], [sz, cz, zero], [zero, zero, one]])
    out[:, :3, :3] = about_x @ about_y @ about_z
    out[:, :3, 3] = np.asarray(trans, np.float64) * FLIP * unit
    return out


def _matrices(rows: list[list[np.ndarray]]) -> np.ndarray:
    return np.stack([np.stack(row, -1) for row in rows], -2)


def canonical_grid(depth: np.ndarray, transform: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Published correspondences [H, W, 2]: where observed pixels lie in the canonical frame.

    depth: [H, W] observed z-depth; transform: [4, 4] observed -> canonical camera. The
    result is normalised by (W - 1, H - 1).
    """
    height, width = depth.shape
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    points = unproject(np.stack([x, y], -1).astype(np.float64), depth, camera).reshape(1, -1, 3)
    moved = transform_points(torch.from_numpy(transform)[None], torch.from_numpy(points))
    pixels = torch.from_numpy(project(moved.numpy()[0], camera).reshape(height, width, 2))
    return np.asarray(pixel_to_grid(pixels, width, height).numpy())


def half_pixel_grid(grid: Tensor, width: int, height: int) -> Tensor:
    """The align_corners=True grid that looks where the published code looks with `grid` [..., 2].

    align_corners=False takes -1 and 1 for the picture's edges: pixel = ((g + 1) size - 1) / 2.
    """
    size = grid.new_tensor([width, height])
    return pixel_to_grid(((grid + 1) * size - 1) / 2, width, height)
