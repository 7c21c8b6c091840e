"""Photometric refinement: poses and expressions that make the lit model look like the frames.

After the landmarks, every frame is compared in colour at points spread over the face. The
model's texture (100 components where it has them, then the clip's own mean residual) is
shared; nine spherical harmonics per channel light each frame. Texture and light are linear
and solved in turn; poses and expressions are Gauss-Newton steps on image gradients, in
batches of consecutive frames that a Laplacian over time holds smooth at the vertices that
expressions do not move.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice

import cv2
import numpy as np
from scipy.linalg import solveh_banded
from scipy.spatial.transform import Rotation

from ..background import ordered_map
from ..config import PhotometricConfig
from ..geometry.camera import Intrinsics, project
from ..geometry.published import FLIP
from ..geometry.sampling import sample_bilinear
from ..progress import bar
from ..shapes import check_shape
from .least_squares import by_turn, camera_jacobian, row_products, turn_jacobian
from .observations import ClipObservations
from .result import FitState
from .surface import sh_basis

_BATCH = 64  # frames
_MARGIN = 2  # frames of the neighbouring batch that take part in the smoothness of one


@dataclass(frozen=True)
class FacePoints:
    """Points on the model at which colours are compared.

    mean: [N, 3] neutral places of this subject (identity included); expression: [N, 3, E];
    normals: [N, 3] outward, in head axes; colour: [N, 3] unlit, 0..1; texture: [X, N, 3];
    rigid: [R, 3] places of points that expressions do not move.
    """

    mean: np.ndarray
    expression: np.ndarray
    normals: np.ndarray
    colour: np.ndarray
    texture: np.ndarray
    rigid: np.ndarray


LandmarkTerms = Callable[[FitState, np.ndarray], tuple[np.ndarray, np.ndarray]]  # normal equations of some frames


@dataclass(frozen=True)
class ColourProblem:
    """What is refined: points of the face; keys: frames [K] from which texture is learned;
    landmark_terms: the landmarks' share of the normal equations, which stays."""

    clip: ClipObservations
    points: FacePoints
    keys: np.ndarray
    landmark_terms: LandmarkTerms


@dataclass(frozen=True)
class _Batch:
    """Consecutive frames [first, end) and those solved with them, margins included."""

    first: int
    end: int
    frames: np.ndarray


def refine(state: FitState, problem: ColourProblem, options: PhotometricConfig) -> FitState:
    """Improve poses and expressions of all seen frames, batch by batch."""
    clip, keys = problem.clip, problem.keys
    check_shape("poses", state.poses, len(clip), 6)
    sampler = _Sampler(clip, options.blur)
    colour = _learn_texture(state.part(keys), problem.points, sampler, keys, options)
    stiffness = options.laplacian * _pose_metric(problem.points.rigid, state.poses[keys])
    scene = _Scene(problem, replace(problem.points, colour=colour), sampler, stiffness, options)
    poses, expression = state.poses.copy(), state.expression.copy()
    meter = bar("alignment", sum(end - start for start, end in clip.segments))
    for batch, pictures in _loaded(state, scene):
        current = state.part(batch.frames).moved(poses[batch.frames], expression[batch.frames])
        for _ in range(options.rounds):
            current = _round(current, batch.frames, pictures, scene)
        poses[batch.frames], expression[batch.frames] = current.poses, current.expression
        meter.update(batch.end - batch.first)
    meter.close()
    return state.moved(poses, expression)


def _batches(segments: Sequence[tuple[int, int]]) -> list[_Batch]:
    return [
        _Batch(first, end, np.arange(max(first - _MARGIN, start), min(end + _MARGIN, stop)))
        for start, stop in segments
        for first, end in ((k, min(k + _BATCH, stop)) for k in range(start, stop, _BATCH))
    ]


