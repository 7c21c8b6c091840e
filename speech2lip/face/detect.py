"""MediaPipe behind two small classes: face boxes, and 478 landmarks of one face.

MediaPipe 0.10.21 carries the weights in its wheel. It is imported here only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..errors import UserError
from .topology import LANDMARKS


def _mediapipe() -> Any:
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import mediapipe
    except ImportError as error:
        raise UserError(
            "face tracking needs the package mediapipe, which is not installed: run `pip install mediapipe==0.10.21` "
            "(Python 3.10 to 3.12), or preprocess on another machine and copy the subject's folder"
        ) from error
    return mediapipe


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what MediaPipe's C++ core prints to file descriptor 2 while a graph starts."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)


class FaceDetector:
    """Boxes of all faces in single frames (full-range model, up to about 5 m)."""

    def __init__(self, confidence: float = 0.5):
        with _quiet():
            self._graph = _mediapipe().solutions.face_detection.FaceDetection(
                model_selection=1, min_detection_confidence=confidence
            )
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """RGB uint8 [H, W, 3] -> [N, 4] boxes (left, top, width, height) in pixels."""
        height, width = frame.shape[:2]
        found = self._graph.process(np.ascontiguousarray(frame)).detections or []
        boxes = [d.location_data.relative_bounding_box for d in found]
        return np.array([(b.xmin, b.ymin, b.width, b.height) for b in boxes]).reshape(-1, 4) * [
            width, height, width, height,
        ]  # fmt: skip

    def close(self) -> None:
        self._graph.close()


class FaceMesh:
    """478 landmarks of the dominant face; frames are taken as one continuous shot until `reset`."""

    def __init__(self, static: bool = False, confidence: float = 0.5):
        self._options = {
            "static_image_mode": static, "refine_landmarks": True, "max_num_faces": 1,
            "min_detection_confidence": confidence, "min_tracking_confidence": confidence,
        }  # fmt: skip
        self._graph: Any = None
        self.reset()

    def close(self) -> None:
        """Release the graph; it holds some 30 MB that are not freed with the object."""
        if self._graph is not None:
            self._graph.close()
            self._graph = None

    def reset(self) -> None:
        """Forget the previous frame (call at a cut)."""
        self.close()
        with _quiet():
            self._graph = _mediapipe().solutions.face_mesh.FaceMesh(**self._options)
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def __call__(self, frame: np.ndarray) -> np.ndarray | None:
        """RGB uint8 [H, W, 3] -> float32 [478, 3], or None without a face.

        x, y: pixels (centres at integers); z: about pixels, smaller is nearer, 0 near the
        head's centre of mass.
        """
        height, width = frame.shape[:2]
        found = self._graph.process(np.ascontiguousarray(frame)).multi_face_landmarks
        if not found:
            return None
        points = np.array([(p.x, p.y, p.z) for p in found[0].landmark], np.float32)
        assert points.shape == (LANDMARKS, 3)
        return points * np.array([width, height, width], np.float32) - np.array([0.5, 0.5, 0], np.float32)


def person_mask(frame: np.ndarray) -> np.ndarray:
    """MediaPipe's selfie segmentation: RGB uint8 [H, W, 3] -> float32 [H, W], 1 on the person."""
    with _quiet(), _mediapipe().solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as graph:
        return np.asarray(graph.process(np.ascontiguousarray(frame)).segmentation_mask, np.float32)
