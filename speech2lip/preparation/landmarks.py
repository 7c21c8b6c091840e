"""Stage: decode at full size, cut the head out, find landmarks of every frame."""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from ..background import AHEAD, BackgroundPool, prefetch
from ..config import Config
from ..detection.crop import head_crop
from ..detection.detect import FaceMesh
from ..detection.survey import MIN_FRAMES, survey_clip
from ..errors import UserError
from ..files import atomic_path
from ..media.decode import read_frames
from ..media.images import write_image
from ..progress import track as progress
from ..subject.layout import SubjectLayout
from ..subject.records import extract


def find_landmarks(config: Config, video: Path, layout: SubjectLayout) -> None:
    """Decode once more at full size; keep the head's square as JPEG, and landmarks of every frame."""
    survey = survey_clip(video, config.data.fps)
    crop = head_crop(survey.boxes, survey.width, survey.height, config.face.max_crop)
    layout.subject.unlink(missing_ok=True)
    shutil.rmtree(layout.face_images, ignore_errors=True)
    layout.face_images.mkdir(parents=True)
    starts = {start for start, _ in survey.shots}
    mesh = FaceMesh()
    points: list[np.ndarray | None] = []

    def keep(index: int, patch: np.ndarray, found: np.ndarray | None) -> float:
        write_image(layout.face_image(index), patch, config.face.jpeg_quality)
        return _sharpness(patch, found)

    writer = BackgroundPool(2)
    cut = (np.ascontiguousarray(extract(frame, crop)) for frame in read_frames(video, config.data.fps))
    patches = prefetch(cut, AHEAD)
    with closing(patches):
        for index, patch in enumerate(progress(patches, "landmarks", survey.frames)):
            if index in starts and index > 0:
                mesh.reset()
            points.append(mesh(patch))
            writer.submit(keep, index, patch, points[-1])
    sharpness = writer.close()
    mesh.close()
    seen = np.array([p is not None for p in points])
    if seen.sum() < MIN_FRAMES:
        raise UserError(
            f"{video} shows a face in only {int(seen.sum())} of {len(seen)} frames: give a clip in which one "
            f"person's face is well visible for at least {MIN_FRAMES / config.data.fps:.0f} s"
        )
    empty = np.zeros((478, 3), np.float32)
    shots = [(a, min(b, len(seen))) for a, b in survey.shots if a < len(seen)]
    with atomic_path(layout.landmarks) as path, open(path, "wb") as stream:
        np.savez(
            stream, landmarks=np.stack([empty if p is None else p for p in points]), seen=seen,
            sharpness=np.array(sharpness), shots=np.array(shots),
            crop=np.array([crop.x, crop.y, crop.side, crop.size]), size=np.array([survey.width, survey.height]),
        )  # fmt: skip


def _sharpness(patch: np.ndarray, points: np.ndarray | None) -> float:
    """Variance of the Laplacian over the face, every second pixel."""
    if points is None:
        return 0.0
    low = points[:, :2].min(0).astype(int).clip(0)
    high = points[:, :2].max(0).astype(int) + 1
    grey = cv2.cvtColor(patch[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) if grey.size else 0.0