def _loaded(state: FitState, scene: _Scene) -> Iterator[tuple[_Batch, list[_Picture]]]:
    """Batches with their pictures around the points, which threads cut out one batch ahead."""
    batches = _batches(scene.problem.clip.segments)

    def places() -> Iterator[tuple[int, np.ndarray]]:
        for batch in batches:
            yield from zip(batch.frames.tolist(), _pixels(state.part(batch.frames), scene.points), strict=True)

    ahead = _BATCH + 2 * _MARGIN
    with closing(ordered_map(lambda place: scene.sampler.load(*place), places(), ahead=ahead)) as pictures:
        for batch in batches:
            yield batch, list(islice(pictures, len(batch.frames)))


@dataclass(frozen=True)
class _Scene:
    """What every batch is solved with; points: in the subject's own colours; stiffness: [6, 6]."""

    problem: ColourProblem
    points: FacePoints
    sampler: _Sampler
    stiffness: np.ndarray
    options: PhotometricConfig


def _round(state: FitState, frames: np.ndarray, pictures: list[_Picture], scene: _Scene) -> FitState:
    """One Gauss-Newton step of a batch: light first, then poses (coupled over time) and expressions."""
    normal, right = scene.problem.landmark_terms(state, frames)
    where = _project(state, scene.points)
    look = [scene.sampler(p, w) for p, w in zip(pictures, where.pixels, strict=True)]
    observed, slope = (np.stack([item[k] for item in look]) for k in (0, 1))
    predicted = _relight(scene.points.colour, where, observed)
    residual = (observed - predicted).reshape(len(frames), -1)
    jacobian = (slope @ where.jacobian).reshape(len(frames), residual.shape[1], -1)
    weight = _robust(residual, np.repeat(where.visible, 3, 1)) * scene.options.weight
    weighted = jacobian * weight[..., None]
    normal = normal + weighted.transpose(0, 2, 1) @ jacobian
    right = right - (weighted * residual[..., None]).sum(1)  # the picture moves under the points, not the colours
    unseen = ~scene.problem.clip.seen[frames]
    normal[unseen, :6] = 0  # frames without a face follow their neighbours
    normal[unseen, :, :6] = 0
    right[unseen] = 0
    return _solve(state, normal, right, scene.stiffness)


def _solve(state: FitState, normal: np.ndarray, right: np.ndarray, stiffness: np.ndarray) -> FitState:
    """Step of poses [T, 6], smooth over time, and of expressions, eliminated frame by frame."""
    corner = normal[:, :6, 6:]
    inner = np.linalg.solve(normal[:, 6:, 6:], np.concatenate([corner.transpose(0, 2, 1), right[:, 6:, None]], 2))
    reduced = normal[:, :6, :6] - corner @ inner[..., :6]
    force = right[:, :6] - (corner @ inner[..., 6:])[..., 0]
    step = _smooth_step(state.poses, reduced, force, stiffness)
    change = inner[..., 6] - (inner[..., :6] @ step[..., None])[..., 0]
    return state.moved(state.poses + step, state.expression + change)


def _smooth_step(poses: np.ndarray, normal: np.ndarray, force: np.ndarray, stiffness: np.ndarray) -> np.ndarray:
    """Solve sum_t (s' N s / 2 - f' s) + |second difference of (poses + s)|^2 in the metric `stiffness` [6, 6]."""
    frames = len(poses)
    dense = np.zeros((frames, frames))
    if frames >= 3:
        difference = np.diff(np.eye(frames), 2, axis=0)
        dense = difference.T @ difference
    bands = np.zeros((18, 6 * frames))  # lower form of the block-pentadiagonal matrix
    for offset in range(3):
        along = np.diagonal(dense, -offset)
        for a in range(6):
            for b in range(6):
                row = 6 * offset + a - b
                if row >= 0:
                    bands[row, b : 6 * (frames - offset) : 6] += along * stiffness[a, b]
    for a in range(6):
        for b in range(a + 1):
            bands[a - b, b::6] += normal[:, a, b]
    bands[0] += 1e-9 * bands[0].max() + 1e-12
    right = force - dense @ poses @ stiffness
    return np.asarray(solveh_banded(bands, right.ravel(), lower=True)).reshape(frames, 6)


