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
from ...geometry.camera import Poses
from ...geometry.fragments import Rasterizer
from ...geometry.rasterizer_cpu import rasterize
from ..least_squares import (
    Alignment,
    kabsch,
    measure_point_weights,
    pick_keyframes,
    procrustes,
    robust_residual,
    weak_perspective_poses,
)
from ..observations import ClipObservations
from ..photometric import ColourProblem, FacePoints, refine
from ..result import FitState, HeadTrack, Surface
from ..smoothing import smooth_poses
from ..surface import SurfacePoints
from .bases import LandmarkBases
from .bfm import load_bfm
from .fit import Evidence, LandmarkFit
from .gnm import load_gnm
from .model import MorphableModel
from .template import find_mesh_points, render_template

_COLOUR_POINTS = 700
_TEXTURE_FRAMES = 40  # about so many key frames teach the texture


def track_morphable(
    model: MorphableModel, clip: ClipObservations, config: FitConfig = FitConfig(),
    colours: PhotometricConfig = PhotometricConfig(), smooth: float = 1.0, rasterizer: Rasterizer = rasterize,
) -> HeadTrack:  # fmt: skip
    """Fit `model` to a clip: landmarks, then colours.

    smooth: factor on the measured pose noise (0 keeps raw poses).
    """
    problem = _problem(model, clip, config, rasterizer)
    clip = problem.clip
    shared, problem = _joint(problem, _first(problem))
    state, information = _each(problem, _interpolated(shared, problem.keys, len(clip)))
    if colours.weight > 0:
        state = _refine(problem, state, config.textures, colours)
    poses, noise = smooth_poses(state.poses, information, clip.seen, clip.segments, smooth)
    return _result(problem, state.moved(poses, state.expression), noise)


@dataclass(frozen=True)
class _Problem:
    """One clip and one model. clip: seen where its landmarks are known, too; mesh: FaceMesh's points on the
    model; evidence: the landmarks of all frames; keys: frames [K] of the joint adjustment."""

    model: MorphableModel
    clip: ClipObservations
    mesh: SurfacePoints
    fit: LandmarkFit
    evidence: Evidence
    keys: np.ndarray

    def neutral(self, state: FitState) -> np.ndarray:
        """The subject's vertices [V, 3] without expression, mm."""
        return self.model.geometry(self.fit.bases.expand(state)[0], np.zeros(0))[0]


def _problem(model: MorphableModel, clip: ClipObservations, config: FitConfig, rasterizer: Rasterizer) -> _Problem:
    mesh = find_mesh_points(model, rasterizer)
    keys = pick_keyframes(clip.seen, config.keyframes)
    bases, observed = _landmarks(config, model, mesh, clip)
    clip = clip.seen_where(np.isfinite(observed).all((1, 2)))
    evidence = Evidence(observed, np.ones(bases.landmarks), clip.iod, config.focal_guess * clip.side)
    return _Problem(model, clip, mesh, LandmarkFit(bases, config), evidence, keys[clip.seen[keys]])


def _landmarks(
    config: FitConfig, model: MorphableModel, mesh: SurfacePoints, clip: ClipObservations
) -> tuple[LandmarkBases, np.ndarray]:
    """What `fit.landmarks` names: the model at its landmarks, and where they were observed, [T, N, 2] relative
    to the principal point (NaN where not found)."""
    kind = config.landmarks
    if kind == "mesh":  # the outline slides over the skin as the head turns, and inner lips hide each other
        steady = np.setdiff1d(np.arange(MESH_POINTS), FACE_OVAL)
        return LandmarkBases.at_points(model, mesh[steady], config.keep), clip.centred(steady)
    if model.keys is None:
        raise UserError(
            f"fit.landmarks={kind} needs a model with the 68 landmarks, {model.name} has none: use fit.landmarks=mesh"
        )
    bases = LandmarkBases.with_outline(model, model.keys, config.keep)
    if kind == "68":
        return bases, clip.centred(FROM_MESH)
    found = np.full((len(clip), 68, 2), np.nan)
    frames = np.flatnonzero(clip.seen)
    found[frames] = detect_68(clip.images(int(f)) for f in frames) - np.array(clip.centre)
    return bases, found


