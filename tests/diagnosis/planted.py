"""Faults to plant in copies of the synthetic speaker, each with the finding that must name it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from speech2lip.media.encode import VideoWriter
from speech2lip.media.sound import SAMPLE_RATE
from speech2lip.preparation.sound import moved

Frames = Sequence[np.ndarray]


@dataclass(frozen=True)
class PictureFault:
    """plant: frames -> frames; finding: its name; beside: what else may follow from it; crf, fps: of the file."""

    finding: str
    plant: Callable[[Frames], Frames]
    beside: tuple[str, ...] = ()
    crf: int = 12
    fps: float = 25.0


@dataclass(frozen=True)
class SoundFault:
    """plant: wav [N] -> wav [N] or [N, channels]."""

    finding: str
    plant: Callable[[np.ndarray], np.ndarray]
    beside: tuple[str, ...] = ()


def _each(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Frames], Frames]:
    return lambda frames: [change(f) for f in frames]


def _some(every: Callable[[int], bool], change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Frames], Frames]:
    return lambda frames: [change(f) if every(k) else f for k, f in enumerate(frames)]


def _levels(gain: float, offset: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    return lambda f: np.clip(f * gain + offset, 0, 255).astype(np.uint8)


def _smaller(frame: np.ndarray) -> np.ndarray:
    out, part = np.full_like(frame, 90), cv2.resize(frame, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    out[100 : 100 + len(part), 100 : 100 + len(part)] = part
    return out


def _blurred(sigma: float, sideways: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda f: cv2.GaussianBlur(f, (0, 0), sigmaX=sideways, sigmaY=sigma)


def _zoomed(frames: Frames) -> Frames:
    """A jump to a closer and a wider picture every 20 frames."""
    return [
        f if k // 20 % 2 else np.ascontiguousarray(cv2.resize(f[32:352, 20:340], (384, 384)))
        for k, f in enumerate(frames)
    ]


def _in_turn(frames: Frames) -> Frames:
    """A broader person before another wall for a fifth of the clip."""
    a, b = len(frames) // 2, len(frames) // 2 + len(frames) // 5
    return [_other(f) if a <= k < b else f for k, f in enumerate(frames)]


def _other(frame: np.ndarray) -> np.ndarray:
    wide = cv2.resize(frame, (frame.shape[1] * 4 // 3, frame.shape[0]))
    edge = (wide.shape[1] - frame.shape[1]) // 2
    return np.ascontiguousarray(wide[:, edge : edge + frame.shape[1], ::-1])


def _at_once(frames: Frames) -> Frames:
    """A second, smaller person beside the first."""
    small = [cv2.resize(f, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA) for f in frames]
    return [
        np.concatenate([f, np.vstack([s, np.full((384 - len(s), s.shape[1], 3), 90, np.uint8)])], 1)
        for f, s in zip(frames, reversed(small), strict=True)
    ]


def _still(frames: Frames) -> Frames:
    """One picture, as a camera with noise sees it."""
    rng = np.random.default_rng(0)
    return [np.clip(frames[40] + rng.normal(0, 1.5, frames[40].shape), 0, 255).astype(np.uint8) for _ in frames]


def _twice(frames: Frames) -> Frames:
    return [frames[k - k % 2] for k in range(len(frames))]


def _pulldown(frames: Frames) -> Frames:
    return [frames[k - (k % 12 == 11)] for k in range(len(frames))]


def _stuck(frames: Frames) -> Frames:
    return [frames[150] if 150 <= k < 200 else f for k, f in enumerate(frames)]


def _faded(frames: Frames) -> Frames:
    return [_levels(min(1.0, min(k, len(frames) - 1 - k) / 15))(f) for k, f in enumerate(frames)]


def _away(frames: Frames) -> Frames:
    """An empty wall, again and again."""
    return [
        np.ascontiguousarray(np.roll(f[:40].repeat(10, 0)[:384], k, 1)) if 100 <= k % 200 < 180 else f
        for k, f in enumerate(frames)
    ]


def _slower(frames: Frames) -> Frames:
    return frames[::2]


PICTURES = {
    "a small face": PictureFault("face_size", _each(_smaller), ("blur",)),
    "out of focus": PictureFault("blur", _each(_blurred(4.0, 4.0))),
    "motion blur": PictureFault(
        "motion_blur", _some(lambda k: k % 12 in (0, 1), _blurred(0.5, 8.0)), ("repeats", "cuts")
    ),
    "too dark": PictureFault("darkness", _each(_levels(0.3)), ("contrast",)),
    "fog": PictureFault("contrast", _each(_levels(0.25, 110))),
    "overexposed": PictureFault("overexposure", _each(_levels(2.2, 30)), ("contrast",)),
    "flicker": PictureFault("flicker", _some(lambda k: k % 2 == 0, _levels(0.85)), ("cuts",)),
    "compressed": PictureFault("compression", list, ("blur", "repeats", "motion_blur", "cuts", "offset"), crf=46),
    "cuts": PictureFault("cuts", _zoomed),
    "people in turn": PictureFault("people_in_turn", _in_turn, ("cuts", "dubbed")),
    "people at once": PictureFault("people_at_once", _at_once),
    "a still picture": PictureFault("still", _still, ("dubbed", "offset", "mouth_shapes", "repeats")),
    "every frame twice": PictureFault("repeats", _twice),
    "24 frames made 25": PictureFault("repeats", _pulldown),
    "a freeze": PictureFault("repeats", _stuck, ("cuts",)),
    "fades": PictureFault("faded", _faded, ("repeats", "face_seen", "motion_blur")),
    "nobody there": PictureFault("face_seen", _away, ("cuts", "faded", "dubbed")),
    "a low rate": PictureFault("frame_rate", _slower, ("repeats",), fps=12.5),
}


def _noisy(wav: np.ndarray) -> np.ndarray:
    return wav + 0.05 * np.random.default_rng(0).normal(size=len(wav))


def _overdriven(wav: np.ndarray) -> np.ndarray:
    return (wav * 4).clip(-0.5, 0.5)


def _hole(wav: np.ndarray) -> np.ndarray:
    out = wav.copy()
    out[6 * SAMPLE_RATE : 10 * SAMPLE_RATE] = 0
    return out


def _sparse(wav: np.ndarray) -> np.ndarray:
    """Room noise instead of speech for most of the time."""
    room = 1e-3 * np.random.default_rng(0).normal(size=len(wav))
    return np.where(np.arange(len(wav)) < 4 * SAMPLE_RATE, wav, 0) + room


def _hum(wav: np.ndarray) -> np.ndarray:
    """One vowel-like buzz as loud as the speech was."""
    level = np.sqrt(np.convolve(wav**2, np.ones(800) / 800, "same"))
    phase = np.arange(len(wav)) * 120 / SAMPLE_RATE
    return level * (2 * (phase % 1) - 1) + 1e-4 * np.random.default_rng(0).normal(size=len(wav))


SOUNDS = {
    "too quiet": SoundFault("sound_level", lambda wav: wav * 0.01),
    "no sound": SoundFault(
        "sound_level", lambda wav: wav * 0, ("silence", "dubbed", "offset", "noise", "speech_share", "sounds")
    ),
    "noise": SoundFault("noise", _noisy, ("sounds", "speech_share")),
    "overdriven": SoundFault("clipping", _overdriven),
    "a hole": SoundFault("silence", _hole, ("dubbed", "offset")),
    "opposite channels": SoundFault("channels", lambda wav: np.stack([wav, -wav], 1)),
    "little speech": SoundFault("speech_share", _sparse, ("dubbed", "offset")),
    "another's speech": SoundFault(
        "dubbed", lambda wav: np.concatenate([wav[len(wav) // 2 :][::-1], wav[: len(wav) // 2][::-1]]), ("offset",)
    ),
    "late sound": SoundFault("offset", lambda wav: moved(wav, -0.24)),
    "early sound": SoundFault("offset", lambda wav: moved(wav, 0.2)),
    "a hum": SoundFault("sounds", _hum, ("dubbed", "offset")),
}


def write_clip(path: Path, frames: Frames, sound: Path, fault: PictureFault) -> Path:
    with VideoWriter(path, fault.fps, sound, crf=fault.crf) as video:
        for frame in fault.plant(frames):
            video.write(frame)
    return path
