"""Head tracking with a morphable model (`face.tracker: bfm` or `gnm`): landmarks, then colours.

Gives what the built-in tracker gives (poses, camera, the 468-point neutral mesh), and the
model's dense surface and coefficients besides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...config import FitConfig, PhotometricConfig
from ...detection.landmarks68 import FROM_MESH, detect_68
from ...errors import UserError
from ...facemesh import EYES, FACE_OVAL, LIPS_INNER, MESH_POINTS, rigid_points
from ...geometry.camera import Intrinsics, Poses
from ...geometry.fragments import Rasterizer
from ...geometry.mesh import before_camera, outward_normals
from ...geometry.rasterizer_cpu import rasterize
from ..least_squares import kabsch, measure_point_weights, pick_keyframes, procrustes, weak_perspective_poses
from ..observations import ClipObservations
from ..photometric import FacePoints, refine
from ..result import FitState, HeadTrack, Surface
from ..smoothing import smooth_poses
from ..surface import SurfacePoints
from .bfm import load_bfm
from .fit import LandmarkFit
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
    model: MorphableModel, clip: ClipObservations, config: FitConfig = FitConfig(),
    colours: PhotometricConfig = PhotometricConfig(), smooth: float = 1.0, rasterizer: Rasterizer = rasterize,
) -> HeadTrack:  # fmt: skip
    """Fit `model` to a clip: landmarks, then colours.

    smooth: factor on the measured pose noise (0 keeps raw poses).
    """
    problem = _problem(model, clip, config, rasterizer)
    clip, fit, frames = problem.clip, problem.fit, len(clip.seen)
    guess = config.focal_guess * clip.side
    first = _first_poses(clip.landmarks[problem.keys], problem.mesh.positions(model.mean), guess, clip.centre)
    shared, problem = _joint(problem, fit.initial(first, guess), guess)
    state, information = _each(problem, _interpolated(shared, problem.keys, frames))
    if colours.weight > 0:
        state = _refine(problem, state, config, colours)
    poses, noise = smooth_poses(state.poses, information, clip.seen, clip.segments, smooth)
    return _result(problem, state, poses, noise)


@dataclass(frozen=True)
class _Problem:
    """One clip and one model. clip: seen where its landmarks are known, too; mesh: FaceMesh's points on the
    model; observed: [T, N, 2] landmarks relative to the principal point; keys: frames of the joint
    adjustment; weights: [N] of landmarks; iod: distance between the eyes in pixels."""

    model: MorphableModel
    clip: ClipObservations
    mesh: SurfacePoints
    fit: LandmarkFit
    observed: np.ndarray
    keys: np.ndarray
    weights: np.ndarray
    iod: float


def _problem(model: MorphableModel, clip: ClipObservations, config: FitConfig, rasterizer: Rasterizer) -> _Problem:
    mesh = find_mesh_points(model, rasterizer)
    keys = pick_keyframes(clip.seen, config.keyframes)
    chosen = _landmarks(config.landmarks, model, mesh, clip)
    clip = clip.seen_where(np.isfinite(chosen.observed).all((1, 2)))
    fit = LandmarkFit(model, chosen.points, None if chosen.points is not None else model.keys, config)
    weights = np.ones(fit.landmarks)
    return _Problem(model, clip, mesh, fit, chosen.observed, keys[clip.seen[keys]], weights, clip.iod)


def _landmarks(kind: str, model: MorphableModel, mesh: SurfacePoints, clip: ClipObservations) -> Landmarks:
    centre = np.array(clip.centre)
    if kind == "mesh":  # the outline slides over the skin as the head turns, and inner lips hide each other
        steady = np.setdiff1d(np.arange(MESH_POINTS), FACE_OVAL)
        return Landmarks(clip.landmarks[:, steady, :2] - centre, mesh[steady])
    if model.keys is None:
        raise UserError(
            f"fit.landmarks={kind} needs a model with the 68 landmarks, {model.name} has none: use fit.landmarks=mesh"
        )
    if kind == "68":
        return Landmarks(clip.landmarks[:, FROM_MESH, :2] - centre, None)
    found = np.full((len(clip.seen), 68, 2), np.nan)
    frames = np.flatnonzero(clip.seen)
    found[frames] = detect_68(clip.images(int(f)) for f in frames) - centre
    return Landmarks(found, None)


def _first_poses(clouds: np.ndarray, places: np.ndarray, focal: float, centre: tuple[float, float]) -> np.ndarray:
    """Poses [K, 6] of the model's mean face from FaceMesh's own 3D points [K, 478, 3]."""
    shape, scale, rotations = procrustes(clouds.astype(np.float64))
    rigid = rigid_points(shape)
    a, b = places[rigid] - places[rigid].mean(0), shape[rigid] - shape[rigid].mean(0)
    turn = kabsch(a, b)
    size = np.sqrt((a**2).sum() / (b**2).sum())
    return weak_perspective_poses(clouds.astype(np.float64), scale * size, rotations @ turn, places, focal, centre)


def _joint(problem: _Problem, start: FitState, guess: float) -> tuple[FitState, _Problem]:
    """Twice: the second time landmarks are weighed by their measured error, as they are from then on."""
    fit, observed, iod = problem.fit, problem.observed[problem.keys], problem.iod
    state = fit.joint(observed, start, problem.weights, iod, guess)
    weighed = replace(problem, weights=measure_point_weights(observed - fit.predict(state)))
    return fit.joint(observed, state, weighed.weights, iod, guess), weighed


def _interpolated(state: FitState, keys: np.ndarray, frames: int) -> FitState:
    """Starting values of all frames between those of the key frames."""
    at = np.arange(frames)

    def between(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(at, keys, column) for column in values.T], 1)

    return FitState(between(state.poses), state.identity, between(state.expression), state.focal)


def _each(problem: _Problem, state: FitState) -> tuple[FitState, np.ndarray]:
    """Every seen frame by itself: its state, and the information [T, 6, 6] of its pose."""
    seen = problem.clip.seen
    frames = np.flatnonzero(seen)
    part = FitState(state.poses[frames], state.identity, state.expression[frames], state.focal)
    solved, known = problem.fit.each(problem.observed[frames], part, problem.weights, problem.iod)
    poses, expression = state.poses.copy(), state.expression.copy()
    information = np.zeros((len(seen), 6, 6))
    poses[frames], expression[frames], information[frames] = solved.poses, solved.expression, known
    return FitState(poses, state.identity, expression, state.focal), information


def _refine(problem: _Problem, state: FitState, config: FitConfig, colours: PhotometricConfig) -> FitState:
    """Poses and expressions that also hold the colours of the skin still."""
    face = _face_points(problem, state, config.textures)

    def terms(current: FitState, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return problem.fit.local_terms(current, problem.observed[frames], problem.weights, problem.iod)

    keys = problem.keys[:: max(1, len(problem.keys) // 40)]
    return refine(state, problem.clip, face, keys, terms, colours)


def _face_points(problem: _Problem, state: FitState, textures: int) -> FacePoints:
    """Points on this subject's face at which colours are compared."""
    model, mesh, fit = problem.model, problem.mesh, problem.fit
    identity, _ = fit.expand(state)
    neutral = model.geometry(identity, np.zeros(0))[0]
    points = _colour_points(model, mesh)
    upper = mesh[rigid_points(mesh.positions(neutral))]
    rigid = neutral[model.keys.rigid] if model.keys is not None else upper.positions(neutral)
    local = model.at(points)
    return FacePoints(
        points.positions(neutral), fit.reduced_expression(local).transpose(1, 2, 0).astype(np.float64),
        points.directions(outward_normals(before_camera(neutral), model.triangles)), local.texture_mean / 255,
        local.texture[:textures].astype(np.float64) / 255, rigid,
    )  # fmt: skip


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


