"""Speech -> mouth shape: the objective, the phase that trains it alone, and how far it can be trusted."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import TrainConfig
from ..nets.interface import LipSyncModel
from ..nets.regression import WindowRegression
from ..nets.speech2lip import Speech2Lip
from . import losses
from .augment import mix
from .context import Context, Sample
from .ema import Average
from .optimise import adamw, remember
from .parts import Loss, Part
from .phases import Phase, Position

_CAUTION = 0.4  # of a mouth that is not sure: 1 moves with the least error, 0 as much as the person does
_PIECE = 512  # frames whose windows, fifty kilobytes each, are taken at once


class SpeechObjective:
    """Squared error of the predicted mouth shape, on many windows; a few of them are silence, which rests the mouth."""

    def __init__(self, context: Context):
        self.context = context

    def terms(self, model: LipSyncModel, sample: Sample) -> dict[str, Tensor]:
        assert isinstance(model, Speech2Lip)
        train = self.context.config.train
        return {"shape": self.loss(model, self.context.index.train, train.speech_batch // 2, sample.part)}

    def loss(self, model: Speech2Lip, frames: np.ndarray, total: int, part: Part) -> Tensor:
        """On a part's share of `total` of `frames`, chosen at random."""
        context, train = self.context, self.context.config.train
        count, chance = part.of(total), part.chance
        mouth = context.data.mouth
        chosen = torch.from_numpy(chance.random.choice(frames, count)).to(context.device)
        windows, target = mix(
            context.disturbed_windows(chosen, chance), model.basis.encode(mouth[chosen]), chance.random, train.mixup
        )
        quiet = int(count * train.silent_share)
        noise = 0.1 * torch.randn(windows[:quiet].shape, generator=chance.generator)
        windows[:quiet] = (context.silence + noise).to(windows)
        target[:quiet] = model.basis.encode(mouth[context.index.subject.canonical_frame][None])
        return losses.shape_loss(model.stream_predictions(windows), target[:, None], model.basis.weights)


