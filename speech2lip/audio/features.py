"""Audio features by name: the backends, and windows of a file's sound on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import Entry, read_json, read_npy
from ..config import BACKENDS, AudioConfig, shown
from ..errors import UserError
from ..files import atomic_path
from ..media.sound import SAMPLE_RATE
from . import deepspeech, phones
from .backend import Backend, FeatureBackend, Joined, frame_count
from .level import even_level
from .log_mel import LogMel
from .moonshine import Moonshine
from .rows import FeatureWindows, Rows, window_offsets
from .speech_models import DEFAULT_MODELS, SpeechModel


class Phones(Backend):
    """Which of 39 English phones is heard; no weights beyond PocketSphinx's own."""

    name, channels = "phones", len(phones.PHONES)

    def rows_of_whole(self, wav: np.ndarray) -> Rows:
        return Rows(phones.phone_rows(even_level(wav)), phones.ROWS_PER_SECOND, self.silence)


class DeepSpeech(Backend):
    """Logits of DeepSpeech 0.1.0, as published: at 25 frames per second and 16 rows of 0.02 s the
    windows are the authors' own."""

    name, channels = "deepspeech", deepspeech.LOGITS

    def __init__(self, window: int, step: float, weights: Path | None = None):
        super().__init__(window, step)
        self._weights = weights

    @property
    def offsets(self) -> np.ndarray:
        return window_offsets(self.window, self.step, centred=False, ahead=self.ahead)

    def rows_of_whole(self, wav: np.ndarray) -> Rows:
        return Rows(deepspeech.logit_rows(wav, self._weights), deepspeech.ROWS_PER_SECOND, self.silence)


class HiddenStates(Backend):
    """Hidden states of HuBERT or wav2vec 2.0, standardised per channel over the file."""

    def __init__(self, kind: str, window: int, step: float, model: str, layer: int, channels: int = 0):
        super().__init__(window, step)
        self.name, self.model, self.layer = kind, model or DEFAULT_MODELS[kind], layer
        self._loaded: SpeechModel | None = None
        self.channels = channels or self._load().channels

    def params(self) -> dict[str, Any]:
        return {**super().params(), "model": self.model, "layer": self.layer}

    def rows_of_whole(self, wav: np.ndarray) -> Rows:
        model = self._load()
        states = model(wav)
        scaled = (states - states.mean(0)) / (states.std(0) + 1e-3)
        return Rows(np.clip(scaled, -5, 5).astype(np.float32), model.rate, self.silence)

    def _load(self) -> SpeechModel:
        if self._loaded is None:
            self._loaded = SpeechModel(self.name, self.model, self.layer)
        return self._loaded


_PLAIN: dict[str, Callable[[int, float], Backend]] = {
    "mel": LogMel, "moonshine": Moonshine, "phones": Phones, "deepspeech": DeepSpeech,
}  # fmt: skip


def make_backend(config: AudioConfig) -> FeatureBackend:
    """The backend that a configuration names ("a+b" joins two); UserError where a package or model is missing."""
    parts = [_configured(name, config) for name in config.backend.split("+")]
    return _joined(parts, config.ahead if config.ahead >= 0 else None)


def _configured(name: str, config: AudioConfig) -> Backend:
    if name == "deepspeech" and config.model:
        return DeepSpeech(config.window, config.step, Path(config.model))
    if name in _PLAIN:
        return _PLAIN[name](config.window, config.step)
    return HiddenStates(name, config.window, config.step, config.model, config.layer)


def _joined(parts: list[Backend], ahead: float | None) -> FeatureBackend:
    for part in parts:
        part.ahead = ahead
    return parts[0] if len(parts) == 1 else Joined(parts)


_MOST_CHANNELS = 8192


