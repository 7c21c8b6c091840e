"""Exposure of every frame against the canonical one, measured on skin that speech leaves alone."""

from __future__ import annotations

import cv2
import numpy as np

from ..facemesh import BROWS, EYES, rigid_points
from ..geometry.sampling import sample_bilinear
from ..shapes import check_shape

NEUTRAL = np.stack([np.ones(3), np.zeros(3)])  # gain and offset [2, 3] that change nothing
_LEAST_NOISE, _MOST_NOISE = 0.3, 1.0  # grey levels of the skin's measured brightness


def smoothed_colours(image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of a picture [H, W, 3] uint8 around pixels [N, 2], each the mean of 5 x 5."""
    check_shape("image", image, None, None, 3)
    return sample_bilinear(cv2.blur(image, (5, 5)), pixels)


def tempered(exposure: np.ndarray, share: float) -> np.ndarray:
    """A share of the way from no change to an exposure [..., 2, 3]."""
    return NEUTRAL + share * (exposure - NEUTRAL)


def steady(colour: np.ndarray, segments: np.ndarray, level: np.ndarray, reach: int = 12) -> np.ndarray:
    """Exposure [T, 2, 3] without its noise: averaged over about a second, but where light changes faster than noise does.

    colour: measured gain and offset of every frame; segments: [S, 2] frame ranges, across whose borders (cuts
    and gaps) nothing is averaged; level: [3] grey levels of the skin it was measured on; reach: frames on
    either side. A segment's noise is the spread of its skin's brightness around the average, and at most
    one grey level: more than that is seen. From four times the noise on the measurement counts, from eight on alone.
    """
    check_shape("colour", colour, None, 2, 3)
    out = colour.copy()
    for start, end in segments:
        part = colour[start:end].reshape(end - start, 6)
        padded = np.pad(part, ((reach, reach), (0, 0)), mode="edge")
        kernel = np.hanning(2 * reach + 3)[1:-1]
        smooth = np.stack([np.convolve(padded[:, c], kernel / kernel.sum(), "valid") for c in range(6)], 1)
        rest = colour[start:end] - smooth.reshape(-1, 2, 3)
        follow = _sudden(np.abs(rest[:, 0] * level + rest[:, 1]))
        out[start:end] = smooth.reshape(-1, 2, 3) + follow[:, None, None] * rest
    return out


def _sudden(off: np.ndarray) -> np.ndarray:
    """How surely a difference from the average, in grey levels [N, 3], is light and not noise: [N] in 0..1."""
    noise = np.clip(1.48 * np.median(off, axis=0), _LEAST_NOISE, _MOST_NOISE)
    return np.clip((off / (4 * noise)).max(1) - 1, 0, 1)


def colour_samples(mesh: np.ndarray, pixels: np.ndarray, covered: np.ndarray, count: int = 500) -> np.ndarray:
    """Canonical pixels [N, 2] of skin that speech leaves alone, for matching exposure.

    mesh: [468, 3]; pixels: [468, 2] its canonical projection; covered: [S, S] mesh mask.
    """
    check_shape("mesh", mesh, None, 3)
    check_shape("pixels", pixels, len(mesh), 2)
    check_shape("covered", covered, None, None)
    steady = np.setdiff1d(rigid_points(mesh), np.concatenate([EYES, BROWS]))
    area = np.zeros(covered.shape, np.uint8)
    cv2.fillConvexPoly(area, cv2.convexHull(pixels[steady].round().astype(np.int32)), 1)
    for group in (EYES[:16], EYES[16:], BROWS[:10], BROWS[10:]):
        cv2.fillConvexPoly(area, cv2.convexHull(pixels[group].round().astype(np.int32)), 0)
    ys, xs = np.nonzero(area & covered)
    pick = np.linspace(0, len(xs) - 1, min(count, len(xs))).astype(int)
    return np.stack([xs[pick], ys[pick]], 1).astype(np.float64)


def match_colour(reference: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Gain and offset [2, 3] with observed ~ gain * reference + offset, per channel, robustly.

    reference, observed: [N, 3] in 0..255. The gain is held near 1 and the offset near 0
    by a prior, so that flat skin does not invent contrast.
    """
    check_shape("reference", reference, None, 3)
    check_shape("observed", observed, len(reference), 3)
    x, y = reference.astype(float), observed.astype(float)
    keep = np.ones(x.shape)
    for _ in range(3):
        count, sx, sy = keep.sum(0), (keep * x).sum(0), (keep * y).sum(0)
        a, b = (keep * x * x).sum(0) + 100.0 * count, (keep * x * y).sum(0) + 100.0 * count
        d = 1.01 * count  # normal equations [[a, sx], [sx, d]] [gain, offset] = [b, sy], prior included
        gain, offset = np.stack([b * d - sx * sy, a * sy - sx * b]) / (a * d - sx * sx)
        error = np.abs(gain * x + offset - y)
        keep = (error <= 2.5 * np.median(error, 0) + 1.0).astype(float)
    return np.stack([gain, offset])
