"""Audio features behind one protocol: `(wav, fps) -> [frames, window, channels]`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..config import AudioConfig
from ..errors import UserError
from ..layout import atomic_path
from .mel import BANDS, ROWS_PER_SECOND, mel_spectrogram
from .waveform import SAMPLE_RATE


class FeatureBackend(Protocol):
    """Turns a waveform into one window of features per video frame.

    `window` rows by `channels`; `silence` is the value of a row of silence, used where a
    window reaches beyond a cut; `params()` identifies the features: a subject and a
    checkpoint carry it, and rendering refuses another.
    """

    window: int
    channels: int
    silence: float

    def __call__(self, wav: np.ndarray, fps: float) -> np.ndarray: ...

    def params(self) -> dict[str, Any]: ...


class LogMel:
    """Log-mel windows: no weights, any language.

    Bands are standardised with the statistics of the file's own speech, which takes out
    level, microphone and much of the voice, so that new speakers drive the model too.
    Rows lie `step` seconds apart around the frame's time i / fps, by linear interpolation
    of the 80-rows-per-second spectrogram.
    """

    channels = BANDS
    silence = -2.0

    def __init__(self, window: int, step: float):
        self.window, self.step = window, step

    def params(self) -> dict[str, Any]:
        return {"backend": "mel", "window": self.window, "step": self.step, "bands": BANDS}

    def __call__(self, wav: np.ndarray, fps: float) -> np.ndarray:
        """wav: float [samples] 16 kHz -> float32 [frames, window, 80], frames = round(seconds * fps)."""
        count = frame_count(wav, fps)
        rows = standardise(mel_spectrogram(even_level(wav)).T, self.silence)
        offsets = (np.arange(self.window) - (self.window - 1) / 2) * self.step
        position = (np.arange(count)[:, None] / fps + offsets) * ROWS_PER_SECOND
        below = np.floor(position).astype(int)
        blend = (position - below)[..., None].astype(np.float32)
        padded = np.concatenate([rows, np.full((1, BANDS), self.silence, np.float32)])
        first, second = (padded[np.where((i >= 0) & (i < len(rows)), i, len(rows))] for i in (below, below + 1))
        return first * (1 - blend) + second * blend


def standardise(rows: np.ndarray, silence: float) -> np.ndarray:
    """Zero mean and unit deviation per band [T, 80] over the rows that hold speech.

    Speech is what lies above the middle between the quiet (5th percentile) and the loud
    (95th) level of the file; values are limited to [silence, 3].
    """
    level = rows.mean(1)
    low, high = np.percentile(level, [5, 95])
    speech = rows[level >= (low + high) / 2]
    scaled = (rows - speech.mean(0)) / (speech.std(0) + 0.3)
    return np.clip(scaled, silence, 3.0).astype(np.float32)


def even_level(wav: np.ndarray, target: float = 0.1) -> np.ndarray:
    """Scale a waveform [samples] so that its loud parts (95th percentile of the root mean
    square over 50 ms) have level `target`; silence stays silence."""
    blocks = wav[: len(wav) // 800 * 800].reshape(-1, 800)
    loud = float(np.percentile(np.sqrt((blocks**2).mean(1)), 95)) if len(blocks) else 0.0
    return wav * np.float32(target / loud) if loud > 1e-6 else wav


def frame_count(wav: np.ndarray, fps: float) -> int:
    """Video frames that a waveform [samples] at 16 kHz lasts."""
    return round(len(wav) / SAMPLE_RATE * fps)


def make_backend(config: AudioConfig) -> FeatureBackend:
    """The backend that a configuration names."""
    assert config.backend == "mel"
    return LogMel(config.window, config.step)


def backend_from_params(params: dict[str, Any]) -> FeatureBackend:
    """The backend that a subject or checkpoint was made with."""
    if params.get("backend") != "mel" or params.get("bands") != BANDS:
        raise UserError(f"audio features {params} are unknown to this version: train again with audio.backend=mel")
    return LogMel(int(params["window"]), float(params["step"]))


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


def mask_cuts(windows: np.ndarray, shots: list[tuple[int, int]], fps: float, step: float, silence: float) -> np.ndarray:
    """Replace rows that lie beyond a cut by silence, so that no window crosses one.

    windows: [frames, window, channels], rows `step` seconds apart around i / fps.
    """
    out = windows.copy()
    offsets = (np.arange(windows.shape[1]) - (windows.shape[1] - 1) / 2) * step * fps
    for start, end in shots:
        frames = np.arange(start, min(end, len(windows)))
        position = frames[:, None] + offsets
        outside = (position < start - 0.5) | (position > end - 0.5)
        out[frames[:, None].repeat(windows.shape[1], 1)[outside], np.nonzero(outside)[1]] = silence
    return out
