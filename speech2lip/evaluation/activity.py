"""How loud speech is at each video frame, and where it is silent."""

from __future__ import annotations

import numpy as np

from ..media.sound import SAMPLE_RATE
from ..metrics.basic import runs

_FLOOR = -80.0  # dB of full scale: nothing is quieter
_QUIET = -60.0  # dB: a file that never gets louder is silent throughout
_SPAN = 12.0  # dB between noise and speech below which a file has no pauses


def frame_level(wav: np.ndarray, fps: float, count: int) -> np.ndarray:
    """Level in dB of full scale [count] of 16 kHz samples [N] around each frame's time (one frame's length)."""
    half = SAMPLE_RATE / fps / 2
    power = np.concatenate([[0.0], np.cumsum(np.asarray(wav, np.float64) ** 2)])
    centre = np.arange(count) * 2 * half
    low, high = (np.clip(np.round(centre + s).astype(int), 0, len(wav)) for s in (-half, half))
    mean = (power[high] - power[low]) / np.maximum(high - low, 1)
    return np.maximum(10 * np.log10(np.maximum(mean, 1e-12)), _FLOOR)


def silent_frames(level: np.ndarray, fps: float, least: float = 0.24, guard: float = 0.08) -> np.ndarray:
    """Frames [T] bool inside pauses of at least `least` seconds.

    A pause lies below a third of the way from the noise (5th percentile) to the speech (95th)
    in dB. `guard` seconds at both ends do not count: lips open before the sound and close
    after it.
    """
    low, high = np.percentile(level, [5, 95])
    if high < _QUIET:
        return np.ones(len(level), bool)
    if high - low < _SPAN:
        return np.zeros(len(level), bool)
    out = np.zeros(len(level), bool)
    inset = round(guard * fps)
    for start, end in runs(level < low + (high - low) / 3):
        if end - start >= least * fps:
            out[start + inset : end - inset] = True
    return out
