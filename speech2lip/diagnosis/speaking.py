"""Mouth and sound together: whether they belong to each other, how far they are apart, and what they cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import LearnableConfig
from ..facemesh import interocular, mouth_opening, mouth_width
from ..metrics.basic import lag_curve
from ..preparation.learnable import LITTLE, NOTHING, held_out_correlation, judge_sync
from .finding import FATAL, NOTE, OK, WARNING, Finding, graded

REACH = 12  # frames by which sound and picture are moved against each other; offsets of up to 8 and their surroundings
_LARGEST = 10.5  # frames beyond which the peak's far side is not seen
_BESIDE = 3  # frames from the peak at which it must have fallen
_DISTINCT = 0.65  # of the peak, which nothing beside it may reach
_LEAST, _CHANCE = 0.15, 3.5  # score of a clear peak; and over the root of the number of frames
_SECONDS = 8.0  # of a face and sound, without which nothing is said
# ITU-R BT.1359: people notice sound 45 ms early or 125 ms late. Clips known to be in sync come out within 25 ms.
_OFFSET_NOTE, _EARLY, _LATE = 0.06, 0.09, 0.125
_OPEN_NOTE, _OPEN_WARNING = (
    0.06,
    0.03,
)  # of the eyes' distance, between closed and wide open; real clips have 0.09 to 0.21
_CLOSED = 0.02  # of the eyes' distance: lips that touch
_CLOSURES = 0.02  # share of frames with closed lips; real clips have 0.12 and more
_SOUNDS_NOTE, _SOUNDS_WARNING = 0.45, 0.25  # nepers by which the spectrum's shape varies; real clips have 0.6 to 1.1


@dataclass(frozen=True)
class Offset:
    """How far the sound is from the picture. frames: by which the sound comes late (negative: early); clear: whether
    the peak is distinct; curve: [2 REACH + 1] score at each lag from -REACH to REACH."""

    frames: float
    clear: bool
    curve: np.ndarray


def estimate_offset(opening: np.ndarray, rows: np.ndarray, fps: float) -> Offset:
    """At which lag the sound tells most about the mouth: what is seen at frame t is heard at frame t + offset.

    opening: [T] of the mouth (NaN: no face); rows: [T, 16] log loudness in bands (`learnable.band_rows`; NaN: no
    sound). The score is the mean of two: how well a ridge regression from a single moment's spectrum tells the opening
    on held-out parts, and how the change of the opening goes with the change of loudness, which has the sharper peak.
    """
    lags = np.arange(-REACH, REACH + 1)
    told = np.array([held_out_correlation(opening, _moved(rows, lag), fps) for lag in lags])
    rise = lag_curve(_slope(opening), _slope(rows.mean(1)), REACH)[::-1]  # its lags count the picture as late
    curve = np.nan_to_num((told + rise) / 2)
    peak = int(curve.argmax())
    frames = int((np.isfinite(opening) & np.isfinite(rows[:, 0])).sum())
    return Offset(_summit(curve, peak) - REACH, _is_clear(curve, peak, frames, fps), curve)


def _moved(rows: np.ndarray, lag: int) -> np.ndarray:
    """Row t + lag at t; NaN where there is none."""
    out = np.full_like(rows, np.nan)
    if lag >= 0:
        out[: len(rows) - lag] = rows[lag:]
    else:
        out[-lag:] = rows[:lag]
    return out


def _slope(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.gradient(values)) if len(values) > 1 else np.zeros(len(values))


def _summit(curve: np.ndarray, peak: int) -> float:
    """Where a parabola through the peak and its neighbours is highest."""
    if not 0 < peak < len(curve) - 1:
        return float(peak)
    before, top, after = curve[peak - 1 : peak + 2]
    bend = before - 2 * top + after
    return float(peak + (0.5 * (before - after) / bend if bend < 0 else 0.0))


def _is_clear(curve: np.ndarray, peak: int, frames: int, fps: float) -> bool:
    beside = np.abs(np.arange(len(curve)) - peak) >= _BESIDE
    need = max(_LEAST, _CHANCE / np.sqrt(max(frames, 1)))
    long_enough, inside = frames >= _SECONDS * fps, abs(peak - REACH) <= _LARGEST
    return bool(long_enough and inside and curve[peak] >= need and curve[beside].max() <= _DISTINCT * curve[peak])


def offset(found: Offset, fps: float) -> Finding:
    """Whether sound and picture are apart, and the setting that brings them together."""
    seconds = found.frames / fps
    if not found.clear:
        return Finding("offset", NOTE, "how far sound and picture are apart is not clear", "More speech tells.")
    side = "late" if seconds > 0 else "early"
    text = f"the sound is {abs(seconds) * 1000:.0f} ms {side} ({found.frames:+.1f} frames)"
    severity = OK if abs(seconds) < _OFFSET_NOTE else WARNING if not -_EARLY < seconds < _LATE else NOTE
    return Finding("offset", severity, text, "" if severity == OK else f"Preprocess with data.offset={seconds:.2f}.")


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
