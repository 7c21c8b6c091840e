"""The colour of the synthetic speaker's skin, and the eyes painted on it."""

from __future__ import annotations

import cv2
import numpy as np

from . import head as h

_SKIN = np.array([0.86, 0.64, 0.52], np.float32)
_LIP = np.array([0.70, 0.34, 0.33], np.float32)
_HAIR = np.array([0.23, 0.15, 0.10], np.float32)
_EYE_REACH = 22.0, 14.0  # mm around an eye's centre, across and down, that its lids and lashes change


class Skin:
    """Albedo of points of the head's skin. noise: square picture of fractal noise about 0."""

    def __init__(self, noise: np.ndarray):
        self._noise = noise

    def colour(self, p: np.ndarray, ring: np.ndarray, hair: np.ndarray) -> np.ndarray:
        """RGB [N, 3], about 0..1, of what never changes, at neutral points [N, 3]; ring, hair: [N], as of `Head`'s
        vertices and of `hair_mask`."""
        x, y = p[:, 0], p[:, 1]
        grain = self._texture(x * 2.1, y * 2.1)
        blotch = self._texture(x * 0.5 + 77, y * 0.5 + 31)
        colour = _SKIN * (1 + 0.16 * grain + 0.12 * blotch)[:, None]
        cheeks = np.exp(-(((np.abs(x) - 42) / 18) ** 2) - ((y - 30) / 16) ** 2)
        colour *= 1 - cheeks[:, None] * np.array([0.0, 0.10, 0.10], np.float32)
        shadow = 0.30 * np.exp(-((x / 13) ** 2) - ((y - 39) / 4) ** 2)
        for side in (-1, 1):
            shadow += 0.75 * np.exp(-(((x - side * 6.5) / 3.2) ** 2) - ((y - 35.5) / 2.2) ** 2)
        colour *= (1 - shadow.clip(0, 0.85))[:, None]
        lips = step(1.0 - ring, 0.10)[:, None]
        colour += lips * (_LIP * (1 + 0.25 * self._texture(x * 6, y * 0.8))[:, None] - colour)
        arch = -20.5 + 0.011 * (np.abs(x) - 29) ** 2 - 0.04 * (np.abs(x) - 20)
        brow = step(3.3 - np.abs(y - arch) - 0.06 * np.abs(np.abs(x) - 24), 0.7) * step(19 - np.abs(np.abs(x) - 32), 2)
        hairy = np.maximum(hair, 0.85 * brow * (p[:, 2] < 0))[:, None]
        strands = (1 + 0.45 * self._texture(x * 7, y * 1.2))[:, None]
        colour += hairy * (_HAIR * strands - colour)
        return colour

    def _texture(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        size = len(self._noise)
        u, v = (np.abs(np.mod(c, 2 * size - 2) - (size - 1)).astype(np.float32) for c in (x, y))  # mirrored tiles
        return remap(self._noise, u, v)


def near_eyes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Which neutral points [N] `paint_eyes` changes."""
    across, down = _EYE_REACH
    return (np.abs(np.abs(x) - h.EYE[0]) < across) & (np.abs(y - h.EYE[1]) < down)


def paint_eyes(colour: np.ndarray, x: np.ndarray, y: np.ndarray, blink: float, gaze: tuple[float, float]) -> np.ndarray:
    """Eyes over the colour [N, 3] of neutral points x, y [N] `near_eyes`; blink: 0 open .. 1 closed; gaze: mm."""
    dx, dy = np.abs(x) - h.EYE[0], y - h.EYE[1]
    span = (1 - (dx / 14.5) ** 2).clip(0)
    upper, lower = -6.0 * span * (1 - blink) + 3.5 * span * blink, 4.6 * span
    inside = step(dy - upper, 0.35) * step(lower - dy, 0.35) * (span > 0)
    eye = _eyeball(dx, x - np.sign(x) * h.EYE[0] - gaze[0], dy + 0.8 - gaze[1])
    eye *= (1 - 0.35 * np.exp(-(((dy - upper) / 2.0) ** 2)))[:, None]
    lash = np.exp(-(((dy - upper) / 0.9) ** 2)) * (span > 0.02)
    crease = 0.35 * np.exp(-(((dy + 9.0 - 3 * blink) / 1.0) ** 2)) * (span > 0.2)
    rim = 0.25 * np.exp(-(((dy - lower) / 0.8) ** 2)) * (span > 0.05)
    patch = colour * (1 - crease - rim)[:, None]
    patch += inside[:, None] * (eye - patch)
    patch += 0.85 * lash[:, None] * (0.08 - patch)
    return patch


def _eyeball(dx: np.ndarray, gx: np.ndarray, gy: np.ndarray) -> np.ndarray:
    """White, iris, pupil and glint [N, 3]; dx: [N] mm from the eye's centre; gx, gy: [N] mm from the iris's."""
    radius = np.hypot(gx, gy)
    eye = np.empty((len(dx), 3), np.float32)
    eye[:] = 0.90 - 0.16 * (dx / 14.5)[:, None] ** 2
    iris = np.array([0.30, 0.22, 0.14], np.float32) * (1 + 0.5 * np.cos(np.arctan2(gy, gx) * 18) * 0.3)[:, None]
    eye += step(6.2 - radius, 0.5)[:, None] * (iris - eye)
    eye += step(2.7 - radius, 0.4)[:, None] * (0.03 - eye)
    eye += step(1.2 - np.hypot(gx + 1.8, gy + 1.8), 0.4)[:, None] * (1.0 - eye)
    return eye


def step(value: np.ndarray, softness: float) -> np.ndarray:
    """Smooth 0..1 edge around value = 0."""
    return 1 / (1 + np.exp(np.clip(-value / softness * 2, -60, 60)))


def remap(picture: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A picture [H, W, ...] at float32 points x, y [N] inside it, between pixels linearly: [N, ...]."""
    columns = 256  # cv2.remap takes no more than 32767 of them, nor of rows, and is slow for few
    pad = -len(x) % columns
    u, v = (np.concatenate([c, np.zeros(pad, np.float32)]).reshape(-1, columns) for c in (x, y))
    return cv2.remap(picture, u, v, cv2.INTER_LINEAR).reshape(-1, *picture.shape[2:])[: len(x)]
