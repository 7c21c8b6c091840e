"""The sheet of people: everybody in a clip, numbered, with when they are seen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..files import atomic_path
from ..media.decode import read_frames
from ..media.facts import Selection
from ..media.images import write_image
from ..subject.people import ClipPeople, Person
from .survey import SURVEY_SIDE

SHOWN = 4  # pictures of a person
MOST = 12  # people on a sheet
_SIDE = 140  # pixels of a picture
_AROUND = 0.45  # of a face's box, that is shown around it
_GAP, _NUMBER, _LINE = 8, 84, 26
_PAPER, _INK, _SOFT = 255, (32, 36, 44), (91, 98, 114)


@dataclass(frozen=True)
class Seen:
    """One person on the sheet: number, pictures [_SIDE, _SIDE, 3], and what is said beside them."""

    number: int
    pictures: list[np.ndarray]
    text: str


def write_sheet(target: Path, found: ClipPeople, video: Path, fps: float, select: Selection) -> None:
    """Draw the sheet of a clip with several people; of one with one person, remove it."""
    if len(found.people) < 2:
        target.unlink(missing_ok=True)
        return
    rows = [
        Seen(n + 1, _pictures(p, found, video, fps, select), told(p, found.frames, fps))
        for n, p in enumerate(found.people[:MOST])
    ]
    with atomic_path(target) as path:
        write_image(path, draw(rows), 88)


def told(person: Person, frames: int, fps: float) -> str:
    """When a person is seen, in a line."""
    there = person.frames(frames)
    return f"seen in {there.sum() / fps:.1f} of {frames / fps:.1f} s, first at {int(there.argmax()) / fps:.1f} s"


def draw(rows: Sequence[Seen]) -> np.ndarray:
    """The sheet, RGB uint8."""
    wide = _NUMBER + SHOWN * (_SIDE + _GAP)
    return np.vstack([_strip(row, wide) for row in rows])


def _strip(row: Seen, wide: int) -> np.ndarray:
    out = np.full((_SIDE + _LINE + 2 * _GAP, wide, 3), _PAPER, np.uint8)
    for k, picture in enumerate(row.pictures):
        left = _NUMBER + k * (_SIDE + _GAP)
        out[_GAP : _GAP + _SIDE, left : left + _SIDE] = picture
    size = 2.0 if row.number < 10 else 1.4
    cv2.putText(
        out, str(row.number), (14, _GAP + _SIDE // 2 + 22), cv2.FONT_HERSHEY_SIMPLEX, size, _INK, 4, cv2.LINE_AA
    )
    at = (_NUMBER, _SIDE + _GAP + 20)
    cv2.putText(out, row.text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _SOFT, 1, cv2.LINE_AA)
    return out


def _pictures(person: Person, found: ClipPeople, video: Path, fps: float, select: Selection) -> list[np.ndarray]:
    """Moments spread over the time in which a person is seen, of each the one with the largest face."""
    seen = np.concatenate([t.seen for t in person.tracks])
    boxes = np.concatenate([t.boxes for t in person.tracks])
    order = np.argsort(seen)
    best = [part[boxes[part, 3].argmax()] for part in np.array_split(order, min(SHOWN, len(order)))]
    return [_picture(video, fps, select, int(seen[k]), boxes[k], found.size[1]) for k in best]


def _picture(video: Path, fps: float, select: Selection, frame: int, box: np.ndarray, height: int) -> np.ndarray:
    with closing(read_frames(video, fps, SURVEY_SIDE, frame, select)) as reader:
        image = next(reader)
    x, y, w, h = box * (image.shape[0] / height)
    reach = (0.5 + _AROUND) * max(w, h)
    scale = _SIDE / (2 * reach)
    shift = [-scale * (x + w / 2 - reach), -scale * (y + 0.45 * h - reach)]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    return np.asarray(
        cv2.warpAffine(image, matrix, (_SIDE, _SIDE), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
    )
