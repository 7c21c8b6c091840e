"""How far a clip's sound is from its picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..metrics.basic import lag_curve
from .learnable import held_out_correlation

REACH = 12  # frames by which sound and picture are moved against each other; offsets of up to 8 and their surroundings
_LARGEST = 10.5  # frames beyond which the peak's far side is not seen
_BESIDE = 3  # frames from the peak at which it must have fallen
_DISTINCT = 0.65  # of the peak, which nothing beside it may reach
_LEAST, _CHANCE = 0.15, 3.5  # score of a clear peak; and over the root of the number of frames
_SECONDS = 8.0  # of a face and sound, without which nothing is said
NOTICEABLE = 0.06  # seconds; clips known to be in sync come out within 25 ms, and people notice 45 early or 125 late (ITU-R BT.1359)


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


def lateness(seconds: float) -> str:
    """As words: "120 ms late"."""
    return f"{abs(seconds) * 1000:.0f} ms {'late' if seconds > 0 else 'early'}"
