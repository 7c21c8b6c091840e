"""First look at a clip: where its cuts are, whom it shows, and where."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..background import prefetch
from ..errors import UserError
from ..facemesh import face_box
from ..media.decode import read_frames
from ..media.facts import Selection
from ..media.probe import expected_frames
from ..progress import track as progress
from ..subject.people import EMBEDDING, ClipPeople, FaceTrack, Person, in_order, overlap
from .crop import ShotFace, shot_faces
from .detect import FaceDetector, FaceMesh
from .identity import changes, group_people, look_at, plain
from .shots import find_shots, thumbnail

MIN_FRAMES = 50  # (2 s) below which nothing can be learned
SURVEY_SIDE = 640  # pixels of the longer side at which faces are looked for
_DETECT_EVERY = 0.4  # seconds between the frames on which all faces are looked for
_AHEAD = 8  # frames that decoding may be ahead of looking for faces
_LOOKS = 8  # samples after a possible cut, or a new face, on which faces are looked at closely, to know whose they are
_LOOK_EVERY = 5  # samples between close looks after that
_THERE = 0.3  # overlap of a box with the face that is found in it, below which that is another's
_NEW = 0.2  # overlap with any box of the sample before, below which a face is new

Looks = dict[tuple[int, int], np.ndarray]  # embeddings by sample and box in it


def survey_clip(
    video: Path, fps: float, least: int = MIN_FRAMES, select: Selection = Selection(), same_person: float = 0.45
) -> ClipPeople:
    """Decode a clip once, small; UserError when it has fewer than `least` frames, shows no face, or can be decoded
    only in part (unless `select` allows that).

    same_person: up to which distance (`identity.unlike`) two faces are one person's.
    """
    shape = _first_frame(video, fps, select).shape
    found = _sample(video, fps, shape[0], select)
    if len(found.thumbs) < least:
        raise UserError(
            f"{video} has only {len(found.thumbs)} frames at {fps:g} per second: give a clip of at least {least} frames, "
            "better several minutes"
        )
    shots = find_shots(np.stack(found.thumbs))
    if not any(len(boxes) for _, boxes in found.samples):
        raise UserError("no face was found in the video: give a clip in which one person's face is well visible")
    people, strangers = people_of(found.samples, found.looks, shots, same_person)
    return ClipPeople(tuple(shots), (shape[1], shape[0]), len(found.thumbs), people, strangers)


@dataclass
class _Found:
    """thumbs: of all frames; samples: (index, boxes [K, 4] in pixels of the source) of frames looked at; looks: at some."""

    thumbs: list[np.ndarray] = field(default_factory=list)
    samples: list[tuple[int, np.ndarray]] = field(default_factory=list)
    looks: Looks = field(default_factory=dict)


def _sample(video: Path, fps: float, height: int, select: Selection) -> _Found:
    """Every frame's thumbnail, and faces in some: more often where there are several, who may change places."""
    every, due, fresh = max(1, round(_DETECT_EVERY * fps)), 0, 0
    out, crowd = _Found(), 0
    frames = prefetch(((f, thumbnail(f)) for f in read_frames(video, fps, SURVEY_SIDE, select=select)), _AHEAD)
    with closing(FaceDetector()) as detector, closing(FaceMesh(static=True)) as mesh:
        for index, (frame, small) in enumerate(progress(frames, "survey", expected_frames(video, fps, select))):
            jump = not out.thumbs or np.abs(small - out.thumbs[-1]).mean() > 3
            out.thumbs.append(small)
            regular = jump or index >= due
            if not regular and not crowd:
                continue
            boxes = detector(frame)
            crowd = every if len(boxes) > 1 else max(crowd - 1, 0)
            scaled = boxes * (height / frame.shape[0])
            jump = jump or _is_new(scaled, out.samples[-1][1])
            if regular or jump:
                fresh, due = 0 if jump else fresh + 1, index - index % every + every
                if fresh < _LOOKS or fresh % _LOOK_EVERY == 0 or len(boxes) > 1:
                    looks = {(len(out.samples), k): _look(mesh, frame, box) for k, box in enumerate(boxes)}
                    out.looks |= {key: look for key, look in looks.items() if look is not None}
            out.samples.append((index, scaled))
    return out


def _is_new(boxes: np.ndarray, before: np.ndarray) -> bool:
    """Whether one of the boxes [K, 4] is none of those before it."""
    if not len(boxes) or not len(before):
        return len(boxes) > 0
    return bool((overlap(boxes[:, None], before[None]).max(1) < _NEW).any())


