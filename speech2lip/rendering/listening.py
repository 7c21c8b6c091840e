"""What a model makes of sound, before anything is painted: how much of it is speech, how familiar it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..model.familiarity import Familiarity
from .predictor import Predictor


@dataclass(frozen=True)
class Impression:
    """seconds: of the sound; speech: share of it in which somebody speaks; familiarity: None where nothing can be said."""

    audio: Path
    seconds: float
    speech: float
    familiarity: Familiarity | None

    def __str__(self) -> str:
        near = self.familiarity
        said = (
            f"agreement {near.agreement:.2f}, on the person's own speech {near.own:.2f}: {near.verdict}"
            if near is not None
            else "too little speech, here or of the person's own beside the training, to compare"
        )
        return f"{self.audio}: {self.seconds:.1f} s, speech in {self.speech:.0%}, {said}"


def listen(model: Path, audio: Sequence[Path], root: Path | None = None, device: str = "auto") -> Iterator[Impression]:
    """Impressions of files with sound, one after the other. root: the subject's folder (default: the model's own)."""
    with Predictor.reading(model, root, device) as predictor:
        for file in audio:
            heard = predictor.features(file)
            seconds = len(heard) / predictor.subject.fps
            yield Impression(file, seconds, float((heard.presence > 0.5).mean()), predictor.familiarity(heard))
