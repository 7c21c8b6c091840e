"""First look at a clip: where its cuts are, whose face it shows, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..background import prefetch
from ..errors import UserError
from ..media.decode import read_frames
from ..media.facts import Selection
from ..media.probe import expected_frames
from ..progress import track as progress
from .crop import dominant_face
from .detect import FaceDetector
from .shots import find_shots, thumbnail

MIN_FRAMES = 50  # (2 s) below which nothing can be learned
_DETECT_EVERY = 0.4  # seconds between the frames on which all faces are looked for
_SURVEY_SIDE = 640
_AHEAD = 8  # frames that decoding may be ahead of looking for faces


@dataclass(frozen=True)
class Survey:
    """First look at a clip: shots, the wanted face's boxes [N, 4] (source pixels), frame size."""

    shots: list[tuple[int, int]]
    boxes: np.ndarray
    width: int
    height: int
    frames: int


def survey_clip(video: Path, fps: float, least: int = MIN_FRAMES, select: Selection = Selection()) -> Survey:
    """Decode a clip once, small; UserError when it has fewer than `least` frames, shows no face, or can be decoded
    only in part (unless `select` allows that)."""
    detector = FaceDetector()
    every = max(1, round(_DETECT_EVERY * fps))
    thumbs: list[np.ndarray] = []
    samples: list[tuple[int, np.ndarray]] = []
    shape = _first_frame(video, fps, select).shape
    previous: np.ndarray | None = None
    frames = prefetch(((f, thumbnail(f)) for f in read_frames(video, fps, _SURVEY_SIDE, select=select)), _AHEAD)
    for index, (frame, small) in enumerate(progress(frames, "survey", expected_frames(video, fps, select))):
        thumbs.append(small)
        jump = previous is None or np.abs(thumbs[-1] - previous).mean() > 3
        if index % every == 0 or jump:
            samples.append((index, detector(frame) * (shape[0] / frame.shape[0])))
        previous = thumbs[-1]
    detector.close()
    if len(thumbs) < least:
        raise UserError(
            f"{video} has only {len(thumbs)} frames at {fps:g} per second: give a clip of at least {least} frames, "
            "better several minutes"
        )
    shots = find_shots(np.stack(thumbs))
    return Survey(shots, dominant_face(samples, shots), shape[1], shape[0], len(thumbs))


def _first_frame(video: Path, fps: float, select: Selection) -> np.ndarray:
    frames = read_frames(video, fps, select=select)
    frame = next(frames, None)
    frames.close()
    if frame is None:
        raise UserError(f"{video} has no frames that can be decoded: give another video")
    return frame
