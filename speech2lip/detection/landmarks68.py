"""The 68 landmarks of the published tracker: from FaceMesh by a table, or from face-alignment."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..errors import UserError

# FaceMesh vertices at the places of landmarks 0..67: jaw, brows, nose, eyes, lips.
FROM_MESH = np.array(
    [162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
     70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305,
     33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
     61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87]
)  # fmt: skip


def detect_68(images: Iterable[np.ndarray]) -> np.ndarray:
    """Landmarks [T, 68, 2] of RGB pictures by the package face-alignment; NaN without a face."""
    try:
        import face_alignment
    except ImportError as error:
        raise UserError(
            "fit.landmarks=face_alignment needs the package face-alignment, which is not installed: run "
            "`pip install face-alignment`, or use fit.landmarks=mesh"
        ) from error
    finder = face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, flip_input=False, device="cpu")
    out = []
    for image in images:
        faces = finder.get_landmarks(image) or []
        out.append(max(faces, key=lambda f: float(np.ptp(f[:, 1]))) if faces else np.full((68, 2), np.nan))
    return np.stack(out)
