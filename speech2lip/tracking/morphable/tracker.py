"""Head tracking with a morphable model (`face.tracker: bfm` or `gnm`): landmarks, then colours.

Gives what the built-in tracker gives (poses, camera, the 468-point neutral mesh), and the
model's dense surface and coefficients besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from ...config import FitConfig
from ...detection.landmarks68 import FROM_MESH, detect_68
from ...errors import UserError
from ...facemesh import EYE_OUTER, EYES, FACE_OVAL, LIPS_INNER, MESH_POINTS, rigid_points
from ...geometry.camera import Intrinsics, Poses
from ...geometry.fragments import Rasterizer
from ...geometry.mesh import outward_normals
from ...geometry.rasterizer_cpu import rasterize
from ..least_squares import kabsch, measure_point_weights, pick_keyframes, procrustes, weak_perspective_poses
from ..photometric import FacePoints, Images, PhotometricOptions, refine
from ..result import FitState, HeadTrack, Surface
from ..smoothing import smooth_poses
from ..surface import SurfacePoints
from .bfm import load_bfm
from .fit import FitOptions, LandmarkFit
from .gnm import load_gnm
from .model import MorphableModel
from .template import find_mesh_points, render_template

_COLOUR_POINTS = 700


@dataclass(frozen=True)
class Landmarks:
    """What the fit compares: observed [T, N, 2] relative to the principal point; points: their
    places on the model, or None for the model's own 68 with outline."""

    observed: np.ndarray
    points: SurfacePoints | None


def track_morphable(
    model: MorphableModel, landmarks: np.ndarray, seen: np.ndarray, segments: Sequence[tuple[int, int]],
    centre: tuple[float, float], source_side: float, images: Images, config: FitConfig, smooth: float, rasterizer: Rasterizer = rasterize,
) -> HeadTrack:  # fmt: skip
    """Fit `model` to a clip.

    landmarks: [T, 478, 3] FaceMesh's, in crop pixels; seen: [T]; segments: ranges of
    continuous tracking; centre: principal point; source_side: longer side of the source
    image in crop pixels, the scale of the focal prior; images: the stored crops.
    """
    mesh = find_mesh_points(model, rasterizer)
    places = mesh.positions(model.mean)
    keys = pick_keyframes(seen, config.keyframes)
    chosen = _landmarks(config.landmarks, model, mesh, places, landmarks, seen, centre, images)
    seen = seen & np.isfinite(chosen.observed).all((1, 2))
    keys = keys[seen[keys]]
    iod = float(
        np.median(np.linalg.norm(landmarks[seen][:, EYE_OUTER[1], :2] - landmarks[seen][:, EYE_OUTER[0], :2], axis=1))
    )
    options = FitOptions(config.identity_weight, config.expression_weight, config.noise)
    fit = LandmarkFit(model, chosen.points, None if chosen.points is not None else model.keys, options)
    guess = 1.6 * source_side
    start = fit.initial(_first_poses(landmarks[keys], places, guess, centre), guess)
    shared, weights = _joint(fit, chosen.observed[keys], start, iod, guess)
    every = _interpolated(shared, keys, len(seen))
    state, information = _each(fit, chosen.observed, every, seen, weights, iod)
    if config.photometric > 0:
        state = _refine(
            model, mesh, fit, state, chosen.observed, seen, segments, keys, weights, iod, centre, images, config
        )
    poses, noise = smooth_poses(state.poses, information, seen, segments, smooth)
    return _result(model, mesh, fit, state, poses, noise, chosen.observed, seen, centre)


def _landmarks(
    kind: str, model: MorphableModel, mesh: SurfacePoints, places: np.ndarray, landmarks: np.ndarray, seen: np.ndarray,
    centre: tuple[float, float], images: Images,
) -> Landmarks:  # fmt: skip
    if kind == "mesh":  # the outline slides over the skin as the head turns, and inner lips hide each other
        steady = np.setdiff1d(np.arange(MESH_POINTS), FACE_OVAL)
        return Landmarks(landmarks[:, steady, :2] - np.array(centre), mesh[steady])
    if model.keys is None:
        raise UserError(
            f"fit.landmarks={kind} needs a model with the 68 landmarks, {model.name} has none: use fit.landmarks=mesh"
        )
    if kind == "68":
        return Landmarks(landmarks[:, FROM_MESH, :2] - np.array(centre), None)
    found = np.full((len(seen), 68, 2), np.nan)
    frames = np.flatnonzero(seen)
    found[frames] = detect_68(images(int(f)) for f in frames) - np.array(centre)
    return Landmarks(found, None)


def _first_poses(clouds: np.ndarray, places: np.ndarray, focal: float, centre: tuple[float, float]) -> np.ndarray:
    """Poses [K, 6] of the model's mean face from FaceMesh's own 3D points [K, 478, 3]."""
    shape, scale, rotations = procrustes(clouds.astype(np.float64))
    rigid = rigid_points(shape)
    a, b = places[rigid] - places[rigid].mean(0), shape[rigid] - shape[rigid].mean(0)
    turn = kabsch(a, b)
    size = np.sqrt((a**2).sum() / (b**2).sum())
    return weak_perspective_poses(clouds.astype(np.float64), scale * size, rotations @ turn, places, focal, centre)


