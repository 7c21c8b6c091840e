"""MediaPipe's Tasks interface (0.10.30 and later, which carry no weights) behind the classes of `detect`.

One file, `face_landmarker.task`, serves for landmarks and for finding faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from ..facemesh import FACE_OVAL, LANDMARKS, face_box
from ..weights.registry import require

# The detector inside the file sees faces down to a tenth of the picture: look at the whole, then at parts.
_LEVELS = ((1.0, 1), (0.6, 2), (0.36, 4))
_FRAME_MS = 40  # between frames of a shot; only the order matters to the tracker


def _landmarker(mediapipe: Any, video: bool, faces: int, confidence: float) -> Any:
    tasks = mediapipe.tasks
    mode = tasks.vision.RunningMode.VIDEO if video else tasks.vision.RunningMode.IMAGE
    options = tasks.vision.FaceLandmarkerOptions(
        base_options=tasks.BaseOptions(model_asset_path=str(require("face-landmarker"))), running_mode=mode, num_faces=faces,
        min_face_detection_confidence=confidence, min_face_presence_confidence=confidence, min_tracking_confidence=confidence,
    )  # fmt: skip
    return tasks.vision.FaceLandmarker.create_from_options(options)


def _points(result: Any, width: int, height: int) -> list[np.ndarray]:
    """All faces as [478, 3] pixels, pixel centres at integers."""
    faces = [np.array([(p.x, p.y, p.z) for p in face], np.float32) for face in result.face_landmarks]
    assert all(face.shape == (LANDMARKS, 3) for face in faces)
    return [f * np.array([width, height, width], np.float32) - np.array([0.5, 0.5, 0], np.float32) for f in faces]


class TasksFaceMesh:
    """One face's 478 landmarks, frame by frame.

    Two faces are asked for, because for one MediaPipe smooths over time, which would lag
    behind; the face that is nearest to the previous frame's is given.
    """

    def __init__(self, mediapipe: Any, static: bool, confidence: float):
        self._mediapipe, self._static, self._confidence = mediapipe, static, confidence
        self._landmarker = _landmarker(mediapipe, not static, 2, confidence)
        self._time = 0
        self._last: np.ndarray | None = None

    def process(self, frame: np.ndarray) -> np.ndarray | None:
        """RGB uint8 [H, W, 3] -> float32 [478, 3], or None without a face."""
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(frame))
        self._time += _FRAME_MS
        found = self._landmarker.detect(image) if self._static else self._landmarker.detect_for_video(image, self._time)
        faces = _points(found, frame.shape[1], frame.shape[0])
        if not faces:
            self._last = None
            return None
        self._last = self._dominant(faces)
        return self._last

    def _dominant(self, faces: list[np.ndarray]) -> np.ndarray:
        if self._last is None or self._static:
            return max(faces, key=lambda f: float(np.ptp(f[:, 0])))
        centre = self._last[:, :2].mean(0)
        return min(faces, key=lambda f: float(np.linalg.norm(f[:, :2].mean(0) - centre)))

    def close(self) -> None:
        self._landmarker.close()


class TasksFaceDetector:
    """Boxes of all faces; small ones are looked for in parts of the picture too."""

    def __init__(self, mediapipe: Any, confidence: float):
        self._mediapipe = mediapipe
        self._landmarker = _landmarker(mediapipe, False, 8, confidence)

    def process(self, frame: np.ndarray) -> np.ndarray:
        """RGB uint8 [H, W, 3] -> [N, 4] boxes (left, top, width, height), brows to chin."""
        for share, count in _LEVELS:
            windows = _windows(frame.shape[1], frame.shape[0], share, count)
            boxes = [box for window in windows for box in self._boxes(frame, window)]
            if boxes:
                return np.stack(_distinct(boxes))
        return np.zeros((0, 4))

    def _boxes(self, frame: np.ndarray, window: tuple[int, int, int, int]) -> Iterator[np.ndarray]:
        left, top, width, height = window
        part = np.ascontiguousarray(frame[top : top + height, left : left + width])
        image = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=part)
        for face in _points(self._landmarker.detect(image), width, height):
            yield face_box(face) + (left, top, 0, 0)

    def close(self) -> None:
        self._landmarker.close()


def _windows(width: int, height: int, share: float, count: int) -> Iterator[tuple[int, int, int, int]]:
    """count x count overlapping windows of `share` of the picture's sides."""
    w, h = round(share * width), round(share * height)
    for top in np.linspace(0, height - h, count).astype(int):
        for left in np.linspace(0, width - w, count).astype(int):
            yield int(left), int(top), w, h


def _distinct(boxes: list[np.ndarray]) -> list[np.ndarray]:
    """Drop boxes whose centre lies in an earlier box."""
    out: list[np.ndarray] = []
    for box in boxes:
        centre = box[:2] + box[2:] / 2
        if not any((o[:2] <= centre).all() and (centre <= o[:2] + o[2:]).all() for o in out):
            out.append(box)
    return out


def grab_person(frame: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Person mask [H, W] float32 by GrabCut around a face [K, 2]: the newer packages carry no segmentation weights.

    Certainly person: the face's hull; perhaps: an ellipse around the head and what lies below
    the chin; certainly not: the rest.
    """
    height, width = frame.shape[:2]
    oval = face[FACE_OVAL, :2]
    centre, tall = oval.mean(0), float(np.ptp(oval[:, 1]))
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)
    axes = (int(0.8 * tall), int(1.05 * tall))
    cv2.ellipse(labels, (int(centre[0]), int(centre[1] - 0.1 * tall)), axes, 0, 0, 360, cv2.GC_PR_FGD, -1)
    labels[min(int(oval[:, 1].max()), height) :] = cv2.GC_PR_FGD
    cv2.fillConvexPoly(labels, cv2.convexHull(oval.round().astype(np.int32)), cv2.GC_FGD)
    cv2.setRNGSeed(0)  # the same picture gives the same mask
    models = np.zeros((2, 1, 65))
    cv2.grabCut(np.ascontiguousarray(frame[..., ::-1]), labels, None, models[0], models[1], 3, cv2.GC_INIT_WITH_MASK)
    return np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