def _pose_metric(rigid: np.ndarray, poses: np.ndarray) -> np.ndarray:
    """[6, 6]: mean squared motion (mm^2) of rigid points under a change of pose, summed over points."""
    rotation = Rotation.from_rotvec(poses[:, :3]).as_matrix()
    turned = rigid @ rotation.transpose(0, 2, 1)
    turn = turn_jacobian(turned, poses[:, :3])
    motion = np.concatenate([turn, np.broadcast_to(np.eye(3), turn.shape)], -1)
    return np.einsum("tnap,tnaq->pq", motion, motion) / len(poses)


@dataclass(frozen=True)
class _Projected:
    """pixels [T, N, 2] relative to the principal point, their Jacobian [T, N, 2, 6 + E] by pose and
    expression, which points face the camera [T, N], SH basis [T, N, 9]."""

    pixels: np.ndarray
    jacobian: np.ndarray
    visible: np.ndarray
    harmonics: np.ndarray


def _shape(state: FitState, points: FacePoints) -> np.ndarray:
    """Places [T, N, 3] of the points in head axes."""
    return np.asarray(points.mean + np.einsum("nce,te->tnc", points.expression, state.expression, optimize=True))


def _pixels(state: FitState, points: FacePoints) -> np.ndarray:
    """[T, N, 2] relative to the principal point."""
    rotation = Rotation.from_rotvec(state.poses[:, :3]).as_matrix()
    seen = _shape(state, points) @ rotation.transpose(0, 2, 1) + state.poses[:, None, 3:]
    return project(seen, Intrinsics(state.focal, 0.0, 0.0))


def _project(state: FitState, points: FacePoints) -> _Projected:
    rotation = Rotation.from_rotvec(state.poses[:, :3]).as_matrix()
    turned = _shape(state, points) @ rotation.transpose(0, 2, 1)
    seen = turned + state.poses[:, None, 3:]
    camera = camera_jacobian(seen, state.focal)
    turn = by_turn(camera, turned, state.poses[:, :3])
    jacobian = np.concatenate([turn, camera, row_products(camera, rotation) @ points.expression], -1)
    normals = points.normals @ rotation.transpose(0, 2, 1)
    facing = -(normals * seen).sum(-1) / np.linalg.norm(seen, axis=-1)
    pixels = project(seen, Intrinsics(state.focal, 0.0, 0.0))
    return _Projected(pixels, jacobian, facing > 0.3, sh_basis(normals * FLIP))


def _relight(colour: np.ndarray, where: _Projected, observed: np.ndarray) -> np.ndarray:
    """Colours [T, N, 3] under the light of each frame that explains it best (27 coefficients, least squares)."""
    out = np.empty_like(observed)
    ridge = 1e-3 * where.visible.sum(1).clip(1)[:, None, None] * np.eye(where.harmonics.shape[-1])
    seen = where.harmonics * where.visible[..., None]
    for c in range(3):
        design = (seen * colour[:, c, None]).transpose(0, 2, 1)
        normal = design @ design.transpose(0, 2, 1) + ridge
        light = np.linalg.solve(normal, design @ observed[..., c, None])
        out[..., c] = (where.harmonics @ light)[..., 0] * colour[:, c]
    return out


