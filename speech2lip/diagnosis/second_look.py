"""The doctor's second look: what a training has learned so far, measured with the weights of its last validation."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from ..config import Config
from ..errors import UserError
from ..facemesh import LIPS_OUTER, interocular, opening_of_points
from ..locks import reader_of
from ..media.sound import stream_saved
from ..model.checkpoint import Checkpoint, load_checkpoint
from ..nets.speech2lip import Speech2Lip
from ..preparation.learnable import rows_of
from ..preparation.offset import NOTICEABLE, Offset, estimate_offset, lateness
from ..rendering.predictor import Predictor
from ..subject.index import parse_subject
from ..subject.layout import SubjectLayout
from .finding import NOTE, OK, WARNING, Finding, graded

if TYPE_CHECKING:
    from .doctor import Examined

_DRAWN = 75  # test frames that are painted
_HEARD = 180.0  # seconds of the clip whose mouth is predicted: an offset is clear long before
_LEAST_UNHEARD = 50  # test frames, below which chance alone makes a correlation of a third
_TOLD_NOTE, _TOLD_WARNING = 0.7, 0.5  # correlation on unheard speech; real clips end at 0.51 to 0.92 (docs/quality.md)
_SHARP_NOTE, _SHARP_WARNING = 0.85, 0.7  # texture of drawn lips over real ones; real clips end at 0.89 to 0.98
_LEAST_DRAWN = 5  # frames, below which nothing is said of their texture


@dataclass(frozen=True)
class SoFar:
    """What was measured of a training.

    steps, minutes: of training; r: correlation of the opening that speech predicts with the real one, on `unheard` frames of
    the test part; agreement: of the model's two ears there (0: not known); apart: how the mouth that the model makes of the
    clip's own sound lies to that sound (None: the model draws without shapes); texture: [K, 2] of the lips in K frames,
    drawn and real; fps: frames per second.
    """

    steps: int
    minutes: float
    r: float
    unheard: int
    agreement: float
    apart: Offset | None
    texture: np.ndarray
    fps: float


@dataclass(frozen=True)
class SecondLook:
    """title: of which training, and how long it went; findings: in the order in which they are told."""

    title: str
    findings: tuple[Finding, ...]

    @property
    def lines(self) -> list[str]:
        """For the terminal, a line each, those in order too."""
        told = [f"  {f.severity}: {f.name}: {f.text}." + (f" {f.remedy}" if f.remedy else "") for f in self.findings]
        return [f"second look, {self.title}:", *told]


def look_at_training(model: Path) -> SecondLook:
    """Measure the training whose checkpoint this is, `model.partial.pt` or `model.pt`. Takes some seconds.

    Random numbers are left as they were, so that a training goes on as if nobody had looked. UserError for a checkpoint that
    cannot be read, or whose subject's folder is gone or was made anew.
    """
    with torch.random.fork_rng():
        checkpoint = load_checkpoint(model)
        layout = SubjectLayout(checkpoint.config.data.root)
        with reader_of(layout.root, "speech2lip doctor"):
            return judged(_measured(checkpoint, layout))


def judged(so_far: SoFar) -> SecondLook:
    """Findings of what was measured."""
    apart = [] if so_far.apart is None else [learned_offset(so_far.apart, so_far.fps)]
    title = f"after {so_far.minutes:.1f} minutes of training ({so_far.steps} steps with pictures)"
    found = (unheard_speech(so_far.r, so_far.unheard, so_far.agreement), *apart, drawn_sharpness(so_far.texture))
    return SecondLook(title, found)


def tell(model: Path) -> None:
    """What a training says of itself once, on its way: a look at its checkpoint. One that cannot be had does not stop it, such as
    where only the packages of training are."""
    try:
        lines = look_at_training(model).lines
    except (UserError, ImportError) as error:
        print(f"no second look: {error}", file=sys.stderr)
        return
    print("\n".join(lines), flush=True)


def with_second_look(examined: Examined, config: Config) -> Examined:
    """The examined subject, with what its training has learned so far, where there is one in `train.output`.

    A model of another state of the folder is a finding, not an error: the doctor looks at the folder.
    """
    model = _newest(Path(config.train.output) / examined.layout.load_subject().name)
    if model is None:
        return examined
    try:
        checkpoint = load_checkpoint(model)
        if Path(checkpoint.config.data.root).resolve() != examined.layout.root.resolve():
            return examined
        look = look_at_training(model)
    except UserError as error:
        look = SecondLook(str(model), (Finding("second_look", NOTE, f"the training cannot be looked at: {error}"),))
    diagnosis = examined.diagnosis
    findings = tuple(sorted([*diagnosis.findings, *look.findings], key=lambda f: -f.rank))
    facts = {**diagnosis.facts, "second look": f"{model}, {look.title}"}
    return replace(examined, diagnosis=replace(diagnosis, findings=findings, facts=facts))


def _newest(folder: Path) -> Path | None:
    """The checkpoint of a training that goes on, or else the finished one."""
    there = [p for p in (folder / "model.partial.pt", folder / "model.pt") if p.is_file()]
    return max(there, key=lambda p: p.stat().st_mtime, default=None)


# ---------------------------------------------------------------- findings


def unheard_speech(r: float, frames: int, agreement: float) -> Finding:
    """How well speech predicts this mouth where it was not trained on; arguments: as of `SoFar`."""
    if frames < _LEAST_UNHEARD:
        text = f"how well speech predicts this mouth is not known: {frames} frames were kept for testing"
        return Finding("unheard_speech", NOTE, text, "Give a longer clip, or a larger data.test_fraction.")
    ears = f", and the model's two ways of hearing agree to {agreement:.2f}" if agreement else ""
    text = f"speech predicts the mouth's opening with a correlation of {r:.2f} on {frames} frames that were not heard in training{ears}"
    severity = graded(r, _TOLD_NOTE, _TOLD_WARNING)
    remedy = (
        "" if severity == OK else "Give more video of this person talking, in the same voice and mood, without music."
    )
    return Finding("unheard_speech", severity, text, remedy)


def learned_offset(found: Offset, fps: float) -> Finding:
    """Whether the mouth that was learned is apart from its sound: a model repeats the offset of its clip."""
    if not found.clear:
        text = "how far the learned mouth is apart from its sound is not clear yet"
        return Finding("learned_offset", NOTE, text, "Look again when more is learned.")
    seconds = found.frames / fps
    text = f"beside the mouth that was learned the sound is {lateness(seconds)} ({found.frames:+.1f} frames)"
    apart = abs(seconds) >= NOTICEABLE
    remedy = (
        f"Preprocess again with a data.offset that is {seconds:+.2f} more than before, and train from the beginning."
    )
    return Finding("learned_offset", WARNING if apart else OK, text, remedy if apart else "")


def drawn_sharpness(texture: np.ndarray) -> Finding:
    """How sharp the drawn mouth is beside the real one; texture: [K, 2] of drawn and real lips, NaN where it is not known."""
    both = texture[np.isfinite(texture).all(1)]
    if len(both) < _LEAST_DRAWN:
        text = f"how sharp the drawn mouth is cannot be said: it is seen in {len(both)} of {len(texture)} frames"
        return Finding("drawn_sharpness", NOTE, text, "Give a longer clip, or a larger data.test_fraction.")
    drawn, real = both.mean(0)
    ratio = float(drawn / max(real, 1e-9))
    text = f"drawn lips have {ratio:.0%} of the fine detail of the real ones ({len(both)} frames)"
    severity = graded(ratio, _SHARP_NOTE, _SHARP_WARNING)
    remedy = (
        ""
        if severity == OK
        else "Train longer; if it stays, give a sharper clip, with more light and less compression."
    )
    return Finding("drawn_sharpness", severity, text, remedy)


# ---------------------------------------------------------------- measures


def _measured(checkpoint: Checkpoint, layout: SubjectLayout) -> SoFar:
    config, metrics = checkpoint.config, checkpoint.metrics
    predictor = Predictor(checkpoint, layout, config.train.device)
    index = parse_subject(layout, config.data.test_fraction, predictor.model.region)
    fps = index.subject.fps
    return SoFar(
        steps=int(metrics.get("steps", 0)),
        minutes=float(metrics.get("minutes", 0.0)),
        r=float(metrics.get("opening_r", 0.0)),
        unheard=len(index.test) if "opening_r" in metrics else 0,
        agreement=checkpoint.metadata.agreement,
        apart=_apart(predictor, layout, index.windows[: round(_HEARD * fps)]),
        texture=_texture(predictor, index.windows, index.test if len(index.test) else index.train),
        fps=fps,
    )


def _apart(predictor: Predictor, layout: SubjectLayout, windows: np.ndarray) -> Offset | None:
    """The mouth that the model makes of the clip's own sound, windows [T, rows, channels], against that sound. It has none of
    the movements that real lips make without a sound, so its peak is more distinct than theirs."""
    model, fps = predictor.model, predictor.subject.fps
    if not isinstance(model, Speech2Lip) or not layout.audio.is_file():
        return None
    codes = predictor.codes(windows, np.zeros(len(windows), int))[1]
    opening = np.asarray(opening_of_points(model.basis.decode(codes).cpu().numpy()), np.float64)
    return estimate_offset(opening, rows_of(stream_saved(layout.audio), fps, len(opening)), fps)


def _texture(predictor: Predictor, windows: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Texture [K, 2] of drawn and of real lips in the first of `frames`, with their own sound, inside the real lips' outline: landmarks
    that are stored, since no network need be there where people train."""
    first, count = int(frames[0]), min(_DRAWN, int(frames[-1]) + 1 - int(frames[0]))
    track, crop = predictor.track, predictor.subject.crop
    points = (track.landmarks[first : first + count] + 0.5) / crop.scale - 0.5 + [crop.x, crop.y]
    heard = predictor.own_speech(windows[first : first + count], first)
    rows = [
        lip_textures(done.image, done.original, lips)
        for done, lips in zip(predictor.render(heard, first), points, strict=True)
        if track.clear[done.source]
    ]
    return np.array(rows).reshape(-1, 2)


def lip_textures(drawn: np.ndarray, real: np.ndarray, points: np.ndarray) -> tuple[float, float]:
    """Texture of two RGB uint8 pictures [H, W, 3] of one frame inside the lips of landmarks [478, 2], pixels; NaN for lips of a few
    pixels, or outside of the picture."""
    from ..metrics.texture import detail, inside, texture  # with SciPy, which training does without

    eyes = float(interocular(points))
    low, high = points[LIPS_OUTER].min(0) - eyes / 4, points[LIPS_OUTER].max(0) + eyes / 4
    (x, y), (right, bottom) = low.astype(int).clip(0), high.astype(int).clip(0)
    parts = [np.ascontiguousarray(image[y:bottom, x:right]) for image in (drawn, real)]
    if not parts[0].size:
        return float("nan"), float("nan")
    where = inside(points[LIPS_OUTER] - [x, y], parts[0].shape)
    fine = (detail(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), eyes) for part in parts)
    one, two = (texture(part, where) for part in fine)
    return one, two
