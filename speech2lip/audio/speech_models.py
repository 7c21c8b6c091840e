"""HuBERT and wav2vec 2.0 through transformers: hidden states of a chosen layer."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import UserError
from ..media.sound import SAMPLE_RATE
from .rows import chunks_at_silence

DEFAULT_MODELS = {"hubert": "facebook/hubert-base-ls960", "wav2vec2": "facebook/wav2vec2-base-960h"}
HUB = "SPEECH2LIP_HUB"  # environment variable: yes lets models be downloaded
_WEIGHTS = ("*.safetensors", "*.bin")
_CHUNK_SECONDS = 30
_CONTEXT_SECONDS = 2  # heard on both sides of a chunk, and thrown away


class SpeechModel:
    """One transformers model, from a local folder or by its name on the hub.

    layer: index of the hidden state, 0 the first transformer layer's input, -1 the last output.
    """

    def __init__(self, kind: str, name: str, layer: int):
        self._transformers = _import_transformers(kind)
        self.name, self.layer = name or DEFAULT_MODELS[kind], layer
        try:
            self.config = self._transformers.AutoConfig.from_pretrained(self.name, **_source())
        except (OSError, ValueError) as error:
            raise self._unusable(error) from error
        if Path(self.name).is_dir() and not any(f for ending in _WEIGHTS for f in Path(self.name).glob(ending)):
            raise self._unusable(OSError("it has no weights, model.safetensors or pytorch_model.bin"))
        if self.config.model_type != kind:
            raise UserError(
                f"{self.name} is a {self.config.model_type} model, audio.backend is {kind}: name a {kind} model in "
                "audio.model, or change audio.backend"
            )
        layers = self.config.num_hidden_layers
        if not -layers - 1 <= layer <= layers:
            raise UserError(f"{self.name} has hidden states 0 to {layers}, audio.layer is {layer}: choose one of them")
        self.channels: int = self.config.hidden_size
        self._hop = int(np.prod(self.config.conv_stride))
        self._reach = _receptive_field(self.config.conv_kernel, self.config.conv_stride)
        self._model: Any = None

    @property
    def rate(self) -> float:
        """Rows per second."""
        return SAMPLE_RATE / self._hop

    def __call__(self, wav: np.ndarray) -> np.ndarray:
        """16 kHz waveform [N] -> hidden states [T, channels] float32, row k centred near second k / rate.

        Long audio is heard in overlapping chunks; the overlap is thrown away.
        """
        wav = ((wav - wav.mean()) / (wav.std() + 1e-7)).astype(np.float32)
        context = _CONTEXT_SECONDS * SAMPLE_RATE // self._hop * self._hop
        rows = []
        for start, end in chunks_at_silence(wav, _CHUNK_SECONDS * SAMPLE_RATE, self._hop):
            start, end = (-(-at // self._hop) * self._hop for at in (start, end))
            before, after = min(start, context), end + context
            states = self._states(wav[start - before : after])
            first = before // self._hop
            rows.append(states[first : first + (end - start) // self._hop])
        return np.concatenate(rows)

    @torch.no_grad()
    def _states(self, wav: np.ndarray) -> np.ndarray:
        if self._model is None:
            try:
                self._model = self._transformers.AutoModel.from_pretrained(self.name, **_source()).eval()
            except (OSError, ValueError) as error:
                raise self._unusable(error) from error
        # Pad so that the convolutions' field of row k is centred on sample k * hop.
        padded = np.pad(wav, (self._reach // 2, self._reach // 2 + self._hop))
        out = self._model(torch.from_numpy(padded)[None], output_hidden_states=True)
        return np.asarray(out.hidden_states[self.layer][0].float().numpy())

    def _unusable(self, error: Exception) -> UserError:
        what = "folder" if Path(self.name).exists() else "model"
        reason = str(error).strip().splitlines()[0][:160]
        return UserError(
            f"the speech {what} {self.name} cannot be loaded ({reason}): give a folder with config.json and weights in "
            f"audio.model, set {HUB}=yes once to download it (nothing vouches for what its hub sends), or use audio.backend=mel"
        )


def _source() -> dict[str, bool]:
    """Where models may come from: this computer, or, where the user said so, the hub; never with code of theirs."""
    return {"local_files_only": os.environ.get(HUB) != "yes", "trust_remote_code": False}


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that one output of a stack of convolutions sees."""
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = (field - 1) * stride + kernel
    return field


def _import_transformers(kind: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"audio.backend={kind} needs the package transformers, which is not installed: run "
            '`pip install "speech2lip[published]"`, or use audio.backend=mel'
        ) from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return transformers