def _robust(residual: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """[T, M] weights: Huber at twice the median error, in units of its variance and of one hundred independent points."""
    size = np.where(visible, np.abs(residual), np.nan)
    median = np.nanmedian(size, axis=1, keepdims=True) + 1e-4
    limit = 2 * median
    weight = np.where(visible, np.minimum(1, limit / np.maximum(size, 1e-9)), 0.0)
    count = visible.sum(1, keepdims=True).clip(1)
    return np.nan_to_num(weight) / (1.48 * median) ** 2 * (100.0 / count)


def _learn_texture(
    state: FitState, points: FacePoints, sampler: _Sampler, keys: np.ndarray, options: PhotometricConfig
) -> np.ndarray:
    """Unlit colours [N, 3] of the subject in the frames `keys` of a state: texture components by
    alternating with the light, then the mean residual."""
    where = _project(state, points)
    observed = np.stack([sampler(sampler.load(f, w), w)[0] for f, w in zip(keys, where.pixels, strict=True)])
    colour = points.colour
    coefficients = np.zeros(len(points.texture))
    for _ in range(4 if len(points.texture) else 1):
        shade = _relight(colour, where, observed) / np.maximum(colour, 0.02)
        weight = np.where(where.visible[..., None], 1.0, 0.0)
        if len(points.texture):
            hessian, gradient = _texture_normal(points, shade, observed, weight)
            scale = (100.0 / weight.sum(axis=(1, 2)).mean()) / 0.05**2 / len(keys)
            prior = options.texture_weight * np.eye(len(coefficients))
            coefficients = np.linalg.solve(hessian * scale + prior, gradient * scale)
            colour = points.colour + np.tensordot(coefficients, points.texture, 1)
    shade = _relight(colour, where, observed) / np.maximum(colour, 0.02)
    albedo = (weight * shade * observed).sum(0) / np.maximum((weight * shade**2).sum(0), 1e-6)
    known = where.visible.sum(0) >= 3
    return np.asarray(np.where(known[:, None], albedo, colour).clip(0.01, 4))


def _texture_normal(
    points: FacePoints, shade: np.ndarray, observed: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations of texture coefficients, all key frames together."""
    flat = points.texture.reshape(len(points.texture), -1)
    squared = (weight * shade**2).sum(0).ravel()
    target = (weight * shade * (observed - shade * points.colour)).sum(0).ravel()
    return (flat * squared) @ flat.T, flat @ target


@dataclass(frozen=True)
class _Picture:
    """The part of a blurred crop that holds the points: [h, w, 3] float32 in 0..1, from `corner` (x, y) on."""

    colours: np.ndarray
    corner: np.ndarray


class _Sampler:
    """Colours in 0..1 of blurred crops at pixels, and their slopes.

    blur: Gaussian sigma as a share of the distance between the eyes, a quarter of which
    points may move.
    """

    def __init__(self, clip: ClipObservations, blur: float):
        self._images, self._centre = clip.images, np.array(clip.centre)
        self._blur = max(blur * clip.iod, 0.8)
        self._margin = int(np.ceil(clip.iod / 4 + 5 * self._blur))  # OpenCV's Gaussian ends at four sigmas

    def load(self, frame: int, pixels: np.ndarray) -> _Picture:
        """A frame around pixels [N, 2] relative to the principal point."""
        image = self._images(int(frame))
        size = np.array([image.shape[1], image.shape[0]])
        spots = pixels + self._centre
        low = (np.floor(spots.min(0)).astype(int) - self._margin).clip(0, size - 1)
        high = (np.ceil(spots.max(0)).astype(int) + self._margin + 1).clip(low + 1, size)
        part = image[low[1] : high[1], low[0] : high[0]].astype(np.float32) / 255
        return _Picture(np.asarray(cv2.GaussianBlur(part, (0, 0), self._blur)), low)

    def __call__(self, picture: _Picture, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Colours [N, 3] and slopes [N, 3, 2] at pixels [N, 2] relative to the principal point."""
        spot = (pixels + self._centre - picture.corner).astype(np.float32)
        step = max(self._blur / 2, 0.5)

        def look(dx: float, dy: float) -> np.ndarray:
            return sample_bilinear(picture.colours, spot + np.array([dx, dy], np.float32))

        across = (look(step, 0) - look(-step, 0)) / (2 * step)
        down = (look(0, step) - look(0, -step)) / (2 * step)
        return look(0, 0), np.stack([across, down], -1)
