"""Frames in which something is in front of the mouth: a microphone, a hand, a cup.

In the canonical view a mouth, however wide open, is a point near a low-dimensional space that the
clip's own frames span, for its skin hardly moves there. What covers skin lies far from it. The space
is grown from the most usual frames outwards, so that what is seen for a third of the clip is not
taken for a mouth either; and no frame has a say of more than a few times a pixel's usual spread in it, so that
something thin, which hardly makes a frame unusual, is not learned as a mouth. What is behind the jaw in a turned
head, and teeth and tongue of a mouth wide open, are rare too: only what landmarks take for the face's skin counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..facemesh import FACE_OVAL, LIPS_INNER
from ..shapes import check_shape

WIDTH = 24  # pixels of the small lip images that are looked at
_COMPONENTS = 10
_FLOOR = 4.0  # grey levels of noise below which no pixel's is taken to be
_FAR = 4.0  # times its noise that a pixel must be off to be foreign
_MOST = 3.0  # times that a pixel counts that is as many times further off: what is thin is often plain
_WINSOR = 4.0  # times a pixel's spread to which it enters the principal components
_OUTLINE = 0.94  # of the face's outline, measured from its middle, inside which skin is the face's own
_DARK = 16.0  # grey levels added before logarithms
_LEARN = 800  # frames of which the model is made
_LEAST = 40  # frames without which nothing can be said
_SHORTEST = 3  # frames that something must stay
_PLAIN = 4.0  # times the threshold from which on one frame is enough
_GAP = 4  # frames between two appearances that count as one


def shrunk(lip: np.ndarray) -> np.ndarray:
    """A lip image [h, w, 3] uint8, or a mask [h, w], as it is looked at here: [H, WIDTH, ...] uint8."""
    height = max(8, round(lip.shape[0] / lip.shape[1] * WIDTH))
    return np.asarray(cv2.resize(lip, (WIDTH, height), interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class MouthModel:
    """Usual mouths of one person: mean [P, 3], basis [K, P * 3] and noise [P], in grey levels."""

    mean: np.ndarray
    basis: np.ndarray
    noise: np.ndarray

    def foreign(self, lips: np.ndarray, skin: np.ndarray) -> np.ndarray:
        """How much of the skin [N, P] bool of lips [N, P, 3] no mouth of this person explains: [N] in 0.._MOST."""
        return _foreign(self.distance(lips), self.noise, skin)

    def distance(self, lips: np.ndarray) -> np.ndarray:
        """Grey levels [N, P] by which lips [N, P, 3] differ from the nearest explanation, found robustly."""
        flat = (lips - self.mean).reshape(len(lips), -1)
        spread = 2.5 * np.repeat(self.noise, 3)
        out = [self._rest(part, spread) for part in np.array_split(flat, len(flat) // 64 + 1)]
        return np.abs(np.concatenate(out)).reshape(lips.shape).mean(2)

    def _rest(self, flat: np.ndarray, spread: np.ndarray) -> np.ndarray:
        """Reweighted least squares, so that what is foreign does not draw the explanation to itself."""
        weight, rest = np.ones_like(flat), flat
        ridge = 0.01 * np.eye(len(self.basis))
        for _ in range(4):
            normal = (weight[:, None] * self.basis) @ self.basis.T + ridge
            codes = np.linalg.solve(normal, ((weight * flat) @ self.basis.T)[..., None])[..., 0]
            rest = flat - codes @ self.basis
            weight = 1 / (1 + (rest / spread) ** 2)
        return rest


def seen_skin(landmarks: np.ndarray, size: int, edge: int) -> np.ndarray:
    """Where a picture shows the face's skin: [size, size] uint8, 1 inside its outline and outside the open mouth.

    landmarks: [478, 2] in its pixels; edge: pixels beside the mouth's inner line that are not skin either.
    """
    check_shape("landmarks", landmarks, None, 2)
    outline = landmarks[FACE_OVAL]
    middle = outline.mean(0)
    hull = cv2.convexHull((middle + _OUTLINE * (outline - middle)).round().astype(np.int32))
    inner = landmarks[LIPS_INNER].round().astype(np.int32)
    skin = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(skin, hull, 1)
    cv2.fillPoly(skin, [inner], 0)
    cv2.polylines(skin, [inner], True, 0, 2 * edge)
    return skin


def foreign_share(
    lips: np.ndarray, exposure: np.ndarray, mask: np.ndarray, skin: np.ndarray, threshold: float
) -> np.ndarray:
    """How much of the mouth's skin is foreign in every frame, [N]: a share, in which plain pixels count up to _MOST times.

    lips: [N, H, W, 3] uint8, small; exposure: [N, 2, 3] gain and offset of each; mask: [H, W] bool, pixels
    that count; skin: [N, H, W] bool, those of them that show skin in each frame (`seen_skin`); threshold: share from
    which on a frame is not learned from.
    """
    check_shape("exposure", exposure, len(lips), 2, 3)
    check_shape("mask", mask, *lips.shape[1:3])
    check_shape("skin", skin, *lips.shape[:3])
    if len(lips) < _LEAST or not mask.any():
        return np.zeros(len(lips))
    pick = np.unique(np.linspace(0, len(lips) - 1, min(len(lips), _LEARN)).astype(int))
    counts = skin[:, mask]
    usual = np.median(_even(lips[pick], exposure[pick], mask), axis=0)
    parts = [
        _without_light(_even(lips[at], exposure[at], mask), counts[at], usual, mask)
        for at in np.array_split(np.arange(len(lips)), len(lips) // 256 + 1)
    ]
    even = np.concatenate(parts)
    return _grown(even[pick], counts[pick], threshold).foreign(even, counts)


def _foreign(distance: np.ndarray, noise: np.ndarray, skin: np.ndarray) -> np.ndarray:
    """Foreign share [N] of distances [N, P] against noise [P]; at least half of the pixels are taken to be skin [N, P]."""
    times = distance / (_FAR * noise)
    amount = np.where(times > 1, times.clip(0, _MOST), 0) * skin
    return np.asarray(amount.sum(1) / np.maximum(skin.sum(1), skin.shape[1] / 2))


def _even(lips: np.ndarray, exposure: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixels [N, P, 3] float32 of the mask in the canonical exposure."""
    return np.asarray((lips[:, mask].astype(np.float32) - exposure[:, 1, None]) / exposure[:, 0, None], np.float32)


