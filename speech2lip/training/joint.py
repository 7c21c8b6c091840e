"""The main phase: speech, pictures, depth and sync together."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..config import TrainConfig
from ..nets.interface import LipSyncModel
from .context import Context, Objective, Sample
from .ema import Average
from .optimise import adamw, remember
from .parts import Loss, Part, Parts
from .phases import Position
from .sync import SyncObjective


class JointTraining:
    """Weighs the terms of all objectives and follows their sum; keeps the average of the weights."""

    def __init__(
        self, context: Context, model: LipSyncModel, average: Average, objectives: list[Objective],
        sync: SyncObjective | None = None,
    ):  # fmt: skip
        self.context, self.model, self.average, self.objectives, self.sync = context, model, average, objectives, sync
        train = context.config.train
        self.optimizer = adamw(parameter_groups(model, train), context.device, lr=train.rate)
        self.parts: Parts[LipSyncModel] = context.parts_of(model, train.batch)

    def begin(self) -> None:
        """Nothing to prepare."""

    def step(self, at: Position) -> dict[str, float]:
        config = self.context.config
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(config.train, at) * group["scale"]
        judged = self.sync_acts(at)
        fixed = judged and config.sync.freeze_blend
        self.model.blend.requires_grad_(not fixed)

        def loss(model: LipSyncModel, part: Part) -> Loss:
            model.train()
            model.blend.train(not fixed)
            terms = self._terms(model, part, judged)
            return torch.stack([config.loss.weight(name) * value for name, value in terms.items()]).sum(), terms

        told = self.parts.descend(self.optimizer, at, loss, config.train.clip_gradient)
        self.average.update(self.model, at.total)
        return told

    def sync_acts(self, at: Position) -> bool:
        """Whether there is an expert, and training is far enough for its loss."""
        sync = self.context.config.sync
        if self.sync is None or not self.sync.ready():
            return False
        return at.total >= sync.start_step if sync.start_step > 0 else at.progress >= sync.start

    def _terms(self, model: LipSyncModel, part: Part, judged: bool) -> dict[str, torch.Tensor]:
        context = self.context
        frames: np.ndarray = part.chance.random.choice(context.index.train, part.of(context.config.train.batch))
        sample = Sample(frames, context.data.batch(frames), part)
        terms: dict[str, torch.Tensor] = {}
        for objective in self.objectives:
            terms |= objective.terms(model, sample)
        if judged and self.sync is not None:
            terms |= self.sync.terms(model, sample)
        return terms

    def end(self) -> None:
        """Nothing to finish."""

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        remember(self.optimizer, state["optimizer"])


def learning_rate(train: TrainConfig, at: Position) -> float:
    """Cosine from `rate` to `final_rate` of it over the budget, after a linear warm-up."""
    cosine = 0.5 + 0.5 * float(np.cos(np.pi * at.progress))
    warm = min(1.0, (at.total + 1) / train.warmup_steps)
    return train.rate * warm * (train.final_rate + (1 - train.final_rate) * cosine)


def parameter_groups(model: LipSyncModel, train: TrainConfig) -> list[dict[str, Any]]:
    """The speech encoder, trained beforehand on few words, moves slowly and decays; pictures are free."""
    speech = model.speech_parameters()
    known = {id(p) for p in speech}
    rest = [p for p in model.parameters() if id(p) not in known]
    return [
        {"params": speech, "weight_decay": train.weight_decay, "scale": train.speech_rate},
        {"params": rest, "weight_decay": 0.0, "scale": 1.0},
    ]
