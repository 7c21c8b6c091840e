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
from ..nets.pretrained.deepspeech import DeepSpeechNet, net_of_state
from ..weights.registry import find, require
from .mfcc import CEPSTRA, mfcc
from .rows import resample_rows

CONTEXT = 9
ROWS_PER_SECOND = 50.0
INPUTS = CEPSTRA * (2 * CONTEXT + 1)
LOGITS = 29


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
    entry = find("deepspeech")
    target = entry.sibling(f"{entry.file.stem}.safetensors")
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
