"""Vertex normals of triangle meshes."""

from __future__ import annotations

import numpy as np

from ..shapes import check_shape

_FAR = 1e4  # mm


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3]; they point to the side that sees corners clockwise in
    an x-right, y-down, z-forward frame's image as counter-clockwise in the mesh's own order.

    vertices: [V, 3]; triangles: [F, 3] vertex indices.
    """
    check_shape("vertices", vertices, None, 3)
    check_shape("triangles", triangles, None, 3)
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    facet = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for axis in range(3):
        for corner in range(3):
            normals[:, axis] += np.bincount(triangles[:, corner], facet[:, axis], len(vertices))
    return normals / np.linalg.norm(normals, axis=1, keepdims=True).clip(1e-12)


def outward_normals(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Unit normals [V, 3] of camera-space vertices that point out of the head, whatever the triangles' order.

    The side is decided once, by the vertices nearest to the camera, which face it.
    """
    normals = vertex_normals(points, triangles)
    front = points[:, 2] < np.percentile(points[:, 2], 20)
    return normals if (normals[front, 2] < 0).mean() > 0.5 else -normals


def head_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Outward unit normals [V, 3] of a head in its own axes (mm): as from a camera far in front of it."""
    return outward_normals(vertices + np.array([0, 0, _FAR]), triangles)
