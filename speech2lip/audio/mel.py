"""Log-mel spectrogram as Wav2Lip defines it (REFERENCE: 16 kHz, FFT 800, hop 200, 80 bands)."""

from __future__ import annotations

import numpy as np

N_FFT, HOP, BANDS = 800, 200, 80
ROWS_PER_SECOND = 16_000 / HOP


def mel_spectrogram(wav: np.ndarray, fmin: float = 55.0, fmax: float = 7600.0, sample_rate: int = 16_000) -> np.ndarray:
    """Normalised log-mel spectrogram, float32 [BANDS, 1 + samples // HOP] in [-4, 4].

    Pre-emphasis 0.97; magnitude STFT with a periodic Hann window, centred and zero-padded;
    Slaney mel bands with area normalisation; decibels floored at -100 with reference 20 dB;
    [-100, 0] dB mapped to [-4, 4] and clipped. Row k is centred at sample k * HOP.
    """
    emphasised = np.append(wav[:1], wav[1:] - 0.97 * wav[:-1])
    magnitude = _stft_magnitude(emphasised.astype(np.float64))
    mel = mel_filterbank(sample_rate, N_FFT, BANDS, fmin, fmax) @ magnitude
    decibels = 20 * np.log10(np.maximum(1e-5, mel)) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4).astype(np.float32)


def _stft_magnitude(wav: np.ndarray) -> np.ndarray:
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    padded = np.pad(wav, N_FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return np.concatenate(
        [np.abs(np.fft.rfft(part * window)) for part in np.array_split(frames, len(frames) // 4096 + 1)]
    ).T


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
