"""Whose face: how unlike two sightings are, and which shots of a clip show the same person.

No recognition network is needed to tell the few people of one clip apart: the proportions of the
part of the face that speech leaves alone, and the pattern of light and dark on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

from ..facemesh import EYE_OUTER, LANDMARKS, MESH_POINTS, MOUTH, rigid_points
from ..geometry.sampling import sample_bilinear
from ..shapes import check_shape

_SKIN = np.setdiff1d(np.arange(MESH_POINTS), MOUTH)
_BLUR = 0.04  # sigma of the picture, as a share of the distance between the eyes
_DARK = 16.0  # grey levels added before the logarithm, so that noise in black hair does not count
# Root mean square distance of proportions (in distances between the eyes), and one minus the
# correlation of patterns, that count as one each: half-way between one person's and two people's.
_SHAPE_UNIT = 0.03
_PATTERN_UNIT = 0.2


@dataclass(frozen=True)
class Look:
    """One sighting: points [468, 3] of the face mesh, pattern [N] of its skin (mean 0, length 1)."""

    points: np.ndarray
    pattern: np.ndarray


def look_at(image: np.ndarray, landmarks: np.ndarray) -> Look:
    """What identifies the face of `landmarks` [478, 3] in RGB uint8 `image` [H, W, 3]."""
    check_shape("landmarks", landmarks, LANDMARKS, 3)
    points = landmarks[:MESH_POINTS].astype(np.float64)
    apart = float(np.linalg.norm(np.diff(points[EYE_OUTER], axis=0)))
    soft = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), max(_BLUR * apart, 0.5))
    shade = np.log(sample_bilinear(soft, points[_SKIN, :2]) + _DARK)
    shade -= shade.mean()
    return Look(points, shade / max(float(np.linalg.norm(shade)), 1e-6))


def unlike(looks: Sequence[Look]) -> np.ndarray:
    """How unlike sightings are: [N, N], 0 for the same; shape in one rigid frame plus pattern of skin."""
    shapes = _in_one_frame(np.stack([x.points for x in looks]))
    squared = (shapes**2).sum((1, 2))
    flat = shapes.reshape(len(shapes), -1)
    apart = np.sqrt((squared[:, None] + squared - 2 * flat @ flat.T).clip(0) / shapes.shape[1])
    patterns = np.stack([x.pattern for x in looks])
    return np.asarray(apart / _SHAPE_UNIT + (1 - patterns @ patterns.T) / _PATTERN_UNIT)


def _in_one_frame(points: np.ndarray) -> np.ndarray:
    """Points [N, 468, 3] that speech leaves alone, turned, shifted and scaled onto the first face's: [N, K, 3]."""
    rigid = rigid_points(points[0])
    centred = points[:, rigid] - points[:, rigid].mean(1, keepdims=True)
    target = centred[0] / np.linalg.norm(np.diff(points[0, EYE_OUTER], axis=0))
    u, s, vt = np.linalg.svd(np.einsum("nki,kj->nij", centred, target))
    signs = np.ones((len(points), 3))
    signs[:, 2] = np.sign(np.linalg.det(u @ vt))
    scale = (s * signs).sum(1) / (centred**2).sum((1, 2))
    return np.asarray(scale[:, None, None] * (centred @ ((u * signs[:, None]) @ vt)))


def group_people(sightings: Sequence[Sequence[Look]], threshold: float) -> np.ndarray:
    """Number of the person in each group of sightings (a shot's face): [G], -1 where there is no sighting.

    Groups are one person's whose most alike sightings are not more unlike than `threshold`, directly
    or through others: a person turns and is lit in many ways, but not suddenly between all shots.
    """
    looks = [look for group in sightings for look in group]
    if not looks:
        return np.full(len(sightings), -1)
    owner = np.repeat(np.arange(len(sightings)), [len(group) for group in sightings])
    linked = np.zeros((len(sightings), len(sightings)), bool)
    rows, columns = np.nonzero(unlike(looks) <= threshold)
    linked[owner[rows], owner[columns]] = True
    person = connected_components(linked, directed=False)[1]
    return np.where([len(group) > 0 for group in sightings], person, -1)
