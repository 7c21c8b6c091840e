"""DeepSpeech 0.1.0: MFCC input, the network, resampled logits, windows.

Facts: 16 kHz 16-bit samples; MFCC of 25 ms windows every 10 ms (python_speech_features'
definition), every second row with nine rows of context on each side, standardised over the
file; logits at 50 rows per second; windows of 16 rows, two rows per video frame.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..errors import UserError
from ..nets.deepspeech import DeepSpeechNet, net_of_state
from ..weights import find, require
from .rows import resample_rows

CEPSTRA, CONTEXT, N_FFT = 26, 9, 512
ROWS_PER_SECOND = 50.0
INPUTS = CEPSTRA * (2 * CONTEXT + 1)
LOGITS = 29
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


def network_input(pcm: np.ndarray) -> np.ndarray:
    """16-bit samples [N] -> the network's input [rows, 494] float32, 50 rows per second."""
    features = mfcc(pcm)[::2]
    padded = np.pad(features, ((CONTEXT, CONTEXT), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * CONTEXT + 1, axis=0)
    stacked = windows.transpose(0, 2, 1).reshape(len(features), INPUTS)
    return ((stacked - stacked.mean()) / stacked.std()).astype(np.float32)


def stride_windows(rows: np.ndarray, size: int = 16, stride: int = 2) -> np.ndarray:
    """Windows [N, size, C] of rows [T, C], `stride` rows apart, size / 2 zero rows added at both ends."""
    padded = np.pad(rows, ((size // 2, size // 2), (0, 0)))
    return np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)[::stride].transpose(0, 2, 1)


def logit_rows(wav: np.ndarray, weights: Path | None = None) -> np.ndarray:
    """16 kHz waveform [N] in [-1, 1] -> logits [T, 29], 50 rows per second.

    weights: the converted network; by default it lies beside the frozen graph, and is made
    from it when it is not there yet.
    """
    pcm = (np.clip(wav, -1, 1) * 32767).astype(np.int16)
    net = load_network(weights or converted())
    logits = net(torch.from_numpy(network_input(pcm))).numpy()
    return resample_rows(logits, ROWS_PER_SECOND, ROWS_PER_SECOND, round(len(wav) / 16_000 * ROWS_PER_SECOND))


def converted() -> Path:
    """The safetensors file beside the frozen graph, converted now if it has to be."""
    target = find("deepspeech").file.with_suffix(".safetensors")
    if not target.is_file():
        from .deepspeech_graph import convert_graph

        convert_graph(require("deepspeech"), target, find("deepspeech").remedy())
    return target


def load_network(path: Path) -> DeepSpeechNet:
    """The network whose weights lie in a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    remedy = f"remove it, so that it is made again, or {find('deepspeech').remedy()}"
    try:
        return net_of_state(load_file(path))
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise UserError(f"{path} is no converted DeepSpeech network ({error}): {remedy}") from error
