"""How far a sound lies from the speech that a model was trained on, by how well the model's two ears agree.

Each stream of features predicts the mouth by itself. On speech like the training's they say the same; noise, other
voices and other languages disturb them differently, so they part. Nobody has to know the right mouth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from ..metrics.basic import correlation
from ..nets.speech2lip import Speech2Lip

LEAST = 75  # frames of speech below which nothing is said
_MOST = 400  # frames that are asked
_AT_ONCE = 64
_FAR, _SOME = 0.65, 0.85  # shares of the agreement on the person's own unheard speech (docs/features.md)

_SPEECH = 0.99  # of presence, from which a frame is one of speech
_LEAST_OWN = 0.2  # below, the model's ears do not agree on the person's own speech, and nothing can be compared


class SliceableWindows(Protocol):
    """Windows [N, rows, channels] that indices choose from."""

    def __getitem__(self, frames: np.ndarray, /) -> np.ndarray: ...


@dataclass(frozen=True)
class Familiarity:
    """agreement: of `agreement`, on this sound; own: the same on speech of the person's that was not trained on."""

    agreement: float
    own: float

    @property
    def share(self) -> float:
        """Agreement as a share of that on the person's own speech."""
        return max(self.agreement, 0.0) / self.own

    @property
    def verdict(self) -> str:
        """What to expect, in a few words."""
        if self.share < _FAR:
            return "far: expect lips that follow clearly worse"
        return "somewhat far: expect lips that follow a little worse" if self.share < _SOME else "near"

    @property
    def warning(self) -> str:
        """A sentence about sound that is far; "" for any other."""
        if self.share >= _FAR:
            return ""
        return (
            f"this sound is far from what the model was trained on (noise, music, another voice or language): its two ways of hearing "
            f"agree to {self.agreement:.2f} about the mouth, and to {self.own:.2f} on the person's own speech; expect lips that "
            "follow it clearly worse"
        )


@torch.no_grad()
def agreement(model: Speech2Lip, windows: SliceableWindows, speech: np.ndarray) -> float:
    """Correlation over time between the mouths that the first two streams predict: of each shape code, weighed as in training.

    windows: [N, rows, channels]; speech: [n] frames in which somebody speaks, of which at most 400 are asked. NaN below
    LEAST of them, and for models that hear one stream.
    """
    if len(speech) < LEAST or len(model.shape_head.stream_weights) < 2:
        return float("nan")
    chosen = speech[np.linspace(0, len(speech) - 1, min(_MOST, len(speech))).astype(int)]
    pieces, device, training = (
        np.array_split(chosen, len(chosen) // _AT_ONCE + 1),
        model.basis.mean.device,
        model.training,
    )
    model.eval()
    parts = [model.stream_predictions(torch.from_numpy(np.asarray(windows[p], np.float32)).to(device)) for p in pieces]
    model.train(training)
    said, weights = torch.cat(parts).cpu().numpy(), model.basis.weights.cpu().numpy()
    return float(sum(w * correlation(said[:, 0, k], said[:, 1, k]) for k, w in enumerate(weights)))


def familiarity(model: Speech2Lip, windows: SliceableWindows, presence: np.ndarray, own: float) -> Familiarity | None:
    """Of a sound whose frames belong to speech as far as `presence` [N]; None where too little is known to say anything.

    own: agreement on the person's own speech.
    """
    found = agreement(model, windows, np.flatnonzero(presence > _SPEECH))
    return Familiarity(found, own) if np.isfinite(found) and own > _LEAST_OWN else None
