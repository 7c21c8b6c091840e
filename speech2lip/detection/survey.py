"""First look at a clip: where its cuts are, whose face it shows, and where."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..background import prefetch
from ..errors import UserError
from ..media.decode import read_frames
from ..media.facts import Selection
from ..media.probe import expected_frames
from ..progress import track as progress
from .crop import ShotFace, dominant_face, shot_faces
from .detect import FaceDetector, FaceMesh
from .identity import Look, group_people, look_at
from .shots import find_shots, thumbnail

MIN_FRAMES = 50  # (2 s) below which nothing can be learned
_DETECT_EVERY = 0.4  # seconds between the frames on which all faces are looked for
_SURVEY_SIDE = 640
_AHEAD = 8  # frames that decoding may be ahead of looking for faces
_LOOKS = 8  # samples after a possible cut on which faces are looked at closely, to know whose they are
_LOOK_EVERY = 5  # samples between close looks after that


@dataclass(frozen=True)
class Survey:
    """First look at a clip: shots; person [shots]: who is seen in each (0: the one with most frames, 1, 2, ...: others, -1:
    nobody); that person's boxes [N, 4] (source pixels); frame size; number of frames."""

    shots: list[tuple[int, int]]
    person: np.ndarray
    boxes: np.ndarray
    width: int
    height: int
    frames: int

    def person_of_frames(self, count: int) -> np.ndarray:
        """`person` for each of `count` frames, [T]."""
        out = np.full(count, -1)
        for (start, end), person in zip(self.shots, self.person, strict=True):
            out[start:end] = person
        return out

    def left_out(self, count: int) -> np.ndarray:
        """Frames [T] bool that are not looked at: where several people are seen, all but those of the first."""
        person = self.person_of_frames(count)
        return (person != 0) & bool(person.max(initial=0) > 0)


def survey_clip(
    video: Path, fps: float, least: int = MIN_FRAMES, select: Selection = Selection(), same_person: float = 0.8
) -> Survey:
    """Decode a clip once, small; UserError when it has fewer than `least` frames, shows no face, or can be decoded
    only in part (unless `select` allows that).

    same_person: up to which distance (`identity.unlike`) the faces of two shots are one person's.
    """
    shape = _first_frame(video, fps, select).shape
    thumbs, samples, looks = _sample(video, fps, shape[0], select)
    if len(thumbs) < least:
        raise UserError(
            f"{video} has only {len(thumbs)} frames at {fps:g} per second: give a clip of at least {least} frames, "
            "better several minutes"
        )
    shots = find_shots(np.stack(thumbs))
    faces = shot_faces(samples, shots)
    person = _people(faces, looks, shots, same_person)
    boxes = dominant_face([face for face, number in zip(faces, person, strict=True) if number == 0])
    return Survey(shots, person, boxes, shape[1], shape[0], len(thumbs))


_Looks = dict[tuple[int, int], Look]  # by sample and box in it


def _sample(
    video: Path, fps: float, height: int, select: Selection
) -> tuple[list[np.ndarray], list[tuple[int, np.ndarray]], _Looks]:
    """Thumbnails of all frames; (index, boxes [K, 4] in pixels of the source) of sampled ones; close looks at some."""
    every = max(1, round(_DETECT_EVERY * fps))
    thumbs: list[np.ndarray] = []
    samples: list[tuple[int, np.ndarray]] = []
    looks: _Looks = {}
    fresh = 0
    frames = prefetch(((f, thumbnail(f)) for f in read_frames(video, fps, _SURVEY_SIDE, select=select)), _AHEAD)
    with closing(FaceDetector()) as detector, closing(FaceMesh(static=True)) as mesh:
        for index, (frame, small) in enumerate(progress(frames, "survey", expected_frames(video, fps, select))):
            jump = not thumbs or np.abs(small - thumbs[-1]).mean() > 3
            thumbs.append(small)
            if index % every and not jump:
                continue
            fresh = 0 if jump else fresh + 1
            boxes = detector(frame)
            if fresh < _LOOKS or fresh % _LOOK_EVERY == 0:
                looks |= {(len(samples), k): x for k, box in enumerate(boxes) if (x := _look(mesh, frame, box))}
            samples.append((index, boxes * (height / frame.shape[0])))
    return thumbs, samples, looks


def _look(mesh: FaceMesh, frame: np.ndarray, box: np.ndarray) -> Look | None:
    """The face in a box (left, top, width, height) of a frame; None where it is not found again."""
    low = (box[:2] - 0.5 * box[2:]).astype(int).clip(0)
    high = (box[:2] + 1.5 * box[2:]).astype(int).clip(0)
    patch = np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])
    points = mesh(patch) if patch.size else None
    return None if points is None else look_at(patch, points)


def _people(faces: list[ShotFace], looks: _Looks, shots: list[tuple[int, int]], same_person: float) -> np.ndarray:
    """Who is seen in each shot, [shots]: numbered from the person with most frames on; -1: nobody, or nobody knows who.

    Where one person alone is seen, all shots with a face are that one's.
    """
    seen = np.array([len(face.boxes) > 0 for face in faces])
    sightings = [
        [looks[key] for key in zip(face.samples.tolist(), face.places.tolist(), strict=True) if key in looks]
        for face in faces
    ]
    found = group_people(sightings, same_person)
    length = np.array([end - start for start, end in shots])
    names = sorted(set(found[found >= 0].tolist()), key=lambda n: -int(length[found == n].sum()))
    if len(names) < 2:
        return np.where(seen, 0, -1)
    return np.array([names.index(n) if n >= 0 else -1 for n in found])


def _first_frame(video: Path, fps: float, select: Selection) -> np.ndarray:
    frames = read_frames(video, fps, select=select)
    frame = next(frames, None)
    frames.close()
    if frame is None:
        raise UserError(f"{video} has no frames that can be decoded: give another video")
    return frame
