"""Rigid poses, pinhole projection and the one pixel <-> grid convention.

Camera as in OpenCV: x right, y down, z forward; a pixel's centre has integer
coordinates; `grid` coordinates are those of `torch.nn.functional.grid_sample` with
`align_corners=True`, so -1 and 1 are the centres of the border pixels. Lengths are
millimetres of a head whose pupils are 63 mm apart.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..shapes import check_shape

_LONGEST_LEAP = 15.0  # mm that extrapolation may add to two plain steps


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera: focal length and principal point (cx, cy), all in pixels."""

    focal: float
    cx: float
    cy: float

    def matrix(self) -> np.ndarray:
        """[3, 3]: points [3] -> homogeneous pixels."""
        return np.array([[self.focal, 0, self.cx], [0, self.focal, self.cy], [0, 0, 1.0]])


@dataclass(frozen=True)
class Poses:
    """Head -> camera rigid motion of T frames: `X_cam = R(rotvec) X_head + trans`.

    rotvec: [T, 3] axis-angle in radians; trans: [T, 3] in mm.
    """

    rotvec: np.ndarray
    trans: np.ndarray

    def __len__(self) -> int:
        return len(self.rotvec)

    def __getitem__(self, index: int | slice | np.ndarray) -> Poses:
        return Poses(np.atleast_2d(self.rotvec[index]), np.atleast_2d(self.trans[index]))

    def matrices(self) -> np.ndarray:
        """[T, 4, 4] homogeneous head -> camera transforms."""
        return rigid_matrices(self.rotvec, self.trans)


def rotation_matrices(rotvec: np.ndarray) -> np.ndarray:
    """Axis-angle [T, 3] in radians -> rotations [T, 3, 3] (Rodrigues)."""
    check_shape("rotvec", rotvec, None, 3)
    angle = np.linalg.norm(rotvec, axis=1)[:, None, None]
    x, y, z = np.asarray(rotvec, np.float64).T
    zero = np.zeros_like(x)
    cross = np.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    first = np.sinc(angle / np.pi)  # sin(a) / a, also at 0
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2  # (1 - cos(a)) / a^2
    return np.asarray(np.eye(3) + first * cross + second * cross @ cross)


def rigid_matrices(rotvec: np.ndarray, trans: np.ndarray) -> np.ndarray:
    """[T, 3] axis-angle and [T, 3] translations -> [T, 4, 4] homogeneous matrices."""
    check_shape("trans", trans, len(rotvec), 3)
    out = np.zeros((len(rotvec), 4, 4))
    out[:, :3, :3] = rotation_matrices(rotvec)
    out[:, :3, 3] = trans
    out[:, 3, 3] = 1
    return out


def relative_transforms(poses: Poses, canonical: np.ndarray) -> np.ndarray:
    """Canonical camera -> observed camera, `T_o T_c^-1` (paper, GAMEM): [T, 4, 4].

    canonical: [4, 4] head -> camera in the canonical frame.
    """
    check_shape("canonical", canonical, 4, 4)
    return poses.matrices() @ np.linalg.inv(canonical)


def move_points(points: np.ndarray, transform: np.ndarray) -> np.ndarray:
    """Points [N, 3] under a rigid transform [4, 4]: [N, 3]."""
    check_shape("points", points, None, 3)
    check_shape("transform", transform, 4, 4)
    return np.asarray(points @ transform[:3, :3].T + transform[:3, 3])