def check_params(params: Mapping[str, Any]) -> str:
    """What is wrong with the parameters of features, or "": types and ranges, before anything is made of them."""
    window, step, channels = (params.get(name) for name in ("window", "step", "channels"))
    names = params.get("backend")
    if not isinstance(names, str) or not set(names.split("+")) <= set(BACKENDS):
        return f"have the backend {shown(names)}, known are {', '.join(BACKENDS)}"
    hidden = bool({"hubert", "wav2vec2"} & set(names.split("+")))
    for name, value, most in (("window", window, 1000), ("channels", channels, _MOST_CHANNELS)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            return f"have the {name} {shown(value)}, allowed are whole numbers from 1 to {most}"
    if isinstance(step, bool) or not isinstance(step, (int, float)) or not 0.001 <= step <= 1:
        return f"have the step {shown(step)}, allowed are numbers from 0.001 to 1"
    ahead = params.get("ahead", 0.0)
    if isinstance(ahead, bool) or not isinstance(ahead, (int, float)) or not 0 <= ahead <= 4:
        return f"reach {shown(ahead)} ahead, allowed are seconds from 0 to 4"
    if hidden and not (isinstance(params.get("model"), str) and type(params.get("layer")) is int):
        return "have no model and layer"
    return ""


def backend_from_params(params: dict[str, Any]) -> FeatureBackend:
    """The backend that a subject or checkpoint was made with; its weights are loaded when it is first used."""
    wrong = check_params(params)
    if wrong:
        raise UserError(f"audio features {wrong}: preprocess and train again")
    try:
        window, step, channels = int(params["window"]), float(params["step"]), int(params["channels"])
        names = str(params["backend"]).split("+")
        known = sum(_PLAIN[name](window, step).channels for name in names if name in _PLAIN)
        if known >= channels and not set(names) <= set(_PLAIN):
            raise KeyError("channels")  # 0 would ask the model itself
        parts = [
            _PLAIN[name](window, step)
            if name in _PLAIN
            else HiddenStates(name, window, step, params["model"], int(params["layer"]), channels - known)
            for name in names
        ]
    except KeyError as error:
        raise UserError(f"audio features {shown(params)} are unknown to this version ({error}): train again") from error
    backend = _joined(parts, float(params["ahead"]) if "ahead" in params else None)
    if backend.params() != params:
        raise UserError(f"audio features {params} are not those of this version, {backend.params()}: train again")
    return backend


def extract_windows(pieces: Iterable[np.ndarray], fps: float, backend: FeatureBackend, origin: Path) -> FeatureWindows:
    """Windows of a whole file's sound, given in pieces; audio shorter than one frame is refused."""
    counter = _Checked(pieces, origin)
    streams = tuple(backend.rows(counter))
    if frame_count(counter.samples, fps) < 1 or counter.samples < 800:
        raise UserError(f"{origin} lasts only {counter.samples / SAMPLE_RATE:.3f} s: give at least 0.05 s of audio")
    return FeatureWindows(streams, fps, frame_count(counter.samples, fps), backend.offsets)


class _Checked:
    """Counts samples as they pass, and refuses such that are not numbers."""

    def __init__(self, pieces: Iterable[np.ndarray], origin: Path):
        self._pieces, self._origin, self.samples = pieces, origin, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for piece in self._pieces:
            if not np.isfinite(piece).all():
                raise UserError(f"{self._origin} holds samples that are not numbers: convert it with ffmpeg first")
            self.samples += len(piece)
            yield piece


def save_features(path: Path, windows: np.ndarray, params: dict[str, Any]) -> None:
    """Write windows as float16 `audio.npy`, and what they are as `audio.json` beside it."""
    with atomic_path(path) as temporary, open(temporary, "wb") as stream:
        np.save(stream, windows.astype(np.float16))
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(params))


_WINDOWS = Entry(("N", "window", "channels"), low=-7e4, high=7e4)
_EXTRACT = (
    "preprocess again, or extract the features with `bash preprocess/deepspeech_features/extract_ds_features_may.sh`"
)


def load_features(path: Path, params: dict[str, Any]) -> np.ndarray:
    """Read `audio.npy` [frames, window, channels], float16 as it was saved, refusing another backend's."""
    found = read_json(path.with_suffix(".json"), _EXTRACT)
    if found != params:
        raise UserError(f"{path} holds features {shown(found)}, the model needs {shown(params)}: extract them again")
    wrong = check_params(params)
    if wrong:
        raise UserError(f"audio features of {path} {wrong}: extract them again")
    sizes = {"window": params["window"], "channels": params["channels"]}
    return read_npy(path, _WINDOWS, sizes, _EXTRACT)


def mask_cuts(
    windows: np.ndarray,
    shots: list[tuple[int, int]],
    fps: float,
    offsets: np.ndarray,
    silence: float | np.ndarray,
) -> np.ndarray:
    """Replace rows that lie beyond a cut by silence, so that no window crosses one.

    windows: [frames, window, channels]; offsets: [window] seconds from a frame to its rows;
    silence: one number or [channels].
    """
    out = np.array(windows)
    for start, end in shots:
        frames = np.arange(start, min(end, len(windows)))
        position = frames[:, None] + offsets * fps
        outside = (position < start - 0.5) | (position > end - 0.5)
        out[frames[:, None].repeat(windows.shape[1], 1)[outside], np.nonzero(outside)[1]] = silence
    return out
