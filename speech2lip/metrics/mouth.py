"""Mouth opening from landmarks of the mouth alone."""

from __future__ import annotations

import numpy as np

from ..face.topology import INNER_PAIRS, MOUTH

_PAIRS = np.array([[int(np.flatnonzero(v == MOUTH)[0]) for v in pair] for pair in INNER_PAIRS])


def opening_of_points(points: np.ndarray) -> np.ndarray:
    """Inner-lip gap [...] of mouth landmarks [..., 57, 2] (`topology.MOUTH` order)."""
    return np.asarray(np.linalg.norm(points[..., _PAIRS[:, 1], :] - points[..., _PAIRS[:, 0], :], axis=-1).mean(-1))