def _joint(
    fit: LandmarkFit, observed: np.ndarray, start: FitState, iod: float, guess: float
) -> tuple[FitState, np.ndarray]:
    """Twice: the second time landmarks are weighed by their measured error."""
    weights = np.ones(fit.landmarks)
    state = fit.joint(observed, start, weights, iod, guess)
    weights = measure_point_weights(observed - fit.predict(state))
    return fit.joint(observed, state, weights, iod, guess), weights


def _interpolated(state: FitState, keys: np.ndarray, frames: int) -> FitState:
    """Starting values of all frames between those of the key frames."""
    at = np.arange(frames)

    def between(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(at, keys, column) for column in values.T], 1)

    return FitState(between(state.poses), state.identity, between(state.expression), state.focal)


def _each(
    fit: LandmarkFit, observed: np.ndarray, state: FitState, seen: np.ndarray, weights: np.ndarray, iod: float
) -> tuple[FitState, np.ndarray]:
    frames = np.flatnonzero(seen)
    part = FitState(state.poses[frames], state.identity, state.expression[frames], state.focal)
    solved, known = fit.each(observed[frames], part, weights, iod)
    poses, expression = state.poses.copy(), state.expression.copy()
    information = np.zeros((len(seen), 6, 6))
    poses[frames], expression[frames], information[frames] = solved.poses, solved.expression, known
    return FitState(poses, state.identity, expression, state.focal), information


def _refine(
    model: MorphableModel, mesh: SurfacePoints, fit: LandmarkFit, state: FitState, observed: np.ndarray, seen: np.ndarray,
    segments: Sequence[tuple[int, int]], keys: np.ndarray, weights: np.ndarray, iod: float, centre: tuple[float, float],
    images: Images, config: FitConfig,
) -> FitState:  # fmt: skip
    identity, _ = fit.expand(state)
    neutral = model.geometry(identity, np.zeros(0))[0]
    points = _colour_points(model, mesh)
    upper = mesh[rigid_points(mesh.positions(neutral))]
    rigid = neutral[model.keys.rigid] if model.keys is not None else upper.positions(neutral)
    local = model.at(points)
    normals = points.positions(outward_normals(neutral + np.array([0, 0, 1e4]), model.triangles))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    face = FacePoints(
        points.positions(neutral), fit.reduced_expression(local).transpose(1, 2, 0).astype(np.float64), normals,
        local.texture_mean / 255, local.texture[: config.textures].astype(np.float64) / 255, rigid,
    )  # fmt: skip

    def terms(current: FitState, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return fit.local_terms(current, observed[frames], weights, iod)

    options = PhotometricOptions(config.photometric, config.laplacian)
    return refine(state, face, images, centre, segments, seen, keys[:: max(1, len(keys) // 40)], iod, terms, options)


def _colour_points(model: MorphableModel, mesh: SurfacePoints) -> SurfacePoints:
    """Points spread evenly over the face as it shows in the template, but for eyes and the mouth's inside."""
    view = render_template(model, 0, 0)
    spots = np.einsum("nkc,nk->nc", view.pixels[mesh.vertices], mesh.weights).round().astype(np.int32)
    area = np.zeros(view.fragments.face.shape, np.uint8)
    cv2.fillConvexPoly(area, cv2.convexHull(spots), 1)
    for hole in (EYES[:16], EYES[16:], LIPS_INNER):
        cv2.fillConvexPoly(area, cv2.convexHull(spots[hole]), 0)
    rows, columns = np.nonzero((view.fragments.face >= 0) & (area > 0))
    pick = np.linspace(0, len(rows) - 1, min(_COLOUR_POINTS, len(rows))).astype(int)
    rows, columns = rows[pick], columns[pick]
    corners = model.triangles[view.fragments.face[rows, columns]]
    return SurfacePoints(corners, view.fragments.barycentric[rows, columns].astype(np.float64))


def _result(
    model: MorphableModel, mesh: SurfacePoints, fit: LandmarkFit, state: FitState, poses: np.ndarray, noise: np.ndarray,
    observed: np.ndarray, seen: np.ndarray, centre: tuple[float, float],
) -> HeadTrack:  # fmt: skip
    identity, expression = fit.expand(state)
    neutral = model.geometry(identity, np.zeros(0))[0]
    final = FitState(poses[seen], state.identity, state.expression[seen], state.focal)
    error = np.linalg.norm(observed[seen] - fit.predict(final), axis=2)
    return HeadTrack(
        Poses(poses[:, :3], poses[:, 3:]), mesh.positions(neutral), Intrinsics(state.focal, float(centre[0]), float(centre[1])),
        float(np.median(error) * np.sqrt(2 / np.log(4))), noise,
        Surface(model.name, neutral.astype(np.float32), model.triangles, identity, expression.astype(np.float32)),
    )  # fmt: skip


def load_model(tracker: str, config: FitConfig) -> MorphableModel:
    """The model of `face.tracker`: "bfm" or "gnm"."""
    if tracker == "gnm":
        return load_gnm()
    return load_bfm(config.identities, config.expressions, config.textures)