def _look(mesh: FaceMesh, frame: np.ndarray, box: np.ndarray) -> np.ndarray | None:
    """The face in a box (left, top, width, height) of a frame; None where it is not found again."""
    low = (box[:2] - 0.5 * box[2:]).astype(int).clip(0)
    high = (box[:2] + 1.5 * box[2:]).astype(int).clip(0)
    patch = np.ascontiguousarray(frame[low[1] : high[1], low[0] : high[0]])
    points = mesh(patch) if patch.size else None
    if points is None or overlap(face_box(points) + [*low, 0, 0], box) < _THERE:
        return None
    return look_at(patch, points)


# ---------------------------------------------------------------- who is who


def people_of(
    samples: Sequence[tuple[int, np.ndarray]], looks: Looks, shots: Sequence[tuple[int, int]], same_person: float
) -> tuple[tuple[Person, ...], tuple[FaceTrack, ...]]:
    """People by number, and faces that nobody knows.

    Where one person alone is known, shots with unknown faces alone are that one's: somebody who turned away.
    """
    pieces = [
        (n, piece) for n, faces in enumerate(shot_faces(samples, shots)) for f in faces for piece in _split(f, looks)
    ]
    sightings = [_looks_of(face, looks) for _, face in pieces]
    found = group_people(sightings, same_person)
    if len(set(found[found >= 0].tolist())) < 2:
        found = _one_person([shot for shot, _ in pieces], found)
    times = np.array([frame for frame, _ in samples])
    tracks = [_track(face, times, shots[shot], [f for s, f in pieces if s == shot]) for shot, face in pieces]

    def person(number: int) -> Person:
        own = np.flatnonzero(found == number)
        return Person(tuple(tracks[k] for k in own), np.concatenate([sightings[k] for k in own]))

    everybody = [person(number) for number in sorted(set(found[found >= 0].tolist()))]
    strangers = tuple(track for track, number in zip(tracks, found, strict=True) if number < 0)
    return in_order(everybody, shots[-1][1]), strangers


def _looks_of(face: ShotFace, looks: Looks) -> np.ndarray:
    keys = zip(face.samples.tolist(), face.places.tolist(), strict=True)
    return np.array([looks[key] for key in keys if key in looks], np.float32).reshape(-1, EMBEDDING)


def _split(face: ShotFace, looks: Looks) -> list[ShotFace]:
    """A followed face, cut where another person took the place of the first; sightings that are nobody's are forgotten."""
    keys = list(zip(face.samples.tolist(), face.places.tolist(), strict=True))
    at = np.array([k for k, key in enumerate(keys) if key in looks], int)
    if len(at) < 2:
        return [face]
    own = np.array([looks[keys[k]] for k in at])
    kept = plain(own)
    for k in at[~kept]:
        del looks[keys[k]]
    at, own = at[kept], own[kept]
    cuts = [int(at[k - 1] + at[k] + 1) // 2 for k in changes(own)]
    return [face.part(slice(a, b)) for a, b in zip([0, *cuts], [*cuts, len(keys)], strict=True)]


def _one_person(shot: Sequence[int], found: np.ndarray) -> np.ndarray:
    """Person of each piece, where at most one is known: the largest face of every shot in which that one is not is that one's, too."""
    out = np.where(found >= 0, 0, -1)
    for number in set(shot):
        own = [k for k, s in enumerate(shot) if s == number]
        if (out[own] < 0).all():
            out[own[0]] = 0
    return out


def _track(face: ShotFace, times: np.ndarray, shot: tuple[int, int], together: Sequence[ShotFace]) -> FaceTrack:
    """A piece with the frames in which it is there: alone in its shot all of it, else until half-way to the samples without it."""
    seen, (start, end) = times[face.samples], shot
    if len(together) > 1:
        first, last = int(face.samples[0]), int(face.samples[-1])
        before = times[first - 1] if first > 0 and times[first - 1] >= start else start - 1
        after = times[last + 1] if last + 1 < len(times) and times[last + 1] < end else end
        start = int(before + seen[0] + 1) // 2 if before >= start else start
        end = int(seen[-1] + after + 1) // 2 if after < end else end
    return FaceTrack(start, end, seen, face.boxes)


def _first_frame(video: Path, fps: float, select: Selection) -> np.ndarray:
    frames = read_frames(video, fps, select=select)
    frame = next(frames, None)
    frames.close()
    if frame is None:
        raise UserError(f"{video} has no frames that can be decoded: give another video")
    return frame
