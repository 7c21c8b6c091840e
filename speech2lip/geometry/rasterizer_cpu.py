"""Z-buffer rasterizer on the CPU: mesh + camera -> face index, barycentrics, depth.

Vectorised over all candidate pixels of all triangles; exact up to float rounding.
Perspective-correct barycentrics, no back-face culling, no clipping (points must lie in
front of the camera, which heads do).
"""

from __future__ import annotations

import numpy as np

from .fragments import Fragments


def rasterize(pixels: np.ndarray, depth: np.ndarray, triangles: np.ndarray, width: int, height: int) -> Fragments:
    """Rasterize projected triangles; a pixel belongs to a triangle that covers its centre.

    pixels: [V, 2] projected vertices (x, y); depth: [V] camera z > 0;
    triangles: [F, 3] int vertex indices.
    """
    face = np.full(height * width, -1, np.int32)
    weights = np.zeros((height * width, 3), np.float32)
    zbuffer = np.zeros(height * width, np.float32)
    tri, x, y = _candidates(pixels, triangles, width, height)
    if len(tri):
        bary = _edge_functions(pixels[triangles], tri, x, y)
        inside = (bary >= -1e-9).all(1)
        tri, x, y, bary = tri[inside], x[inside], y[inside], bary[inside]
        inverse_z = 1 / depth[triangles[tri]]
        bary *= inverse_z
        z = 1 / bary.sum(1)
        bary *= z[:, None]
        index = y * width + x
        winner = _nearest(index, z, height * width)
        hit = index[winner]
        face[hit], weights[hit], zbuffer[hit] = tri[winner], bary[winner], z[winner]
    return Fragments(face.reshape(height, width), weights.reshape(height, width, 3), zbuffer.reshape(height, width))


def _candidates(
    pixels: np.ndarray, triangles: np.ndarray, width: int, height: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(triangle, x, y) of every pixel centre inside each triangle's bounding box."""
    corners = pixels[triangles]
    low = np.ceil(corners.min(1)).astype(np.int64).clip(0)
    high = np.floor(corners.max(1)).astype(np.int64)
    high = np.minimum(high, [width - 1, height - 1])
    extent = (high - low + 1).clip(0)
    count = extent[:, 0] * extent[:, 1]
    tri = np.repeat(np.arange(len(triangles)), count)
    offset = np.arange(len(tri)) - np.repeat(np.cumsum(count) - count, count)
    columns = extent[tri, 0]
    return tri, low[tri, 0] + offset % columns, low[tri, 1] + offset // columns


def _edge_functions(corners: np.ndarray, tri: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Screen-space barycentrics [N, 3]; negative outside; degenerate triangles give -1."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    inverse = np.where(np.abs(area) > 1e-12, 1 / np.where(area == 0, 1, area), 0)
    bx, by, cx, cy = ((p - a)[:, k] * inverse for p in (b, c) for k in (0, 1))
    dx, dy = x - a[tri, 0], y - a[tri, 1]
    second = dx * cy[tri] - dy * cx[tri]
    third = dy * bx[tri] - dx * by[tri]
    bary = np.stack([1 - second - third, second, third], 1)
    bary[inverse[tri] == 0] = -1
    return bary


def _nearest(index: np.ndarray, z: np.ndarray, size: int) -> np.ndarray:
    """Positions of the smallest z per index (the first of equals)."""
    best = np.full(size, np.inf)
    np.minimum.at(best, index, z)
    position = np.flatnonzero(z == best[index])
    return position[np.unique(index[position], return_index=True)[1]]