def _first(problem: _Problem) -> FitState:
    """The mean face in the key frames, posed by FaceMesh's own 3D points."""
    clouds, places = problem.clip.clouds(problem.keys), problem.mesh.positions(problem.model.mean)
    found = procrustes(clouds)
    rigid = rigid_points(found.shape)
    a, b = places[rigid] - places[rigid].mean(0), found.shape[rigid] - found.shape[rigid].mean(0)
    turn = kabsch(a, b)
    size = np.sqrt((a**2).sum() / (b**2).sum())
    guess = problem.evidence.focal
    alignment = Alignment(places, found.scale * size, found.rotations @ turn)
    return problem.fit.bases.initial(weak_perspective_poses(clouds, alignment, problem.clip.camera(guess)), guess)


def _joint(problem: _Problem, start: FitState) -> tuple[FitState, _Problem]:
    """The key frames' state, twice: the second time landmarks are weighed by their measured error, as they are
    from then on."""
    fit, evidence = problem.fit, problem.evidence.part(problem.keys)
    state = fit.joint(evidence, start)
    weights = measure_point_weights(evidence.observed - fit.bases.predict(state))
    state = fit.joint(replace(evidence, weights=weights), state)
    return state, replace(problem, evidence=replace(problem.evidence, weights=weights))


def _interpolated(state: FitState, keys: np.ndarray, frames: int) -> FitState:
    """Starting values of all frames between those of the key frames."""
    at = np.arange(frames)

    def between(values: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(at, keys, column) for column in values.T], 1)

    return state.moved(between(state.poses), between(state.expression))


def _each(problem: _Problem, state: FitState) -> tuple[FitState, np.ndarray]:
    """Every seen frame by itself: its state, and the information [T, 6, 6] of its pose (zero where unseen)."""
    frames = np.flatnonzero(problem.clip.seen)
    solved, known = problem.fit.each(problem.evidence.part(frames), state.part(frames))
    poses, expression = state.poses.copy(), state.expression.copy()
    information = np.zeros((len(poses), 6, 6))
    poses[frames], expression[frames], information[frames] = solved.poses, solved.expression, known
    return state.moved(poses, expression), information


def _refine(problem: _Problem, state: FitState, textures: int, colours: PhotometricConfig) -> FitState:
    """Poses and expressions that also hold the colours of the skin still."""

    def terms(current: FitState, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return problem.fit.local_terms(problem.evidence.part(frames), current)

    keys = problem.keys[:: max(1, len(problem.keys) // _TEXTURE_FRAMES)]
    points = _face_points(problem, problem.neutral(state), textures)
    return refine(state, ColourProblem(problem.clip, points, keys, terms), colours)


def _face_points(problem: _Problem, neutral: np.ndarray, textures: int) -> FacePoints:
    """Points on this subject's face, whose vertices are `neutral` [V, 3], at which colours are compared."""
    model, mesh = problem.model, problem.mesh
    points = _colour_points(model, mesh)
    upper = mesh[rigid_points(mesh.positions(neutral))]
    local = model.at(points)
    return FacePoints(
        points.positions(neutral),
        problem.fit.bases.reduced_expression(local).transpose(1, 2, 0).astype(np.float64),
        points.normals(neutral, model.triangles),
        local.texture_mean / 255,
        local.texture[:textures].astype(np.float64) / 255,
        neutral[model.keys.rigid] if model.keys is not None else upper.positions(neutral),
    )


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


def _result(problem: _Problem, state: FitState, noise: np.ndarray) -> HeadTrack:
    """What was found: a state of all frames with smooth poses, and the measured noise [6] of the raw ones."""
    model, bases, seen = problem.model, problem.fit.bases, problem.clip.seen
    identity, expression = bases.expand(state)
    neutral = problem.neutral(state)
    return HeadTrack(
        poses=Poses(state.poses[:, :3], state.poses[:, 3:]),
        mesh=problem.mesh.positions(neutral),
        camera=problem.clip.camera(state.focal),
        residual=robust_residual(problem.evidence.observed[seen] - bases.predict(state.part(seen))),
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
