"""Stages: who is seen in a clip; then decode at full size, cut the chosen head out, find landmarks of every frame."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from ..background import AHEAD, OrderedPool, prefetch
from ..config import Config
from ..detection.alone import OneFace
from ..detection.choice import chosen_number
from ..detection.crop import head_crop, usual_boxes
from ..detection.detect import FaceMesh
from ..detection.sheet import told, write_sheet
from ..detection.survey import MIN_FRAMES, survey_clip
from ..errors import UserError
from ..facemesh import LANDMARKS
from ..media.decode import read_frames
from ..media.images import write_image
from ..progress import track as progress
from ..subject.layout import SubjectLayout
from ..subject.people import ClipPeople
from ..subject.records import ClipLandmarks, Crop, extract
from .source import selection


def find_people(config: Config, video: Path, layout: SubjectLayout) -> None:
    """Find out whom the clip shows; of several draw the sheet of people."""
    select = selection(config)
    found = survey_clip(video, config.data.fps, select=select, same_person=config.face.same_person)
    layout.save_people(found)
    write_sheet(layout.sheet, found, video, config.data.fps, select)


def chosen_face(config: Config, layout: SubjectLayout, picture: np.ndarray | None) -> dict[str, int]:
    """The number of the face that `data.face` asks for, among the people that were found, as an input of the next stage; said where
    there are several. picture: embedding of the face in a picture that was given."""
    found = layout.load_people()
    number = chosen_number(found, config.data.face, picture, layout.sheet)
    if len(found.people) > 1:
        own = found.people[number - 1]
        print(
            f"people: {len(found.people)} people are seen ({layout.sheet}); number {number} is learned, "
            f"{told(own, found.frames, config.data.fps)}, and others stay as they are; another one: --face NUMBER, or --face PICTURE"
        )
    return {"face": number}


def find_landmarks(config: Config, video: Path, layout: SubjectLayout, number: int) -> None:
    """Keep the head's square of every frame as JPEG, and the landmarks of the person of this number."""
    people = layout.load_people()
    boxes = usual_boxes([track.boxes for track in people.people[number - 1].tracks])
    crop = head_crop(boxes, *people.size, config.face.max_crop)
    shutil.rmtree(layout.face_images, ignore_errors=True)
    layout.face_images.mkdir(parents=True)
    patches = _cut_out(config, video, crop, people.size)
    with closing(FaceMesh()) as mesh, closing(patches), OrderedPool(2) as writer:
        points, look = [], OneFace(mesh, people, number, crop)
        for index, patch in enumerate(progress(patches, "landmarks", people.frames)):
            points.append(look(index, patch))
            writer.submit(_keep, layout.face_image(index), patch, points[-1], config.face.jpeg_quality)
        sharpness = writer.results()
    _check_seen(points, video, config.data.fps)
    layout.save_landmarks(_record(people, number, crop, points, sharpness, look.person))


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


def _record(
    people: ClipPeople, number: int, crop: Crop, points: list[np.ndarray | None], sharpness: list[float], person: np.ndarray
) -> ClipLandmarks:  # fmt: skip
    empty, count = np.zeros((LANDMARKS, 3), np.float32), len(points)
    return ClipLandmarks(
        landmarks=np.stack([empty if p is None else p for p in points]),
        seen=np.array([p is not None for p in points]),
        sharpness=np.array(sharpness),
        shots=tuple((a, min(b, count)) for a, b in people.shots if a < count),
        crop=crop,
        size=people.size,
        person=np.concatenate([person, np.full(max(count - len(person), 0), -1)])[:count],
        face=number,
    )


def _sharpness(patch: np.ndarray, points: np.ndarray | None) -> float:
    """Variance of the Laplacian over the face, every second pixel."""
    if points is None:
        return 0.0
    low = points[:, :2].min(0).astype(int).clip(0)
    high = points[:, :2].max(0).astype(int) + 1
    grey = cv2.cvtColor(patch[low[1] : high[1], low[0] : high[0]], cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()) if grey.size else 0.0
