"""Mouth and sound together: whether they belong to each other, how far they are apart, and what they cover."""

from __future__ import annotations

import numpy as np

from ..config import LearnableConfig
from ..facemesh import interocular, mouth_opening, mouth_width
from ..preparation.learnable import LITTLE, NOTHING, judge_sync
from ..preparation.offset import NOTICEABLE, Offset, lateness
from .finding import FATAL, NOTE, OK, WARNING, Finding, graded

_OPEN_NOTE, _OPEN_WARNING = (
    0.06,
    0.03,
)  # of the eyes' distance, between closed and wide open; real clips have 0.09 to 0.21
_CLOSED = 0.02  # of the eyes' distance: lips that touch
_CLOSURES = 0.02  # share of frames with closed lips; real clips have 0.12 and more
_SOUNDS_NOTE, _SOUNDS_WARNING = 0.45, 0.25  # nepers by which the spectrum's shape varies; real clips have 0.6 to 1.1


def offset(found: Offset, fps: float) -> Finding:
    """Whether sound and picture are apart."""
    seconds = found.frames / fps
    if not found.clear:
        return Finding("offset", NOTE, "how far sound and picture are apart is not clear", "More speech tells.")
    text = f"the sound is {lateness(seconds)} ({found.frames:+.1f} frames)"
    apart = abs(seconds) >= NOTICEABLE
    return Finding(
        "offset",
        NOTE if apart else OK,
        text,
        "Preprocessing moves it back, unless data.correct_offset=false." if apart else "",
    )


def belonging(opening: np.ndarray, rows: np.ndarray, fps: float, need: LearnableConfig) -> tuple[Finding, float]:
    """Whether the lips say what is heard, by the judgement that preprocessing refuses with; and its correlation (NaN:
    too little of a face to say)."""
    found, verdict = judge_sync(need, opening, rows, fps)
    if not np.isfinite(found):
        return Finding(
            "dubbed", NOTE, "whether lips and sound belong together is not known", "Give a longer clip."
        ), found
    text = f"the sound tells the mouth's opening with a correlation of {found:.2f} on held-out parts"
    severity = {NOTHING: FATAL, LITTLE: WARNING}.get(verdict, OK)
    remedy = "" if severity == OK else "Give a clip that is not dubbed, or its own speech with --voice FILE."
    return Finding("dubbed", severity, text, remedy), found


def mouth_shapes(landmarks: np.ndarray, seen: np.ndarray) -> Finding:
    """Whether the mouth is seen closed, open and wide; landmarks: [T, 478, 3]; seen: [T] bool."""
    points = landmarks[seen]
    eyes = interocular(points)
    low, high = np.percentile(mouth_opening(points) / eyes, [5, 95])
    narrow, wide = np.percentile(mouth_width(points) / eyes, [5, 95])
    closed = float((mouth_opening(points) / eyes < _CLOSED).mean())
    severity = graded(float(high - low), _OPEN_NOTE, _OPEN_WARNING)
    if severity == OK and closed < _CLOSURES:
        severity = NOTE
    text = (
        f"openings span {high - low:.2f}, widths {wide - narrow:.2f} of the distance between the eyes; "
        f"the lips are closed in {closed:.0%} of the frames"
    )
    remedy = "" if severity == OK else "Speak livelier, with sentences full of m, b, p, a and o."
    return Finding("mouth_shapes", severity, text, remedy)


def sounds(rows: np.ndarray, speech: np.ndarray) -> Finding:
    """Whether different sounds are heard; rows: [T, 16] log loudness in bands; speech: [T] bool, frames that count."""
    heard = rows[speech & np.isfinite(rows[:, 0])]
    shape = heard - heard.mean(1, keepdims=True)
    spread = float(np.sqrt(shape.var(0).mean())) if len(heard) else 0.0
    severity = graded(spread, _SOUNDS_NOTE, _SOUNDS_WARNING)
    remedy = "" if severity == OK else "Read a varied text aloud."
    return Finding("sounds", severity, f"the spectrum's shape varies by {spread:.2f} nepers", remedy)
