"""Whose face: how unlike two sightings are, and which faces of a clip are one person's.

A network for recognising faces, which the package carries, gives every sighting an embedding (dlib's, `nets/pretrained/face_identity.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np
from scipy.sparse.csgraph import connected_components

from ..facemesh import LANDMARKS, NOSE_BASE
from ..nets.pretrained.face_identity import SIDE, FaceIdentity, state_from_bundled
from ..shapes import check_shape
from ..subject.people import EMBEDDING
from ..weights.bundled import load_bundled

# Where the network expects the corners of the eyes and the nose's base: dlib's five points for a square with a margin of a quarter.
_POINTS = np.array([263, 362, 33, 133, NOSE_BASE])
_PLACES = (
    0.25 + np.array([(0.8596, 0.2135), (0.6461, 0.2290), (0.1206, 0.2137), (0.3341, 0.2291), (0.4901, 0.6278)])
) / 1.5 * SIDE  # fmt: skip
JUMP = 0.6  # apart, from which on neighbouring sightings of one track are two people's: the network's own bound


def look_at(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The embedding [EMBEDDING] float32 of the face of `landmarks` [478, 3] in RGB uint8 `image` [H, W, 3]."""
    import torch

    chip = aligned(image, landmarks)
    with torch.no_grad():
        return np.asarray(_network()(torch.from_numpy(chip).permute(2, 0, 1)[None].float())[0].numpy())


def aligned(image: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """The face upright in a square, as the network sees it: [SIDE, SIDE, 3] uint8."""
    check_shape("landmarks", landmarks, LANDMARKS, 3)
    points = landmarks[_POINTS, :2].astype(np.float64)
    a, b = points - points.mean(0), _PLACES - _PLACES.mean(0)
    along, across = (a * b).sum(), (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()
    turn = np.array([[along, -across], [across, along]]) / (a**2).sum()
    matrix = np.column_stack([turn, _PLACES.mean(0) - turn @ points.mean(0)])
    smaller = np.sqrt(np.linalg.det(turn)) < 1
    return np.asarray(
        cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    )


@cache
def _network() -> FaceIdentity:
    network = FaceIdentity()
    network.load_state_dict(state_from_bundled(load_bundled("face_identity")))
    return network.eval()


def unlike(looks: np.ndarray, others: np.ndarray | None = None) -> np.ndarray:
    """How far embeddings [N, EMBEDDING] are from others [M, EMBEDDING] (default: from each other): [N, M], 0 for the same."""
    check_shape("looks", looks, None, EMBEDDING)
    others = looks if others is None else others
    squared = (looks**2).sum(1)[:, None] + (others**2).sum(1) - 2 * looks @ others.T
    return np.asarray(np.sqrt(squared.clip(0)))


def group_people(sightings: Sequence[np.ndarray], threshold: float) -> np.ndarray:
    """Number of the person in each group of sightings [L, EMBEDDING] (a face that was followed): [G], -1 where there is none.

    Groups are one person's whose most alike sightings are not more unlike than `threshold`, directly
    or through others: a person turns and is lit in many ways, but not suddenly between all shots.
    """
    counts = [len(group) for group in sightings]
    if not sum(counts):
        return np.full(len(sightings), -1)
    owner = np.repeat(np.arange(len(sightings)), counts)
    linked = np.zeros((len(sightings), len(sightings)), bool)
    rows, columns = np.nonzero(unlike(np.concatenate([group for group in sightings if len(group)])) <= threshold)
    linked[owner[rows], owner[columns]] = True
    person = connected_components(linked, directed=False)[1]
    return np.where(np.array(counts) > 0, person, -1)


def plain(looks: np.ndarray) -> np.ndarray:
    """Which sightings [L, EMBEDDING] of one track in a row count, [L] bool: not one alone that is like neither neighbour, which are like
    each other: a blur, or a hand."""
    out = np.ones(len(looks), bool)
    apart = unlike(looks)
    for k in range(1, len(looks) - 1):
        out[k] = not (apart[k, k - 1] > JUMP and apart[k, k + 1] > JUMP and apart[k - 1, k + 1] <= JUMP)
    return out


def changes(looks: np.ndarray) -> np.ndarray:
    """Sightings [L, EMBEDDING] of one track at which another person stands where the one before stood: indices."""
    return np.flatnonzero(np.diagonal(unlike(looks), 1) > JUMP) + 1
