"""Stage: decode at full size, cut the head out, find landmarks of every frame."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from ..background import AHEAD, OrderedPool, prefetch
from ..config import Config
from ..detection.crop import head_crop
from ..detection.detect import FaceMesh
from ..detection.survey import MIN_FRAMES, Survey, survey_clip
from ..errors import UserError
from ..facemesh import LANDMARKS
from ..media.decode import read_frames
from ..media.images import write_image
from ..progress import track as progress
from ..subject.layout import SubjectLayout
from ..subject.records import ClipLandmarks, Crop, extract
from .source import selection


def find_landmarks(config: Config, video: Path, layout: SubjectLayout) -> None:
    """Keep the head's square of every frame as JPEG, and its landmarks."""
    survey = survey_clip(video, config.data.fps, select=selection(config), same_person=config.face.same_person)
    _tell_people(survey, config.data.fps)
    crop = head_crop(survey.boxes, survey.width, survey.height, config.face.max_crop)
    shutil.rmtree(layout.face_images, ignore_errors=True)
    layout.face_images.mkdir(parents=True)
    patches = _cut_out(config, video, crop, (survey.width, survey.height))
    with closing(FaceMesh()) as mesh, closing(patches), OrderedPool(2) as writer:
        points = []
        starts = {start for start, _ in survey.shots if start > 0}
        others = survey.left_out(survey.frames)
        for index, patch in enumerate(progress(patches, "landmarks", survey.frames)):
            if index in starts:
                mesh.reset()
            points.append(None if others[index : index + 1].any() else mesh(patch))
            writer.submit(_keep, layout.face_image(index), patch, points[-1], config.face.jpeg_quality)
        sharpness = writer.results()
    _check_seen(points, video, config.data.fps)
    layout.save_landmarks(_record(survey, crop, points, sharpness))


def _tell_people(survey: Survey, fps: float) -> None:
    """Say whose face is learned where several people take turns."""
    person = survey.person_of_frames(survey.frames)
    if person.max(initial=0) > 0:
        first = int(np.argmax(person == 0)) / fps
        print(
            f"people: {person.max() + 1} people are seen; the one seen first at {first:.1f} s, in {(person == 0).sum() / fps:.1f} of "
            f"{len(person) / fps:.1f} s, is learned, and frames of others stay as they are"
        )


def _cut_out(config: Config, video: Path, crop: Crop, size: tuple[int, int]) -> Generator[np.ndarray, None, None]:
    """The crop of every frame (width, height), decoded ahead."""
    part = crop.seen(size)
    frames = read_frames(video, config.data.fps, select=selection(config), part=part)
    return prefetch((np.ascontiguousarray(extract(frame, crop.within(part))) for frame in frames), AHEAD)


def _keep(target: Path, patch: np.ndarray, points: np.ndarray | None, quality: int) -> float:
    write_image(target, patch, quality)
    return _sharpness(patch, points)


def _check_seen(points: list[np.ndarray | None], video: Path, fps: float) -> None:
    seen = sum(p is not None for p in points)
    if seen < MIN_FRAMES:
        raise UserError(
            f"{video} shows a face in only {seen} of {len(points)} frames: give a clip in which one "
            f"person's face is well visible for at least {MIN_FRAMES / fps:.0f} s"
        )


def _record(survey: Survey, crop: Crop, points: list[np.ndarray | None], sharpness: list[float]) -> ClipLandmarks:
    empty = np.zeros((LANDMARKS, 3), np.float32)
    return ClipLandmarks(
        landmarks=np.stack([empty if p is None else p for p in points]),
        seen=np.array([p is not None for p in points]),
        sharpness=np.array(sharpness),
        shots=tuple((a, min(b, len(points))) for a, b in survey.shots if a < len(points)),
        crop=crop,
        size=(survey.width, survey.height),
        person=survey.person_of_frames(len(points)),
    )


def _sharpness(patch: np.ndarray, points: np.ndarray | None) -> float:
    """Variance of the Laplacian over the face, every second pixel."""
    if points is None:
        return 0.0
    low = points[:, :2].min(0).astype(int).clip(0)
    high = points[:, :2].max(0).astype(int) + 1
    grey = cv2.cvtColor(patch[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) if grey.size else 0.0