class SpeechTraining:
    """Trains the speech encoder and the shape head of a model on some frames, with a rate that falls to zero."""

    def __init__(self, context: Context, model: Speech2Lip, frames: np.ndarray, average: Average | None = None):
        self.context, self.frames, self.average = context, frames, average
        self.objective = SpeechObjective(context)
        self._train(model)

    def _train(self, model: Speech2Lip) -> None:
        """Have this model trained from now on, by an optimiser that has seen nothing."""
        train = self.context.config.train
        self.model = model
        self.optimizer = adamw(model.speech_parameters(), self.context.device, weight_decay=train.weight_decay)
        self.parts = self.context.parts_of(model, train.speech_batch)

    @property
    def most(self) -> int:
        """Steps that pass `train.speech_epochs` times over the frames."""
        train = self.context.config.train
        return max(1, train.speech_epochs * len(self.frames) // train.speech_batch)

    def begin(self) -> None:
        """Nothing to prepare."""

    def step(self, at: Position) -> dict[str, float]:
        train = self.context.config.train
        for group in self.optimizer.param_groups:
            group["lr"] = speech_rate(train, at)

        def loss(model: Speech2Lip, part: Part) -> Loss:
            return self.objective.loss(model.train(), self.frames, train.speech_batch, part), {}

        return {"loss": self.parts.descend(self.optimizer, at, loss)["total"]}

    def end(self) -> None:
        if self.average is not None:
            self.average.reset(self.model)

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        remember(self.optimizer, state["optimizer"])


def speech_rate(train: TrainConfig, at: Position) -> float:
    """Learning rate of the speech phase: a linear warm-up, then down to zero as its budget is spent."""
    rise = min(1.0, at.step / train.speech_warmup_steps)
    return train.speech_phase_rate * train.rate * rise * (1 - at.share)


@dataclass
class Calibration:
    """Learns from speech that was not trained on how far the regression is believed beside the encoder, how much too little
    the mouth then moves, and makes up for it.

    The factor on a code that has the least error is its correlation with the real one, times the real spread over the
    predicted. It mumbles: what speech does not explain is missing. The factor that moves as much as the person does is the
    ratio of the spreads alone. It makes guesses louder. The model goes between the two, by `_CAUTION`.

    predicted, regressed: codes [n, K] of each part, by an encoder and a regression that did not hear it; frames: of each part.
    """

    context: Context
    model: Speech2Lip
    predicted: list[Tensor] = field(default_factory=list)
    regressed: list[Tensor] = field(default_factory=list)
    frames: list[Tensor] = field(default_factory=list)

    def parts(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(held-out frames, frames to train on) of each fold; no window reaches across."""
        index = self.context.index
        guard = int(np.ceil(np.abs(index.offsets).max() * index.subject.fps))
        parts = np.array_split(index.train, self.context.config.train.folds)
        return [(p, index.train[(index.train < p[0] - guard) | (index.train > p[-1] + guard)]) for p in parts]

    def phases(self) -> list[Phase]:
        """One for each fold; after the last the model's gain is set."""
        train, parts = self.context.config.train, self.parts()
        folds = [FoldTraining(self, part, rest) for part, rest in parts]
        share = train.speech_share / len(parts)
        return [Phase(f"articulation {k + 1}/{len(parts)}", f, share, f.most) for k, f in enumerate(folds)]

    def codes(self) -> tuple[Tensor, Tensor]:
        """Codes [N, K] that the encoder predicts for the training frames [N], held out."""
        return torch.cat(self.predicted), torch.cat(self.frames)

    @torch.no_grad()
    def keep(self, twin: Speech2Lip, part: np.ndarray, rest: np.ndarray) -> None:
        """Remember what a copy that was trained on `rest` says of frames that it never heard; the last one sets shares and gain."""
        at, data = torch.from_numpy(part).to(self.context.device), self.context.data
        self.predicted.append(twin.eval().encode_audio(data.windows(at), at)[1])
        if twin.regression is not None:
            self.fit(twin.regression, rest)
            self.regressed.append(torch.cat([twin.regression(data.windows(piece)) for piece in at.split(_PIECE)]))
        self.frames.append(at)
        if len(self.frames) == self.context.config.train.folds:
            if self.model.regression is not None:
                self.fit(self.model.regression, self.context.index.train)
                self.model.regression.share.copy_(self.share())
            self.model.shape_head.gain.copy_(self.gain())

    def fit(self, regression: WindowRegression, frames: np.ndarray) -> None:
        """Fit a regression to frames as they are heard."""
        at, data, basis = torch.from_numpy(frames).to(self.context.device), self.context.data, self.model.basis

        def pairs() -> Iterator[tuple[Tensor, Tensor]]:
            for piece in at.split(_PIECE):
                yield data.windows(piece), basis.encode(data.mouth[piece])

        regression.fit(pairs, self.context.config.model.lip.regression)

    def state_dict(self) -> dict[str, Any]:
        return {"predicted": self.predicted, "regressed": self.regressed, "frames": self.frames}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("predicted", "regressed", "frames"):
            setattr(self, name, [t.to(self.context.device) for t in state.get(name, [])])

    def unheard(self) -> tuple[Tensor, Tensor]:
        """Codes [N, K] that encoder and regression together predict for the training frames, held out, and the real ones."""
        made, frames = self.codes()
        if self.model.regression is not None:
            made = torch.lerp(made, torch.cat(self.regressed), self.model.regression.share)
        return made, self.model.basis.encode(self.context.data.mouth[frames])

    def share(self) -> Tensor:
        """How far each code [K] of the regression is believed: where the held-out error is least."""
        made, frames = self.codes()
        real = self.model.basis.encode(self.context.data.mouth[frames])
        beside = torch.cat(self.regressed) - made
        return ((beside * (real - made)).sum(0) / (beside**2).sum(0).clamp(min=1e-9)).clamp(0, 1)

    def gain(self) -> Tensor:
        """Factor [K] on each code, of encoder and regression together."""
        made, real = self.unheard()
        a, b = (x - x.mean(0) for x in (made, real))
        explained = ((a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)).clamp(min=1e-6)).clamp(min=0)
        spread = b.norm(dim=0) / a.norm(dim=0).clamp(min=1e-6)
        return (explained**_CAUTION * spread).clamp(max=self.context.config.train.articulate)


class FoldTraining(SpeechTraining):
    """Trains a copy of the model's encoder without one part of the clip."""

    def __init__(self, calibration: Calibration, part: np.ndarray, rest: np.ndarray):
        self.calibration, self.part, self.rest = calibration, part, rest
        super().__init__(calibration.context, calibration.model, rest)

    def begin(self) -> None:
        self._train(copy.deepcopy(self.calibration.model))

    def end(self) -> None:
        self.calibration.keep(self.model, self.part, self.rest)

    def state_dict(self) -> dict[str, Any]:
        """The copy too."""
        return {**super().state_dict(), "model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._train(copy.deepcopy(self.calibration.model))
        self.model.load_state_dict(state["model"])
        super().load_state_dict(state)
