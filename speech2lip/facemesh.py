"""Vertex indices of MediaPipe's 478-point face mesh (468 surface points, then 10 iris points)."""

from __future__ import annotations

import numpy as np

MESH_POINTS = 468
LANDMARKS = 478
LIPS_OUTER = np.array([61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185])
LIPS_INNER = np.array(
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191]
)  # fmt: skip
LIPS = np.concatenate([LIPS_OUTER, LIPS_INNER])
# Chin and jaw between the vertical lines of the mouth corners: what the jaw carries.
CHIN = np.array([18, 200, 199, 175, 152, 148, 377, 176, 400, 83, 313, 201, 421, 208, 428, 171, 396])
MOUTH = np.concatenate([LIPS, CHIN])
INNER_TOP, INNER_BOTTOM, CORNER_LEFT, CORNER_RIGHT = 13, 14, 78, 308
# Upper and lower inner-lip pairs whose mean distance is the mouth opening.
INNER_PAIRS = np.array([[82, 87], [13, 14], [312, 317]])
EYE_CORNERS = np.array([33, 133, 362, 263])
EYE_OUTER = np.array([33, 263])
NOSE_BRIDGE = np.array([168, 6, 197, 195, 5])
# (upper lid, lower lid, inner corner, outer corner) of both eyes.
EYELIDS = np.array([[159, 145, 133, 33], [386, 374, 362, 263]])
NOSE_BASE = 2
FACE_OVAL = np.array(
    [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
     152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
)  # fmt: skip
EYES = np.array(
    [33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
     263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398]
)  # fmt: skip
BROWS = np.array([70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285])


def rigid_points(mesh: np.ndarray) -> np.ndarray:
    """Indices of points that speech does not move: everything above the nose's base, but
    lids, brows and the face's outline, whose landmarks slide over the skin as the head turns.

    mesh: [468, 3] neutral mesh, y down.
    """
    upper = np.flatnonzero(mesh[:MESH_POINTS, 1] < mesh[NOSE_BASE, 1])
    return np.setdiff1d(upper, np.concatenate([EYES[~np.isin(EYES, EYE_CORNERS)], BROWS, FACE_OVAL]))


def mouth_opening(landmarks: np.ndarray) -> np.ndarray:
    """Inner-lip gap [...] in the unit of `landmarks` [..., 478, 2+]: mean of three pairs."""
    return _mean_distance(landmarks, INNER_PAIRS)


def opening_of_points(points: np.ndarray) -> np.ndarray:
    """Inner-lip gap [...] of mouth landmarks [..., 57, 2] (`MOUTH` order)."""
    return _mean_distance(points, _INNER_PAIRS_OF_MOUTH)


_INNER_PAIRS_OF_MOUTH = np.array([[int(np.flatnonzero(v == MOUTH)[0]) for v in pair] for pair in INNER_PAIRS])


def _mean_distance(points: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """[...]: mean length in the picture between pairs [P, 2] of points [..., N, 2+]."""
    gap = points[..., pairs[:, 1], :2] - points[..., pairs[:, 0], :2]
    return np.asarray(np.linalg.norm(gap, axis=-1).mean(-1))


def mouth_width(landmarks: np.ndarray) -> np.ndarray:
    """Distance [...] between the inner mouth corners."""
    return np.linalg.norm(landmarks[..., CORNER_RIGHT, :2] - landmarks[..., CORNER_LEFT, :2], axis=-1)


def interocular(landmarks: np.ndarray) -> np.ndarray:
    """Distance [...] between the outer eye corners."""
    return np.linalg.norm(landmarks[..., EYE_OUTER[1], :2] - landmarks[..., EYE_OUTER[0], :2], axis=-1)


def eye_openness(landmarks: np.ndarray) -> np.ndarray:
    """Lid gap over eye width, mean of both eyes [...]; about 0.3 open, below 0.15 closed."""
    upper, lower, inner, outer = (landmarks[..., EYELIDS[:, k], :2] for k in range(4))
    gap = np.linalg.norm(upper - lower, axis=-1)
    return (gap / np.linalg.norm(inner - outer, axis=-1).clip(1e-6)).mean(-1)


def face_box(landmarks: np.ndarray) -> np.ndarray:
    """Box [4] (left, top, width, height) of a face [478, 2+] as detectors draw it, brows to chin."""
    low = np.array([landmarks[FACE_OVAL, 0].min(), landmarks[BROWS, 1].min()])
    return np.concatenate([low, landmarks[FACE_OVAL, :2].max(0) - low])
