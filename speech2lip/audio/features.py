"""Audio features behind one protocol: `(wav, fps) -> [frames, window, channels]`."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..config import AudioConfig
from ..errors import UserError
from ..layout import atomic_path
from . import deepspeech, phones
from .mel import BANDS, ROWS_PER_SECOND, MelStream, normalise
from .rows import FeatureWindows, window_offsets
from .speech_models import DEFAULT_MODELS, SpeechModel
from .waveform import SAMPLE_RATE

_BLOCK = 800  # samples of 50 ms, over which loudness is measured
_TARGET_LEVEL = 0.1


class FeatureBackend(Protocol):
    """Turns sound into one window of features per video frame.

    `window` rows by `channels`, `offsets` [window] seconds from the frame's time; `silence`
    is the value of a row of silence, used where a window reaches beyond a cut; `spectral`
    tells that channels are neighbouring frequency bands of unit variance, which training
    may disturb; `params()` identifies the features: a subject and a checkpoint carry it,
    and rendering refuses another. `rows` takes 16 kHz sound in pieces of any length.
    """

    window: int
    step: float
    channels: int
    silence: float
    spectral: bool

    @property
    def offsets(self) -> np.ndarray: ...

    def rows(self, pieces: Iterable[np.ndarray]) -> tuple[np.ndarray, float]: ...

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

    def rows(self, pieces: Iterable[np.ndarray]) -> tuple[np.ndarray, float]:
        """Pieces of a 16 kHz waveform -> rows [T, channels], and how many there are per second."""
        return self.rows_of_whole(np.concatenate(list(pieces)))

    def rows_of_whole(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
        """The same for backends that need the whole waveform [N]."""
        raise NotImplementedError

    def __call__(self, wav: np.ndarray, fps: float) -> np.ndarray:
        """wav: float [samples] 16 kHz -> float32 [frames, window, channels], frames = round(seconds * fps)."""
        rows, rate = self.rows([wav])
        return FeatureWindows(rows, rate, fps, frame_count(len(wav), fps), self.offsets, self.silence)[:]


class LogMel(_Backend):
    """Log-mel windows: no weights, any language.

    Bands are standardised with the statistics of the file's own speech, which takes out
    level, microphone and much of the voice, so that new speakers drive the model too.
    """

    name, channels, silence, spectral = "mel", BANDS, -2.0, True

    def rows(self, pieces: Iterable[np.ndarray]) -> tuple[np.ndarray, float]:
        stream, meter = MelStream(), LevelMeter()
        magnitudes = []
        for piece in pieces:
            meter.push(piece)
            magnitudes.append(stream.push(piece).astype(np.float32))
        rows = np.concatenate([*magnitudes, stream.finish().astype(np.float32)])
        magnitudes.clear()
        if meter.silent:
            return np.full_like(rows, self.silence), ROWS_PER_SECOND
        for part in _blocks(rows):
            part[:] = normalise(part, meter.gain)
        return standardise(rows, self.silence), ROWS_PER_SECOND


class Phones(_Backend):
    """Which of 39 English phones is heard; no weights beyond PocketSphinx's own."""

    name, channels = "phones", len(phones.PHONES)

    def rows_of_whole(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
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

    def rows_of_whole(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
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

    def rows_of_whole(self, wav: np.ndarray) -> tuple[np.ndarray, float]:
        model = self._load()
        states = model(wav)
        scaled = (states - states.mean(0)) / (states.std(0) + 1e-3)
        return np.clip(scaled, -5, 5).astype(np.float32), model.rate

    def _load(self) -> SpeechModel:
        if self._loaded is None:
            self._loaded = SpeechModel(self.name, self.model, self.layer)
        return self._loaded


def standardise(rows: np.ndarray, silence: float, heard: np.ndarray | None = None) -> np.ndarray:
    """Zero mean and unit deviation per band [T, 80] over the rows that hold speech.

    Speech is what lies above the middle between the quiet (5th percentile) and the loud
    (99.5th: a few words in long silence count) level of the file, or of the rows `heard`
    [N, 80] so far; values are limited to [silence, 3].
    """
    heard = rows if heard is None else heard
    level = heard.mean(1)
    low, high = np.percentile(level, [5, 99.5])
    mean, deviation = _mean_and_deviation(heard, level >= (low + high) / 2)
    scaled = rows.astype(np.float32)
    for part in _blocks(scaled):
        part[:] = np.clip((part - mean) / (deviation + 0.3), silence, 3.0)
    return scaled


def _mean_and_deviation(rows: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each column of the chosen rows."""
    count = chosen.sum()
    parts = list(zip(_blocks(rows), _blocks(chosen), strict=True))
    mean = np.sum([r[c].sum(0, dtype=np.float64) for r, c in parts], 0) / count
    return mean, np.sqrt(np.sum([((r[c] - mean) ** 2).sum(0) for r, c in parts], 0) / count)


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    """Views of some rows each, so that what is computed of them needs little memory."""
    return [rows[at : at + 4096] for at in range(0, len(rows), 4096)]


class LevelMeter:
    """Loudness of sound that arrives in pieces: root mean squares over 50 ms, of the last `memory_seconds`."""

    def __init__(self, memory_seconds: float | None = None) -> None:
        blocks = round(memory_seconds * SAMPLE_RATE / _BLOCK) if memory_seconds else None
        self._levels: deque[float] = deque(maxlen=blocks)
        self._rest = np.zeros(0, np.float32)

    def push(self, wav: np.ndarray) -> None:
        """More 16 kHz samples [N]."""
        wav = np.concatenate([self._rest, wav])
        whole = len(wav) // _BLOCK * _BLOCK
        self._levels.extend(np.sqrt((wav[:whole].reshape(-1, _BLOCK) ** 2).mean(1)).tolist())
        self._rest = wav[whole:]

    def assume(self, gain: float) -> None:
        """Begin with this gain, until three seconds of other sound have been heard."""
        self._levels.extend([_TARGET_LEVEL / gain] * 3)  # the 95th percentile leaves a twentieth out

    @property
    def silent(self) -> bool:
        """Whether nothing was louder than -60 dB of full scale."""
        return max(self._levels, default=0.0) < 1e-3

    @property
    def gain(self) -> float:
        """Factor that brings the loud parts (95th percentile, long silence aside) to level 0.1; silence keeps 1."""
        levels = np.array(self._levels)
        levels = levels[levels > 0.01 * levels.max(initial=0)]
        loud = float(np.percentile(levels, 95)) if len(levels) else 0.0
        return _TARGET_LEVEL / loud if loud > 1e-6 else 1.0


def even_level(wav: np.ndarray) -> np.ndarray:
    """A waveform [samples] scaled so that its loud parts have level 0.1; silence stays silence."""
    meter = LevelMeter()
    meter.push(wav)
    return wav * np.float32(meter.gain)


def frame_count(samples: int, fps: float) -> int:
    """Video frames that so many samples at 16 kHz last."""
    return round(samples / SAMPLE_RATE * fps)


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


def extract_windows(pieces: Iterable[np.ndarray], fps: float, backend: FeatureBackend, origin: Path) -> FeatureWindows:
    """Windows of a whole file's sound, given in pieces; audio shorter than one frame is refused."""
    counter = _Checked(pieces, origin)
    rows, rate = backend.rows(counter)
    if frame_count(counter.samples, fps) < 1 or counter.samples < 800:
        raise UserError(f"{origin} lasts only {counter.samples / SAMPLE_RATE:.3f} s: give at least 0.05 s of audio")
    return FeatureWindows(rows, rate, fps, frame_count(counter.samples, fps), backend.offsets, backend.silence)


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
