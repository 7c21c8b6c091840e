"""Audio features behind one protocol: `(wav, fps) -> [frames, window, channels]`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..config import AudioConfig
from ..errors import UserError
from ..layout import atomic_path
from . import deepspeech, phones
from .mel import BANDS, ROWS_PER_SECOND, mel_spectrogram
from .rows import row_windows, window_offsets
from .speech_models import DEFAULT_MODELS, SpeechModel
from .waveform import SAMPLE_RATE


class FeatureBackend(Protocol):
    """Turns a waveform into one window of features per video frame.

    `window` rows by `channels`, `offsets` [window] seconds from the frame's time; `silence`
    is the value of a row of silence, used where a window reaches beyond a cut; `spectral`
    tells that channels are neighbouring frequency bands of unit variance, which training
    may disturb; `params()` identifies the features: a subject and a checkpoint carry it,
    and rendering refuses another.
    """

    window: int
    step: float
    channels: int
    silence: float
    spectral: bool

    @property
    def offsets(self) -> np.ndarray: ...

    def __call__(self, wav: np.ndarray, fps: float) -> np.ndarray: ...

    def params(self) -> dict[str, Any]: ...


class _Backend:
    """What all backends share: rows of features become windows."""

    name = ""
    channels = 0
    silence = 0.0
    spectral = False

    def __init__(self, window: int, step: float):
        self.window, self.step = window, step

    @property
    def offsets(self) -> np.ndarray:
        return window_offsets(self.window, self.step)

    def params(self) -> dict[str, Any]:
        return {"backend": self.name, "window": self.window, "step": self.step, "channels": self.channels}

    def rows(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
        """16 kHz waveform [N] -> rows [T, channels], and how many there are per second."""
        raise NotImplementedError

    def __call__(self, wav: np.ndarray, fps: float) -> np.ndarray:
        """wav: float [samples] 16 kHz -> float32 [frames, window, channels], frames = round(seconds * fps)."""
        rows, rate = self.rows(wav)
        return row_windows(rows, rate, fps, frame_count(wav, fps), self.offsets, self.silence)


class LogMel(_Backend):
    """Log-mel windows: no weights, any language.

    Bands are standardised with the statistics of the file's own speech, which takes out
    level, microphone and much of the voice, so that new speakers drive the model too.
    """

    name, channels, silence, spectral = "mel", BANDS, -2.0, True

    def rows(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
        mel = mel_spectrogram(even_level(wav)).T
        return np.full_like(mel, self.silence) if is_silent(wav) else standardise(mel, self.silence), ROWS_PER_SECOND


class Phones(_Backend):
    """Which of 39 English phones is heard; no weights beyond PocketSphinx's own."""

    name, channels = "phones", len(phones.PHONES)

    def rows(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
        return phones.phone_rows(even_level(wav)), phones.ROWS_PER_SECOND


class DeepSpeech(_Backend):
    """Logits of DeepSpeech 0.1.0, as published: at 25 frames per second and 16 rows of 0.02 s the
    windows are the authors' own."""

    name, channels = "deepspeech", deepspeech.LOGITS

    def __init__(self, window: int, step: float, weights: Path | None = None):
        super().__init__(window, step)
        self._weights = weights

    @property
    def offsets(self) -> np.ndarray:
        return window_offsets(self.window, self.step, centred=False)

    def rows(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
        return deepspeech.logit_rows(wav, self._weights), deepspeech.ROWS_PER_SECOND


class HiddenStates(_Backend):
    """Hidden states of HuBERT or wav2vec 2.0, standardised per channel over the file."""

    def __init__(self, kind: str, window: int, step: float, model: str, layer: int, channels: int = 0):
        super().__init__(window, step)
        self.name, self.model, self.layer = kind, model or DEFAULT_MODELS[kind], layer
        self._loaded: SpeechModel | None = None
        self.channels = channels or self._load().channels

    def params(self) -> dict[str, Any]:
        return {**super().params(), "model": self.model, "layer": self.layer}

    def rows(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
        model = self._load()
        states = model(wav)
        scaled = (states - states.mean(0)) / (states.std(0) + 1e-3)
        return np.clip(scaled, -5, 5).astype(np.float32), model.rate

    def _load(self) -> SpeechModel:
        if self._loaded is None:
            self._loaded = SpeechModel(self.name, self.model, self.layer)
        return self._loaded


def standardise(rows: np.ndarray, silence: float) -> np.ndarray:
    """Zero mean and unit deviation per band [T, 80] over the rows that hold speech.

    Speech is what lies above the middle between the quiet (5th percentile) and the loud
    (99.5th: a few words in long silence count) level of the file; values are limited to
    [silence, 3].
    """
    level = rows.mean(1)
    low, high = np.percentile(level, [5, 99.5])
    speech = rows[level >= (low + high) / 2]
    scaled = (rows - speech.mean(0)) / (speech.std(0) + 0.3)
    return np.clip(scaled, silence, 3.0).astype(np.float32)


def even_level(wav: np.ndarray, target: float = 0.1) -> np.ndarray:
    """Scale a waveform [samples] so that its loud parts (95th percentile of the root mean square over
    50 ms, long silence aside) have level `target`; silence stays silence."""
    levels = _levels(wav)
    levels = levels[levels > 0.01 * levels.max(initial=0)]
    loud = float(np.percentile(levels, 95)) if len(levels) else 0.0
    return wav * np.float32(target / loud) if loud > 1e-6 else wav


def is_silent(wav: np.ndarray) -> bool:
    """Whether nothing in a waveform [samples] is louder than -60 dB of full scale."""
    return bool(_levels(wav).max(initial=0) < 1e-3)


def _levels(wav: np.ndarray) -> np.ndarray:
    """Root mean square of every 50 ms of a waveform [samples]."""
    blocks = wav[: len(wav) // 800 * 800].reshape(-1, 800)
    return np.sqrt((blocks**2).mean(1))


def frame_count(wav: np.ndarray, fps: float) -> int:
    """Video frames that a waveform [samples] at 16 kHz lasts."""
    return round(len(wav) / SAMPLE_RATE * fps)


_PLAIN: dict[str, Callable[[int, float], FeatureBackend]] = {"mel": LogMel, "phones": Phones, "deepspeech": DeepSpeech}


def make_backend(config: AudioConfig) -> FeatureBackend:
    """The backend that a configuration names; UserError where its package or model is missing."""
    if config.backend == "deepspeech" and config.model:
        return DeepSpeech(config.window, config.step, Path(config.model))
    if config.backend in _PLAIN:
        return _PLAIN[config.backend](config.window, config.step)
    return HiddenStates(config.backend, config.window, config.step, config.model, config.layer)


def backend_from_params(params: dict[str, Any]) -> FeatureBackend:
    """The backend that a subject or checkpoint was made with; its weights are loaded when it is first used."""
    try:
        name, window, step, channels = (params[k] for k in ("backend", "window", "step", "channels"))
        if name in _PLAIN:
            backend = _PLAIN[name](int(window), float(step))
        else:
            backend = HiddenStates(name, int(window), float(step), params["model"], int(params["layer"]), int(channels))
    except KeyError as error:
        raise UserError(f"audio features {params} are unknown to this version ({error}): train again") from error
    if backend.channels != channels:
        raise UserError(
            f"audio features {params} have {channels} channels, this version's have {backend.channels}: train again"
        )
    return backend


def extract_features(wav: np.ndarray, fps: float, backend: FeatureBackend, origin: Path) -> np.ndarray:
    """Windows [frames, window, channels] of a whole file, refusing audio shorter than one frame."""
    if frame_count(wav, fps) < 1 or len(wav) < 800:
        raise UserError(f"{origin} lasts only {len(wav) / SAMPLE_RATE:.3f} s: give at least 0.05 s of audio")
    if not np.isfinite(wav).all():
        raise UserError(f"{origin} holds samples that are not numbers: convert it with ffmpeg first")
    return backend(wav, fps)


def save_features(path: Path, windows: np.ndarray, params: dict[str, Any]) -> None:
    """Write windows as float16 `audio.npy`, and what they are as `audio.json` beside it."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, windows.astype(np.float16))
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(params))


def load_features(path: Path, params: dict[str, Any]) -> np.ndarray:
    """Read `audio.npy` [frames, window, channels] as float32, refusing another backend's."""
    try:
        windows = np.load(path, allow_pickle=False)
        found = json.loads(path.with_suffix(".json").read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"audio features {path} (with its .json) cannot be read ({error}): "
            "extract them with `bash preprocess/deepspeech_features/extract_ds_features_may.sh`"
        ) from error
    if found != params:
        raise UserError(f"{path} holds features {found}, the model needs {params}: extract them again")
    return np.asarray(windows, np.float32)


def mask_cuts(
    windows: np.ndarray, shots: list[tuple[int, int]], fps: float, offsets: np.ndarray, silence: float
) -> np.ndarray:
    """Replace rows that lie beyond a cut by silence, so that no window crosses one.

    windows: [frames, window, channels]; offsets: [window] seconds from a frame to its rows.
    """
    out = windows.copy()
    for start, end in shots:
        frames = np.arange(start, min(end, len(windows)))
        position = frames[:, None] + offsets * fps
        outside = (position < start - 0.5) | (position > end - 0.5)
        out[frames[:, None].repeat(windows.shape[1], 1)[outside], np.nonzero(outside)[1]] = silence
    return out
