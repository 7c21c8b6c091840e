"""Frames in which something is in front of the mouth: a microphone, a hand, a cup.

In the canonical view a mouth, however wide open, is a point near a low-dimensional space that the
clip's own frames span, for its skin hardly moves there. What covers skin lies far from it. The space
is grown from the most usual frames outwards, so that what is seen for a third of the clip is not
taken for a mouth either.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..shapes import check_shape

WIDTH = 24  # pixels of the small lip images that are looked at
_COMPONENTS = 10
_FLOOR = 4.0  # grey levels of noise below which no pixel's is taken to be
_FAR = 4.0  # times its noise that a pixel must be off to be foreign
_DARK = 16.0  # grey levels added before logarithms
_LEARN = 800  # frames of which the model is made
_LEAST = 40  # frames without which nothing can be said
_SHORTEST = 3  # frames that something must stay
_GAP = 4  # frames between two appearances that count as one


def shrunk(lip: np.ndarray) -> np.ndarray:
    """A lip image [h, w, 3] uint8 as it is looked at here, [H, WIDTH, 3] uint8."""
    height = max(8, round(lip.shape[0] / lip.shape[1] * WIDTH))
    return np.asarray(cv2.resize(lip, (WIDTH, height), interpolation=cv2.INTER_AREA))


@dataclass(frozen=True)
class MouthModel:
    """Usual mouths of one person: mean [P, 3], basis [K, P * 3] and noise [P], in grey levels."""

    mean: np.ndarray
    basis: np.ndarray
    noise: np.ndarray

    def foreign(self, lips: np.ndarray) -> np.ndarray:
        """Share of pixels of lips [N, P, 3] that no mouth of this person explains: [N] in 0..1."""
        return np.asarray((self.distance(lips) > _FAR * self.noise).mean(1))

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


def foreign_share(lips: np.ndarray, exposure: np.ndarray, mask: np.ndarray, threshold: float) -> np.ndarray:
    """How much of the mouth's region is foreign in every frame: [N] in 0..1.

    lips: [N, H, W, 3] uint8, small; exposure: [N, 2, 3] gain and offset of each; mask: [H, W] bool, pixels
    that count; threshold: share from which on a frame is not learned from.
    """
    check_shape("exposure", exposure, len(lips), 2, 3)
    check_shape("mask", mask, *lips.shape[1:3])
    if len(lips) < _LEAST or not mask.any():
        return np.zeros(len(lips))
    pick = np.unique(np.linspace(0, len(lips) - 1, min(len(lips), _LEARN)).astype(int))
    usual = np.median(_even(lips[pick], exposure[pick], mask), axis=0)
    parts = [
        _without_light(_even(lips[at], exposure[at], mask), usual, mask)
        for at in np.array_split(np.arange(len(lips)), len(lips) // 256 + 1)
    ]
    even = np.concatenate(parts)
    return _grown(even[pick], threshold).foreign(even)


def _even(lips: np.ndarray, exposure: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Pixels [N, P, 3] float32 of the mask in the canonical exposure."""
    return np.asarray((lips[:, mask].astype(np.float32) - exposure[:, 1, None]) / exposure[:, 0, None], np.float32)


def _without_light(lips: np.ndarray, usual: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Lips [N, P, 3] under the light of `usual` [P, 3]: a factor that changes linearly over the picture is divided out."""
    ys, xs = np.nonzero(mask)
    plane = np.stack([np.ones(len(xs)), xs / mask.shape[1] - 0.5, ys / mask.shape[0] - 0.5], 1).astype(np.float32)
    logs = np.log(lips.clip(0) + _DARK)
    change = logs - np.log(usual.clip(0) + _DARK)
    weight, fitted = np.ones_like(change), np.zeros_like(change)
    for _ in range(3):
        normal = np.einsum("npc,pi,pj->ncij", weight, plane, plane, optimize=True) + 1e-3 * np.eye(3)
        right = np.einsum("npc,pi->nci", weight * change, plane, optimize=True)
        fitted = np.einsum("nci,pi->npc", np.linalg.solve(normal, right[..., None])[..., 0], plane)
        error = np.abs(change - fitted)
        weight = 1 / (1 + (error / (2 * np.median(error, 1, keepdims=True) + 0.04)) ** 2)
    return np.asarray(np.exp(logs - fitted) - _DARK, np.float32)


def _grown(lips: np.ndarray, threshold: float) -> MouthModel:
    """The model of lips [N, P, 3], grown from the half that is nearest to the median."""
    away = np.abs(lips - np.median(lips, 0)).mean(2)
    noise = 1.48 * np.median(away, 0) + _FLOOR
    far = np.minimum(away / noise, 6).mean(1)
    core = far <= np.median(far)
    noise = np.full(lips.shape[1], 2 * _FLOOR, np.float32)
    for _ in range(6):
        model = _fitted(lips[core], noise)
        distance = model.distance(lips)
        noise = 1.48 * np.median(distance[core], 0) + _FLOOR
        share = (distance > _FAR * noise).mean(1)
        grown = (share < threshold) | (core & (share < 2 * threshold))
        if (grown == core).all():
            break
        core = grown
    return MouthModel(model.mean, model.basis, noise)


def _fitted(lips: np.ndarray, noise: np.ndarray) -> MouthModel:
    mean = lips.mean(0)
    basis = np.linalg.svd((lips - mean).reshape(len(lips), -1), full_matrices=False)[2][:_COMPONENTS]
    return MouthModel(mean, basis, noise)


def lasting(flags: np.ndarray, shots: tuple[tuple[int, int], ...]) -> np.ndarray:
    """Flags [T] bool without those that last less than three frames, with short gaps closed and one frame
    more on both sides, where things move in and out; never across a cut."""
    out = np.zeros_like(flags)
    for start, end in shots:
        at = np.flatnonzero(flags[start:end])
        for run in np.split(at, np.flatnonzero(np.diff(at) > _GAP + 1) + 1):
            if len(run) >= _SHORTEST:
                out[start + max(run[0] - 1, 0) : min(start + run[-1] + 2, end)] = True
    return out
