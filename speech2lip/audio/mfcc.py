"""Mel-frequency cepstral coefficients as python_speech_features computes them."""

from __future__ import annotations

import numpy as np

CEPSTRA, N_FFT = 26, 512
_FRAME, _STEP, _LIFTER = 400, 160, 22


def mfcc(pcm: np.ndarray, cepstra: int = CEPSTRA) -> np.ndarray:
    """Mel-frequency cepstra [rows, cepstra] of 16 kHz samples [N] in 16-bit units, 100 rows per second.

    26 triangular filters up to 8 kHz with integer FFT bins; orthonormal DCT-II; liftered by
    22; the first coefficient is replaced by the logarithm of the frame's energy.
    """
    signal = np.append(pcm[:1], pcm[1:] - 0.97 * pcm[:-1]).astype(np.float64)
    rows = 1 if len(signal) <= _FRAME else 1 + int(np.ceil((len(signal) - _FRAME) / _STEP))
    padded = np.pad(signal, (0, max((rows - 1) * _STEP + _FRAME - len(signal), 0)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[::_STEP][:rows]
    parts = [_cepstra(part, cepstra) for part in np.array_split(frames, len(frames) // 4096 + 1)]
    return np.concatenate(parts)


def _cepstra(frames: np.ndarray, count: int) -> np.ndarray:
    tiny = np.finfo(float).eps
    power = np.abs(np.fft.rfft(frames, N_FFT)) ** 2 / N_FFT
    energy = np.maximum(power.sum(1), tiny)
    bands = np.maximum(power @ _filters().T, tiny)
    out = np.log(bands) @ _cosines(bands.shape[1], count).T
    out *= 1 + _LIFTER / 2 * np.sin(np.pi * np.arange(count) / _LIFTER)
    out[:, 0] = np.log(energy)
    return out


def _cosines(size: int, count: int) -> np.ndarray:
    """The first `count` rows of the orthonormal DCT-II of `size` values."""
    k, n = np.arange(count)[:, None], np.arange(size)
    out = np.sqrt(2 / size) * np.cos(np.pi * k * (2 * n + 1) / (2 * size))
    out[0] /= np.sqrt(2)
    return out


def _filters(count: int = 26, rate: int = 16_000) -> np.ndarray:
    """Triangular filters [count, N_FFT // 2 + 1] between integer bins, on the HTK mel scale."""
    top = 2595 * np.log10(1 + rate / 2 / 700)
    hertz = 700 * (10 ** (np.linspace(0, top, count + 2) / 2595) - 1)
    edges = np.floor((N_FFT + 1) * hertz / rate)
    bins = np.arange(N_FFT // 2 + 1)
    low, middle, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising = (bins >= low) & (bins < middle)
    falling = (bins >= middle) & (bins < high)
    return np.where(rising, (bins - low) / (middle - low), np.where(falling, (high - bins) / (high - middle), 0.0))