def project(points: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Camera-space points [..., 3] -> pixels [..., 2].

    In NumPy and float64, as fits need it; `warp_to_observed` projects tensors on their device,
    with gradients. Tests hold the two together.
    """
    return points[..., :2] / points[..., 2:] * camera.focal + np.array([camera.cx, camera.cy])


def unproject(pixels: np.ndarray, depth: np.ndarray, camera: Intrinsics) -> np.ndarray:
    """Pixels [..., 2] at z-depth [...] -> camera-space points [..., 3]."""
    xy = (pixels - np.array([camera.cx, camera.cy])) / camera.focal
    return np.concatenate([xy, np.ones_like(xy[..., :1])], -1) * depth[..., None]


def pixel_rays(camera: Intrinsics, size: int) -> np.ndarray:
    """Directions [size, size, 3] in which the pixels of a square picture look; z is 1."""
    pixels = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).astype(np.float64)
    return unproject(pixels, np.ones((size, size)), camera)


def pixel_to_grid(pixels: Tensor, width: int, height: int) -> Tensor:
    """Pixel coordinates [..., 2] (x, y) -> grid_sample coordinates, align_corners=True."""
    size = pixels.new_tensor([width - 1, height - 1])
    return pixels / size * 2 - 1


@functools.lru_cache(64)
def pixel_lattice(width: int, height: int, device: torch.device | str = "cpu") -> Tensor:
    """[height, width, 2] float32 (x, y) coordinates of the pixel centres; made once, not to be changed."""
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack([x, y], -1)


def warp_to_observed(pixels: Tensor, depth: Tensor, transform: Tensor, camera: Intrinsics) -> Tensor:
    """Where canonical pixels land in observed frames: `D_o p_o = K T K^-1 D_c p_c`.

    pixels: [B, N, 2] canonical pixels; depth: [B, N] their canonical z-depth;
    transform: [B, 4, 4] canonical -> observed camera. Returns [B, N, 2] pixels.
    """
    _check_warp(pixels, transform)
    check_shape("depth", depth, *pixels.shape[:2])
    points = transform_points(transform, _back_project(pixels, depth, camera))
    return _project(points, camera)


def warp_to_canonical(
    pixels: Tensor, depth_map: Tensor, transform: Tensor, camera: Intrinsics, iterations: int = 3
) -> Tensor:
    """Where observed pixels lie in the canonical frame, given the canonical depth alone.

    The observed depth is a fixed point: carry the pixel at a guessed depth to the canonical
    camera, take the canonical surface point found there, and carry it back; its depth is the
    next guess. Each iteration takes two such steps and extrapolates them (Aitken's
    delta-squared), which converges where plain steps crawl: on slopes seen from the side.
    Tests hold the round trip to 0.5 px.

    pixels: [B, N, 2] observed pixels; depth_map: [H, W] canonical z-depth;
    transform: [B, 4, 4] canonical -> observed camera. Returns [B, N, 2] canonical pixels. Coordinates are kept apart, in planes [B, N]:
    small triples cost five times as much.
    """
    _check_warp(pixels, transform)
    check_shape("depth_map", depth_map, None, None)
    there, back = transform[..., None], torch.linalg.inv(transform)[..., None]  # [B, 4, 4, 1]
    u, v = (pixels[..., 0] - camera.cx) / camera.focal, (pixels[..., 1] - camera.cy) / camera.focal
    along = [back[:, row, 0] * u + back[:, row, 1] * v + back[:, row, 2] for row in range(3)]
    height, width = depth_map.shape
    scale = [2 * camera.focal / (width - 1), 2 * camera.focal / (height - 1)]
    start = [2 * camera.cx / (width - 1) - 1, 2 * camera.cy / (height - 1) - 1]

    def land(depth: Tensor) -> tuple[Tensor, Tensor]:
        """Slopes x / z and y / z, in the canonical camera, of what is seen at a depth."""
        x, y, z = (torch.addcmul(back[:, row, 3], along[row], depth) for row in range(3))
        return x / z, y / z

    def surface_depth(x: Tensor, y: Tensor) -> Tensor:
        """Depth, in the observed camera, of the canonical surface at slopes."""
        grid = torch.stack([x * scale[0] + start[0], y * scale[1] + start[1]], -1).reshape(1, 1, -1, 2)
        found = F.grid_sample(depth_map[None, None], grid, padding_mode="border", align_corners=True).reshape(x.shape)
        nearer = torch.addcmul(torch.addcmul(there[:, 2, 2], there[:, 2, 0], x), there[:, 2, 1], y)
        return torch.addcmul(there[:, 2, 3], found, nearer)

    depth = surface_depth(u, v)
    for _ in range(iterations):
        first = surface_depth(*land(depth))
        second = surface_depth(*land(first))
        step = first - depth
        bend = second - first - step
        leap = depth - step.square() / torch.where(bend.abs() < 1e-4, 1e-4, bend)
        depth = torch.where((bend.abs() >= 1e-4) & ((leap - second).abs() < _LONGEST_LEAP), leap, second)
    x, y = land(depth)
    return torch.stack([x * camera.focal + camera.cx, y * camera.focal + camera.cy], -1)


def _check_warp(pixels: Tensor, transform: Tensor) -> None:
    check_shape("pixels", pixels, len(transform), None, 2)
    check_shape("transform", transform, None, 4, 4)


def sample_map(values: Tensor, pixels: Tensor) -> Tensor:
    """Bilinear lookup of a map [H, W] at pixels [B, N, 2], border values outside: [B, N].

    Differentiable and on the tensors' device; `sampling.sample_bilinear` is for NumPy.
    """
    check_shape("values", values, None, None)
    check_shape("pixels", pixels, None, None, 2)
    height, width = values.shape
    grid = pixel_to_grid(pixels, width, height).reshape(1, 1, -1, 2)
    out = F.grid_sample(values[None, None], grid, padding_mode="border", align_corners=True)
    return out.reshape(pixels.shape[:-1])


def transform_points(transform: Tensor, points: Tensor) -> Tensor:
    """Apply [B, 4, 4] rigid transforms to points [B, N, 3]."""
    return points @ transform[:, :3, :3].transpose(1, 2) + transform[:, None, :3, 3]


def _back_project(pixels: Tensor, depth: Tensor, camera: Intrinsics) -> Tensor:
    x = (pixels[..., 0] - camera.cx) / camera.focal * depth
    y = (pixels[..., 1] - camera.cy) / camera.focal * depth
    return torch.stack([x, y, depth], -1)


def _project(points: Tensor, camera: Intrinsics) -> Tensor:
    scale = camera.focal / points[..., 2:]
    centre = points.new_tensor([camera.cx, camera.cy])
    return points[..., :2] * scale + centre
