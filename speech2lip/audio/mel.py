"""Log-mel spectrogram as Wav2Lip defines it (16 kHz, FFT 800, hop 200, 80 bands)."""

from __future__ import annotations

import numpy as np

N_FFT, HOP, BANDS = 800, 200, 80
ROWS_PER_SECOND = 16_000 / HOP
_AT_ONCE = 512  # rows that are transformed together


def mel_spectrogram(wav: np.ndarray, fmin: float = 55.0, fmax: float = 7600.0, sample_rate: int = 16_000) -> np.ndarray:
    """Normalised log-mel spectrogram, float32 [BANDS, 1 + samples // HOP] in [-4, 4].

    Pre-emphasis 0.97; magnitude STFT with a periodic Hann window, centred and zero-padded;
    Slaney mel bands with area normalisation; decibels floored at -100 with reference 20 dB;
    [-100, 0] dB mapped to [-4, 4] and clipped. Row k is centred at sample k * HOP.
    """
    stream = MelStream(fmin, fmax, sample_rate)
    parts = [stream.push(part) for part in np.array_split(wav, len(wav) // (4096 * HOP) + 1)]
    return normalise(np.concatenate([*parts, stream.finish()])).T


def normalise(magnitude: np.ndarray, gain: float = 1.0) -> np.ndarray:
    """Magnitudes [T, BANDS] of sound that is to be scaled by `gain` -> float32 in [-4, 4], as Wav2Lip does."""
    decibels = 20 * np.log10(np.maximum(1e-5, gain * magnitude)) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4).astype(np.float32)


class MelStream:
    """Mel magnitudes of sound that arrives in pieces; the same rows as of the whole.

    A row is given as soon as the half window after its centre has been heard.
    """

    def __init__(self, fmin: float = 55.0, fmax: float = 7600.0, sample_rate: int = 16_000):
        self._bank = mel_filterbank(sample_rate, N_FFT, BANDS, fmin, fmax)
        self._window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
        self._heard = np.zeros(N_FFT // 2)  # emphasised samples that later rows need
        self._last = np.zeros(1)

    def push(self, wav: np.ndarray) -> np.ndarray:
        """More samples [N] in, finished rows [T, BANDS] out."""
        if not len(wav):
            return np.zeros((0, BANDS))
        wav = np.asarray(wav)
        emphasised = wav - 0.97 * np.concatenate([self._last.astype(wav.dtype), wav[:-1]])
        self._last = wav[-1:]
        return self._rows(emphasised)

    def finish(self) -> np.ndarray:
        """The last rows, as if silence followed."""
        return self._rows(np.zeros(N_FFT // 2))

    def _rows(self, emphasised: np.ndarray) -> np.ndarray:
        self._heard = np.concatenate([self._heard, emphasised.astype(np.float64)])
        count = max((len(self._heard) - N_FFT) // HOP + 1, 0)
        if not count:
            return np.zeros((0, BANDS))
        frames = np.lib.stride_tricks.sliding_window_view(self._heard, N_FFT)[: count * HOP : HOP]
        parts = [frames[at : at + _AT_ONCE] for at in range(0, count, _AT_ONCE)]
        rows = np.concatenate([np.abs(np.fft.rfft(part * self._window)) @ self._bank.T for part in parts])
        self._heard = self._heard[count * HOP :].copy()
        return rows


def mel_filterbank(sample_rate: int, n_fft: int, bands: int, fmin: float, fmax: float) -> np.ndarray:
    """Triangular filters [bands, n_fft // 2 + 1] on Slaney's mel scale, each of unit area in Hz."""
    edges = _mel_to_hz(np.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax), bands + 2))
    bins = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0, np.minimum(rising, falling)) * (2 / (edges[2:] - edges[:-2]))[:, None]


# Slaney's scale: linear below 1 kHz (15 mel), logarithmic above (27 steps per factor 6.4).
def _hz_to_mel(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))
