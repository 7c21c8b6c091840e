"""Made mouths, and sound that goes with them."""

from __future__ import annotations

import numpy as np

FPS = 25.0


def babble(seconds: float, seed: int) -> np.ndarray:
    """How open a mouth is, 0..1, that says syllables of many lengths, at 25 per second."""
    rng, count = np.random.default_rng(seed), round(seconds * FPS)
    kernel = np.hanning(7) / np.hanning(7).sum()
    return np.convolve(rng.random(count + 6), kernel, "valid") ** 2


def rows_told(loudness: np.ndarray, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Bands [T, 16] that grow with the loudness, each by its own amount."""
    rng = np.random.default_rng(seed)
    tilt = np.linspace(1, 3, 16)
    return loudness[:, None] * tilt * 4 + noise * rng.normal(size=(len(loudness), 16))
