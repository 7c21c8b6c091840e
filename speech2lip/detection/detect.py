"""MediaPipe behind two small classes: face boxes, and 478 landmarks of one face.

MediaPipe 0.10.21 carries the weights in its wheel; releases from 0.10.30 on do not, and are
used through `detect_tasks` with `face_landmarker.task`. The package is imported here only.
SPEECH2LIP_MEDIAPIPE=tasks chooses the newer interface where both exist.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np

from ..errors import UserError
from ..facemesh import LANDMARKS
from .detect_tasks import TasksFaceDetector, TasksFaceMesh, grab_person


def _mediapipe() -> Any:
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _without("tensorflow"):
            import mediapipe
    except ImportError as error:
        raise UserError(
            "face tracking needs the package mediapipe, which is not installed: run `pip install -r requirements.txt`, or "
            "preprocess on another machine and copy the subject's folder"
        ) from error
    return mediapipe


@contextmanager
def _without(package: str) -> Iterator[None]:
    """Hide a package from imports: MediaPipe loads TensorFlow, for words in its own documentation, where it is installed. That takes
    two seconds, and prints."""
    hidden = package not in sys.modules
    if hidden:
        sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if hidden:
            sys.modules.pop(package, None)


def _uses_tasks(mediapipe: Any) -> bool:
    return os.environ.get("SPEECH2LIP_MEDIAPIPE") == "tasks" or not hasattr(mediapipe, "solutions")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what MediaPipe's C++ core prints to file descriptor 2."""
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
        mediapipe = _mediapipe()
        self._tasks: TasksFaceDetector | None = None
        with _quiet():
            if _uses_tasks(mediapipe):
                self._tasks = TasksFaceDetector(mediapipe, confidence)
                return
            self._graph = mediapipe.solutions.face_detection.FaceDetection(
                model_selection=1, min_detection_confidence=confidence
            )
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        """RGB uint8 [H, W, 3] -> [N, 4] boxes (left, top, width, height) in pixels."""
        if self._tasks is not None:
            return self._tasks.process(frame)
        height, width = frame.shape[:2]
        found = self._graph.process(np.ascontiguousarray(frame)).detections or []
        boxes = [d.location_data.relative_bounding_box for d in found]
        return np.array([(b.xmin, b.ymin, b.width, b.height) for b in boxes]).reshape(-1, 4) * [
            width, height, width, height,
        ]  # fmt: skip

    def close(self) -> None:
        (self._tasks or self._graph).close()


class FaceMesh:
    """478 landmarks of the dominant face; frames are taken as one continuous shot until `reset`."""

    def __init__(self, static: bool = False, confidence: float = 0.5):
        self._static, self._confidence = static, confidence
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
        self._met = False
        mediapipe = _mediapipe()
        with _quiet():
            if _uses_tasks(mediapipe):
                self._graph = TasksFaceMesh(mediapipe, self._static, self._confidence)
                return
            self._graph = mediapipe.solutions.face_mesh.FaceMesh(
                static_image_mode=self._static, refine_landmarks=True, max_num_faces=1,
                min_detection_confidence=self._confidence, min_tracking_confidence=self._confidence,
            )  # fmt: skip
            self._graph.process(np.zeros((64, 64, 3), np.uint8))

    def __call__(self, frame: np.ndarray) -> np.ndarray | None:
        """RGB uint8 [H, W, 3] -> float32 [478, 3], or None without a face.

        x, y: pixels (centres at integers); z: about pixels, smaller is nearer, 0 near the
        head's centre of mass.
        """
        if isinstance(self._graph, TasksFaceMesh):
            return self._graph.process(frame)
        height, width = frame.shape[:2]
        with nullcontext() if self._met else _quiet():  # it remarks on the first face
            found = self._graph.process(np.ascontiguousarray(frame)).multi_face_landmarks
        if not found:
            return None
        self._met = True
        points = np.array([(p.x, p.y, p.z) for p in found[0].landmark], np.float32)
        assert points.shape == (LANDMARKS, 3)
        return points * np.array([width, height, width], np.float32) - np.array([0.5, 0.5, 0], np.float32)


def person_mask(frame: np.ndarray, face: np.ndarray) -> np.ndarray:
    """RGB uint8 [H, W, 3] and the face's points [468+, 2] -> float32 [H, W], 1 on the person.

    MediaPipe's selfie segmentation where the package carries it, else GrabCut.
    """
    mediapipe = _mediapipe()
    if _uses_tasks(mediapipe):
        return grab_person(frame, face)
    with _quiet(), mediapipe.solutions.selfie_segmentation.SelfieSegmentation(model_selection=0) as graph:
        return np.asarray(graph.process(np.ascontiguousarray(frame)).segmentation_mask, np.float32)
