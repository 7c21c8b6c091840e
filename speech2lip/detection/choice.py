"""Whose face shall be learned: by a number on the sheet of people, or by a picture."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from ..files import check_input
from ..media.images import read_image
from ..subject.people import ClipPeople
from .detect import FaceDetector, FaceMesh
from .identity import look_at, unlike
from .survey import SURVEY_SIDE

ALIKE = 0.55  # apart, up to which the face of a picture may be somebody's in the clip
_CLEAR = 0.05  # by which the next person must be farther
_DIGITS = 10  # more of them than Python converts are an error of its own
_AROUND = 0.5  # of a face's box, that is looked at around it


def is_number(wanted: str) -> bool:
    """Whether a choice is a number and no picture's name."""
    return wanted.strip().isdecimal()


def _as_number(wanted: str) -> int:
    """A number that was given; what has more digits than any count of people is a billion."""
    return int(wanted) if len(wanted) < _DIGITS else 10 ** (_DIGITS - 1)


def check_choice(wanted: str) -> np.ndarray | None:
    """The embedding of the face in a picture that was given; None for a number, or nothing. UserError for a number below 1, and for
    a picture that cannot be read or does not show one face."""
    if not wanted:
        return None
    if is_number(wanted):
        if _as_number(wanted) < 1:
            raise UserError(f"there is no face {wanted} (--face): people are numbered from 1")
        return None
    check_input(Path(wanted), "a picture of the person, or a number, for --face")
    return _face_of(Path(wanted))


def _face_of(path: Path) -> np.ndarray:
    try:
        image = read_image(path)
    except UserError as error:
        raise UserError(
            f"{path} is no picture that can be read: give --face a JPEG or PNG of the person, or a number"
        ) from error
    scale = min(1.0, SURVEY_SIDE / max(image.shape[:2]))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
    with closing(FaceDetector()) as detector, closing(FaceMesh(static=True)) as mesh:
        boxes = detector(small) / scale
        if len(boxes) > 1:
            raise UserError(f"{path} shows {len(boxes)} faces: give --face a picture of that person alone")
        part = image
        if len(boxes):
            low, high = (boxes[0, :2] - _AROUND * boxes[0, 2:]), (boxes[0, :2] + (1 + _AROUND) * boxes[0, 2:])
            (x, y), (right, bottom) = low.astype(int).clip(0), high.astype(int)
            part = np.ascontiguousarray(image[y:bottom, x:right])
        points = mesh(part)
    if points is None:
        raise UserError(f"{path} shows no face that can be recognised: give --face another picture, or a number")
    return look_at(part, points)


def chosen_number(found: ClipPeople, wanted: str, picture: np.ndarray | None, sheet: Path) -> int:
    """The number of the person who was asked for. picture: embedding of the face in `wanted`; sheet: where the numbers are shown.
    UserError where the clip has no such person."""
    count = len(found.people)
    where = f" ({sheet} shows them)" if count > 1 else ""
    if picture is None:
        number = _as_number(wanted or "1")
        if number > count:
            people = "1 person was" if count == 1 else f"{count} people were"
            raise UserError(f"there is no face {wanted}: {people} found in the clip{where}: give --face 1 to {count}")
        return number
    away = np.array([unlike(picture[None], p.looks).min() if len(p.looks) else np.inf for p in found.people])
    number = int(away.argmin()) + 1
    if not away[number - 1] <= ALIKE:
        raise UserError(
            f"{wanted} shows nobody of the clip: its face is {away.min():.2f} away from the nearest of {count}, and {ALIKE} is the most "
            f"for one person: give --face another picture, or a number{where}"
        )
    rest = np.delete(away, number - 1)
    if len(rest) and rest.min() - away.min() < _CLEAR:
        raise UserError(
            f"{wanted} is like two people of the clip, {away.min():.2f} and {rest.min():.2f} away: give --face a number{where}"
        )
    return number
