"""FaceMesh's 468 points on any morphable model: look at its template and read them back.

The template is rendered from several sides with our rasterizer, FaceMesh finds its points in
the pictures, and every point's triangle and barycentric weights are read at its pixel. No
landmark list is needed, whatever the model's topology.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from ...detection.detect import FaceMesh
from ...errors import UserError
from ...facemesh import MESH_POINTS
from ...geometry.camera import Intrinsics, project
from ...geometry.fragments import Fragments, Rasterizer
from ...geometry.mesh import outward_normals
from ...geometry.rasterizer_cpu import rasterize
from ..surface import SurfacePoints
from .model import MorphableModel

_VIEWS = ((0, 0), (-12, 0), (12, 0), (-25, 0), (25, 0), (0, -12), (0, 12))  # degrees of yaw and pitch
_SIZE = 512
_FACING = 0.25  # least cosine between a point's normal and the line of sight for a view to count


@dataclass(frozen=True)
class View:
    """A rendered template: picture [S, S, 3] uint8, what each pixel shows, projected vertices
    [V, 2] and the cosine [V] of their normals with the line of sight."""

    picture: np.ndarray
    fragments: Fragments
    pixels: np.ndarray
    facing: np.ndarray


def find_mesh_points(model: MorphableModel, rasterizer: Rasterizer = rasterize) -> SurfacePoints:
    """The 468 points of FaceMesh on the model's mean face.

    Each view gives a place on the surface; the place nearest to the points' median over the
    views that see it from the front is taken. UserError where no view shows a face.
    """
    mesh = FaceMesh(static=True)
    corners, weights, places, trust = [], [], [], []
    for yaw, pitch in _VIEWS:
        view = render_template(model, yaw, pitch, rasterizer)
        found = mesh(view.picture)
        if found is None:
            continue
        vertices, bary = _read_back(view, model.triangles, found[:MESH_POINTS, :2])
        corners.append(vertices)
        weights.append(bary)
        places.append(np.einsum("nkc,nk->nc", model.mean[vertices], bary))
        trust.append((view.facing[vertices] * bary).sum(1))
    mesh.close()
    if len(places) < 3:
        raise UserError(
            f"FaceMesh sees a face in only {len(places)} of {len(_VIEWS)} views of the {model.name} model's mean head: the model's "
            "file does not hold a head in the expected axes; get it again"
        )
    place, facing = np.stack(places), np.stack(trust)
    usable = (facing > _FACING) | (facing >= np.sort(facing, axis=0)[-2])  # at least the two most frontal views
    median = np.nanmedian(np.where(usable[..., None], place, np.nan), axis=0)
    distance = np.where(usable, np.linalg.norm(place - median, axis=2), np.inf)
    best = distance.argmin(0)
    every = np.arange(MESH_POINTS)
    return SurfacePoints(np.stack(corners)[best, every], np.stack(weights)[best, every])


def render_template(
    model: MorphableModel, yaw: float, pitch: float, rasterizer: Rasterizer = rasterize, size: int = _SIZE
) -> View:
    """The model's mean head, lit from the front and above, turned by degrees of yaw and pitch."""
    rotation = Rotation.from_euler("yx", (yaw, pitch), degrees=True).as_matrix()
    centre = (model.mean.max(0) + model.mean.min(0)) / 2
    turned = (model.mean - centre) @ rotation.T
    extent = float(np.ptp(turned[:, :2], axis=0).max())
    camera = Intrinsics(1.9 * size, (size - 1) / 2, (size - 1) / 2)
    points = turned + np.array([0, 0, camera.focal * extent / (0.85 * size) + extent / 2])
    pixels = project(points, camera)
    fragments = rasterizer(pixels, points[:, 2], model.triangles, size, size)
    normals = outward_normals(points, model.triangles)
    facing = -(normals * points).sum(1) / np.linalg.norm(points, axis=1)
    light = np.array([-0.3, -0.5, -0.8]) / np.linalg.norm([0.3, 0.5, 0.8])
    shade = 0.45 + 0.6 * np.clip(normals @ light, 0, 1)
    colour = fragments.interpolate(model.triangles, model.texture_mean * shade[:, None])
    picture = np.where(fragments.mask[..., None], colour, 110.0).clip(0, 255).astype(np.uint8)
    return View(picture, fragments, pixels, facing)


def _read_back(view: View, triangles: np.ndarray, found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corner vertices [N, 3] and weights [N, 3] of what lies at pixels [N, 2]; beside the head, of the nearest pixel on it."""
    size = len(view.fragments.face)
    nearest = distance_transform_edt(~view.fragments.mask, return_distances=False, return_indices=True)
    column, row = np.round(found).astype(int).clip(0, size - 1).T
    row, column = nearest[:, row, column]
    corners = triangles[view.fragments.face[row, column]]
    on_head = np.abs(found - np.stack([column, row], 1)).max(1) < 0.75
    weights = view.fragments.barycentric[row, column].astype(np.float64)
    exact = _barycentric(view.pixels[corners], found)
    inside = on_head & (exact > -0.5).all(
        1
    )  # the landmark's own sub-pixel place, where its pixel's triangle reaches that far
    weights[inside] = exact[inside].clip(0) / exact[inside].clip(0).sum(1, keepdims=True)
    return corners, weights


def _barycentric(corners: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Planar barycentric weights [N, 3] of points [N, 2] in triangles [N, 3, 2]."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    matrix = np.stack([b - a, c - a], 2)
    determinant = np.linalg.det(matrix)
    flat = np.abs(determinant) < 1e-9
    matrix[flat] = np.eye(2)
    two = np.linalg.solve(matrix, (points - a)[..., None])[..., 0]
    out = np.concatenate([1 - two.sum(1, keepdims=True), two], 1)
    out[flat] = -1
    return out
