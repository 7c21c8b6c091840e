"""Photometric refinement of the built-in tracker: poses that hold the skin still.

FaceMesh's landmarks follow the head, but with a bias that changes with pose and expression and
with jitter. The skin itself does not move on the skull above the mouth, so poses are
refined until the subject's own mesh, coloured with the clip's mean, looks like every frame.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..canonical.exposure import colour_samples
from ..canonical.space import mesh_triangles
from ..config import BundleConfig, PhotometricConfig
from ..facemesh import rigid_points
from ..geometry.camera import Poses
from ..geometry.rasterizer_cpu import rasterize
from .bundle import triangulate_mesh
from .least_squares import huber_weights, linearise, pick_keyframes, pose_normal
from .observations import ClipObservations
from .photometric import ColourProblem, FacePoints, refine
from .result import FitState, HeadTrack
from .surface import SurfacePoints

_POINTS = 600
_RASTER = 256  # pixels per side of the frontal view on which points are spread
_KEYFRAMES = 60


def align(
    head: HeadTrack, clip: ClipObservations, options: PhotometricConfig = PhotometricConfig(),
    bundle: BundleConfig = BundleConfig(),
) -> HeadTrack:  # fmt: skip
    """Refine the poses of `head`, one for each frame of the clip, and its mesh with them.

    bundle: says how much landmarks count beside colours.
    """
    rigid = rigid_points(head.mesh)
    observed = clip.centred(rigid)
    scale = bundle.information(clip.iod)

    def terms(state: FitState, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lin = linearise(observed[frames], state.poses, head.mesh[rigid], state.focal)
        weight = huber_weights(lin.residual, np.ones(len(rigid))) * scale
        return pose_normal(lin, weight)

    poses = np.concatenate([head.poses.rotvec, head.poses.trans], 1)
    start = FitState(poses, np.zeros(0), np.zeros((len(clip), 0)), head.camera.focal)
    problem = ColourProblem(clip, _face_points(head.mesh), pick_keyframes(clip.seen, _KEYFRAMES), terms)
    poses = refine(start, problem, options).poses
    mesh = triangulate_mesh(clip, poses, head.mesh, head.camera)
    return replace(head, poses=Poses(poses[:, :3], poses[:, 3:]), mesh=mesh)


def _face_points(mesh: np.ndarray) -> FacePoints:
    """Points on the skin above the mouth, spread evenly over the frontal view, without eyes and brows."""
    low, high = mesh[:, :2].min(0), mesh[:, :2].max(0)
    flat = (mesh[:, :2] - low) / (high - low).max() * (_RASTER - 1)
    triangles = mesh_triangles(flat)
    fragments = rasterize(flat, mesh[:, 2] - mesh[:, 2].min() + 100, triangles, _RASTER, _RASTER)
    columns, rows = colour_samples(mesh, flat, fragments.mask, _POINTS).astype(int).T
    points = SurfacePoints(
        triangles[fragments.face[rows, columns]], fragments.barycentric[rows, columns].astype(np.float64)
    )
    count = len(points)
    return FacePoints(
        points.positions(mesh),
        np.zeros((count, 3, 0)),
        points.normals(mesh, triangles),
        np.full((count, 3), 0.6),
        np.zeros((0, count, 3)),
        mesh[rigid_points(mesh)],
    )
