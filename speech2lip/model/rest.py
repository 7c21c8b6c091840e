"""A person's own rest pose: how the mouth stands where its person says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..audio.voice_activity import presence_in_sound
from ..facemesh import opening_of_points
from ..media.sound import stream_saved
from ..nets.shape import ShapeBasis
from ..subject.layout import SubjectLayout
from ..subject.records import Track

_ENOUGH = 10  # frames in silence from which a rest pose is measured
_CLOSED = 0.05  # of the frames: the most closed, where too few are silent
_LEAST_SPREAD = 0.02  # standard deviations of speech


@dataclass(frozen=True)
class Rest:
    """codes [K]: the mouth's shape at rest; spread [K]: standard deviation of what it does in silence."""

    codes: Tensor
    spread: Tensor


def presence_in(audio: Path, fps: float, count: int) -> np.ndarray:
    """How far each of `count` frames of a clip belongs to speech, [count] in 0..1, by the sound that its subject keeps; where a
    folder has none, all of them."""
    if not audio.is_file():
        return np.ones(count, np.float32)
    return presence_in_sound(stream_saved(audio), fps, count)


def resting_mouths(layout: SubjectLayout, track: Track, frames: np.ndarray, fps: float) -> np.ndarray:
    """Mouth landmarks [n, points, 2] of those of `frames` in which the mouth rests."""
    mouth = track.mouth
    return mouth[resting_frames(mouth, frames, presence_in(layout.audio, fps, len(mouth)))]


def resting_frames(mouth: np.ndarray, frames: np.ndarray, presence: np.ndarray) -> np.ndarray:
    """Those of `frames` that are well away from speech, or else, where they are too few, those with the most closed mouths.

    mouth: landmarks [T, points, 2]; presence: [T] of speech.
    """
    quiet = frames[presence[frames] == 0]
    if len(quiet) >= _ENOUGH:
        return quiet
    opening = opening_of_points(mouth[frames])
    return np.sort(frames[np.argsort(opening, kind="stable")[: max(_ENOUGH, round(_CLOSED * len(frames)))]])


def rest_of(basis: ShapeBasis, mouth: np.ndarray) -> Rest:
    """Median and spread of the codes of landmarks [n, points, 2] at rest."""
    codes = basis.encode(torch.from_numpy(np.asarray(mouth, np.float32)).to(basis.mean))
    return Rest(codes.median(0).values.cpu(), codes.std(0).clamp(min=_LEAST_SPREAD).cpu())
