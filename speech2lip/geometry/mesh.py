"""Vertex normals of triangle meshes."""

from __future__ import annotations

import numpy as np


def vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals [V, 3]; they point to the side that sees corners clockwise in
    an x-right, y-down, z-forward frame's image as counter-clockwise in the mesh's own order."""
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


def before_camera(mesh: np.ndarray) -> np.ndarray:
    """A mesh [V, 3] in head axes (mm), moved ten metres before a camera that its face looks into."""
    return mesh + np.array([0, 0, 1e4])