def _without_light(lips: np.ndarray, skin: np.ndarray, usual: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lips [N, P, 3] under the light of `usual` [P, 3]: a factor that changes linearly over their skin [N, P] is divided out."""
    ys, xs = np.nonzero(mask)
    plane = np.stack([np.ones(len(xs)), xs / mask.shape[1] - 0.5, ys / mask.shape[0] - 0.5], 1).astype(np.float32)
    logs = np.log(lips.clip(0) + _DARK)
    change = logs - np.log(usual.clip(0) + _DARK)
    weight, fitted = np.broadcast_to(skin[..., None], change.shape).astype(np.float32), np.zeros_like(change)
    for _ in range(3):
        normal = np.einsum("npc,pi,pj->ncij", weight, plane, plane, optimize=True) + 1e-3 * np.eye(3)
        right = np.einsum("npc,pi->nci", weight * change, plane, optimize=True)
        fitted = np.einsum("nci,pi->npc", np.linalg.solve(normal, right[..., None])[..., 0], plane)
        error = np.abs(change - fitted)
        weight = skin[..., None] / (1 + (error / (2 * np.median(error, 1, keepdims=True) + 0.04)) ** 2)
    return np.asarray(np.exp(logs - fitted) - _DARK, np.float32)


def _grown(lips: np.ndarray, skin: np.ndarray, threshold: float) -> MouthModel:
    """The model of lips [N, P, 3], whose skin [N, P] counts, grown from the half that is nearest to the median."""
    away = np.abs(lips - np.median(lips, 0)).mean(2)
    noise = 1.48 * np.median(away, 0) + _FLOOR
    far = np.minimum(away / noise, 6).mean(1)
    core = far <= np.median(far)
    noise = np.full(lips.shape[1], 2 * _FLOOR, np.float32)
    for _ in range(6):
        model = _fitted(lips[core], noise)
        distance = model.distance(lips)
        noise = 1.48 * np.median(distance[core], 0) + _FLOOR
        grown = _foreign(distance, noise, skin) < threshold / 2  # a hand has skin's colour, and is easily learned
        if (grown == core).all():
            break
        core = grown
    return MouthModel(model.mean, model.basis, noise)


def _fitted(lips: np.ndarray, noise: np.ndarray) -> MouthModel:
    """Mean and principal components of lips [N, P, 3], winsorised."""
    middle = np.median(lips, 0)
    off = lips - middle
    most = _WINSOR * (1.48 * np.median(np.abs(off).mean(2), 0) + _FLOOR)[:, None]
    off = off.clip(-most, most)
    mean = off.mean(0)
    basis = np.linalg.svd((off - mean).reshape(len(off), -1), full_matrices=False)[2][:_COMPONENTS]
    return MouthModel(middle + mean, basis, noise)


def hidden_frames(share: np.ndarray, threshold: float, shots: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Frames [T] bool in which something is in front of the mouth, by the foreign share [T] of each.

    A stay is seen by the threshold, a hand that flits by in one frame by _PLAIN times that; the ends of a stay,
    and what comes and goes within it, by half of it.
    """
    sure = lasting(share > threshold, shots) | lasting(share > _PLAIN * threshold, shots, 1)
    likely = lasting(share > threshold / 2, shots)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], likely, [False]]).astype(np.int8)))
    starts = np.unique([start for start, _ in shots])
    for part in np.split(np.arange(len(share)), np.union1d(edges, starts)):
        if likely[part].any() and sure[part].any():
            sure[part] = True
    return sure


def lasting(flags: np.ndarray, shots: tuple[tuple[int, int], ...], shortest: int = _SHORTEST) -> np.ndarray:
    """Flags [T] bool without those that last less than `shortest` frames, with short gaps closed and one frame
    more on both sides, where things move in and out; never across a cut."""
    out = np.zeros_like(flags)
    for start, end in shots:
        at = np.flatnonzero(flags[start:end])
        for run in np.split(at, np.flatnonzero(np.diff(at) > _GAP + 1) + 1):
            if len(run) >= shortest:
                out[start + max(run[0] - 1, 0) : min(start + run[-1] + 2, end)] = True
    return out
