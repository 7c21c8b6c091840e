"""The acoustic network of DeepSpeech 0.1.0 (Hannun et al. 2014, Mozilla's release)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
import torch
import torch.nn as nn
from torch import Tensor

_CEILING = 20.0  # of the clipped rectifier


class DeepSpeechNet(nn.Module):
    """MFCC rows [T, 494] -> logits [T, 29] of one utterance.

    Three clipped-ReLU layers, a bidirectional LSTM, one more layer, linear output. `chunk`
    rows are computed at a time; the LSTMs carry their state across chunks in both
    directions, so the result does not depend on it.
    """

    def __init__(self, inputs: int = 494, widths: tuple[int, int, int] = (2048, 2048, 4096), cell: int = 2048,
                 last: int = 2048, outputs: int = 29):  # fmt: skip
        super().__init__()
        sizes = (inputs, *widths)
        self.before = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.forwards, self.backwards = nn.LSTM(widths[-1], cell), nn.LSTM(widths[-1], cell)
        self.after, self.output = nn.Linear(2 * cell, last), nn.Linear(last, outputs)

    @torch.no_grad()
    def forward(self, rows: Tensor, chunk: int = 1024) -> Tensor:
        """rows: [T, 494] -> logits [T, 29]."""
        parts = [self._lower(part) for part in rows.split(chunk)]
        ahead = _carry(self.forwards, parts)
        behind = [p.flip(0) for p in _carry(self.backwards, [p.flip(0) for p in reversed(parts)])][::-1]
        out = [
            self.output(_clipped(self.after(torch.cat(pair, 1)))) for pair in zip(ahead, behind, strict=True)
        ]  # fmt: skip
        return torch.cat(out)

    def _lower(self, rows: Tensor) -> Tensor:
        for layer in self.before:
            rows = _clipped(layer(rows))
        return rows


def _clipped(x: Tensor) -> Tensor:
    return x.clamp(0, _CEILING)


def _carry(lstm: nn.LSTM, parts: list[Tensor]) -> list[Tensor]:
    """Outputs of consecutive parts, with the state handed on."""
    state, out = None, []
    for part in parts:
        hidden, state = lstm(part, state)
        out.append(hidden)
    return out


def state_from_graph(constants: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Weights of the frozen graph, by their names there, as the state of `DeepSpeechNet`.

    TensorFlow's cell has one kernel [inputs + cell, 4 cell] in gate order input, candidate,
    forget, output, and adds 1 to the forget gate; PyTorch has two kernels in order input,
    forget, candidate, output.
    """
    state: dict[str, np.ndarray] = {}
    for name, number in (("before.0", 1), ("before.1", 2), ("before.2", 3), ("after", 5), ("output", 6)):
        state[f"{name}.weight"] = constants[f"h{number}"].T
        state[f"{name}.bias"] = constants[f"b{number}"]
    for name, direction in (("forwards", "fw"), ("backwards", "bw")):
        kernel, bias = constants[f"{direction}/kernel"], constants[f"{direction}/bias"]
        cell = len(bias) // 4
        gate = np.split(np.arange(4 * cell), 4)
        order = np.concatenate([gate[0], gate[2], gate[1], gate[3]])
        forget = np.zeros_like(bias)
        forget[gate[2]] = 1.0
        state[f"{name}.weight_ih_l0"] = kernel[:-cell].T[order]
        state[f"{name}.weight_hh_l0"] = kernel[-cell:].T[order]
        state[f"{name}.bias_ih_l0"] = (bias + forget)[order]
        state[f"{name}.bias_hh_l0"] = np.zeros_like(bias)
    return {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in state.items()}


def net_of_state(state: Mapping[str, Tensor]) -> DeepSpeechNet:
    """A network of the sizes that a state has, with its weights."""
    widths = tuple(int(state[f"before.{k}.bias"].numel()) for k in range(3))
    net = DeepSpeechNet(
        state["before.0.weight"].shape[1], (widths[0], widths[1], widths[2]), state["forwards.bias_ih_l0"].numel() // 4,
        state["after.bias"].numel(), state["output.bias"].numel(),
    )  # fmt: skip
    net.load_state_dict(dict(state))
    return net.eval()