def _result(problem: _Problem, state: FitState, poses: np.ndarray, noise: np.ndarray) -> HeadTrack:
    """What was found, with smooth poses [T, 6] and the measured noise [6] of the raw ones."""
    model, fit, seen, centre = problem.model, problem.fit, problem.clip.seen, problem.clip.centre
    identity, expression = fit.expand(state)
    neutral = model.geometry(identity, np.zeros(0))[0]
    final = FitState(poses[seen], state.identity, state.expression[seen], state.focal)
    error = np.linalg.norm(problem.observed[seen] - fit.predict(final), axis=2)
    return HeadTrack(
        poses=Poses(poses[:, :3], poses[:, 3:]),
        mesh=problem.mesh.positions(neutral),
        camera=Intrinsics(state.focal, float(centre[0]), float(centre[1])),
        residual=float(np.median(error) * np.sqrt(2 / np.log(4))),
        noise=noise,
        surface=Surface(
            model.name, neutral.astype(np.float32), model.triangles, identity, expression.astype(np.float32)
        ),
    )


def load_model(tracker: str, config: FitConfig) -> MorphableModel:
    """The model of `face.tracker`: "bfm" or "gnm"."""
    if tracker == "gnm":
        return load_gnm()
    return load_bfm(config.identities, config.expressions, config.textures)
