"""All findings of one clip, and the forecast that follows from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import LearnableConfig
from ..preparation.learnable import lip_opening, rows_of
from ..preparation.offset import Offset, estimate_offset
from . import face, footage, speaking, voice
from .finding import FATAL, GOOD, POOR, USABLE, WARNING, Finding
from .material import Material

_TOLD = 0.5  # correlation of mouth and sound, from which on a good result can be promised
_HARDLY = 0.3  # below which chance alone may have made it
_MANY = 3  # warnings that together spoil a result


@dataclass(frozen=True)
class Diagnosis:
    """Everything that is said of one clip. name: what it is called; facts: by title; findings: the worst first;
    forecast: `GOOD`, `USABLE` or `POOR`, and why; offset: of sound and picture; fps: frames per second that spans
    count."""

    name: str
    facts: dict[str, str]
    findings: tuple[Finding, ...]
    forecast: str
    reason: str
    offset: Offset
    fps: float

    @property
    def hopeless(self) -> tuple[Finding, ...]:
        """Findings for which preprocessing refuses the clip."""
        return tuple(f for f in self.findings if f.severity == FATAL)


def examine(material: Material, need: LearnableConfig) -> Diagnosis:
    """Ask everything of a clip; need: what preprocessing refuses less than."""
    opening, eyes = lip_opening(material.clip)
    rows = rows_of([material.wav], material.fps, len(opening))
    belongs, told = speaking.belonging(opening, rows, material.fps, need)
    apart = estimate_offset(opening, rows, material.fps)
    found = [
        *_of_face(material),
        *_of_footage(material, opening, eyes / material.clip.crop.scale, need),
        *_of_sound(material, rows, need),
        belongs,
        speaking.offset(apart, material.fps),
    ]
    findings = tuple(sorted(found, key=lambda f: -f.rank))
    seconds = float(material.clear.sum()) / material.fps
    return Diagnosis(material.name, _facts(material), findings, *forecast(findings, told, seconds), apart, material.fps)


def _of_face(material: Material) -> list[Finding]:
    clip, pixels = material.clip, material.pixels
    return [
        face.face_size(clip.landmarks, clip.seen, clip.crop.scale),
        face.pose_range(clip.landmarks, clip.seen),
        face.blur(material.octaves, clip.landmarks, clip.seen, clip.crop.scale),
        face.motion_blur(clip.sharpness, clip.seen, clip.shots),
        face.darkness(pixels),
        face.contrast(pixels),
        face.burnt(pixels),
        face.flicker(pixels, clip.shots),
        face.compression(material.coding),
    ]


def _of_footage(material: Material, opening: np.ndarray, eyes: float, need: LearnableConfig) -> list[Finding]:
    clip, fps = material.clip, material.fps
    hidden = footage.hidden_mouth(material.hidden)
    return [
        footage.length(material.clear, fps, need),
        footage.face_seen(clip),
        *([] if hidden is None else [hidden]),
        footage.cuts(clip.shots, fps),
        footage.people_in_turn(clip),
        footage.people_at_once(material.crowd, clip.face),
        footage.still(opening, eyes, need),
        footage.repeats(material.pixels, fps),
        footage.faded(material.pixels),
        footage.rate(material.video, fps),
        speaking.mouth_shapes(clip.landmarks, clip.seen),
    ]


def _of_sound(material: Material, rows: np.ndarray, need: LearnableConfig) -> list[Finding]:
    wav, fps, frames = material.wav, material.fps, len(material.clip.seen)
    return [
        voice.level(wav, need),
        voice.noise(wav, fps, frames),
        voice.speech_share(wav, fps, frames),
        voice.long_silence(wav, fps, frames),
        voice.clipping(material.channels),
        voice.opposite_channels(material.channels),
        speaking.sounds(rows, voice.speech_frames(wav, fps, frames)),
    ]


def forecast(findings: tuple[Finding, ...], told: float, seconds: float) -> tuple[str, str]:
    """What to expect of a training, and why. told: correlation of mouth and sound on held-out parts (NaN: unknown);
    seconds: of a clear mouth."""
    fatal = [f.name for f in findings if f.severity == FATAL]
    warned = [f.name for f in findings if f.severity == WARNING]
    if fatal:
        return POOR, f"this cannot work: {', '.join(fatal)}"
    if len(warned) >= _MANY:
        return POOR, f"too much is wrong at once: {', '.join(warned)}"
    if told < _HARDLY:
        return POOR, "the sound hardly tells what the mouth does"
    if warned:
        return USABLE, f"the result will suffer from: {', '.join(warned)}"
    if seconds < footage.ENOUGH:
        return USABLE, "more video of this person would make it better"
    if not told >= _TOLD:
        return USABLE, "the sound tells only a part of what the mouth does"
    return GOOD, "nothing stands in the way"


def _facts(material: Material) -> dict[str, str]:
    clip, video = material.clip, material.video
    later = (
        {}
        if material.hidden is not None
        else {"not looked at": "whether something is in front of the mouth: preprocessing tells"}
    )
    return {
        "picture": f"{clip.size[0]}x{clip.size[1]}, {video.codec}, {material.fps:.5g} frames per second",
        "length": f"{len(clip.seen) / material.fps:.1f} s, {len(clip.shots)} shot{'s' if len(clip.shots) > 1 else ''}",
        "face": f"{clip.seen.sum()} of {len(clip.seen)} frames",
        "sound": f"{material.channels.seconds:.1f} s, {len(material.channels.energy)} channel"
        f"{'s' if len(material.channels.energy) > 1 else ''}",
        **later,
    }
