"""Phases of training as data: what each trains, its share of the budget, how it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..config import TrainConfig


@dataclass(frozen=True)
class Position:
    """Where training stands before a step.

    step: number of the step in its phase, from 1; share: of the phase's budget that is spent; progress: of
    the whole budget; total: steps of the whole training; phase: its number.
    """

    step: int
    share: float
    progress: float
    total: int
    phase: int = 0


class Trainee(Protocol):
    """What a phase trains."""

    def begin(self) -> None:
        """Called before the first step; may be called again when training stopped right after."""

    def step(self, at: Position) -> dict[str, float]:
        """One optimisation step; returns its losses. Raises NotFinite, having changed nothing, for a loss
        that is no number."""
        ...

    def end(self) -> None:
        """Called after the last step."""

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain containers."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class NotFinite(Exception):
    """A loss is infinite or no number."""


@dataclass(frozen=True)
class Phase:
    """name: also that of its curves; share: of the budget (None: all that is left); most: steps at most;
    validates: the test frames are measured while it runs."""

    name: str
    trainee: Trainee
    share: float | None
    most: int
    validates: bool = False

    def spent(self, train: TrainConfig, steps: int, seconds: float) -> float:
        """Share of this phase's budget, 0..1, after `steps` steps in `seconds`; of a phase with a share."""
        assert self.share is not None
        most = self.most if train.minutes > 0 else min(self.most, round(self.share * train.steps))
        timed = seconds / (60 * self.share * train.minutes) if train.minutes > 0 else 0.0
        return min(max(timed, steps / max(most, 1)), 1.0)


def progress(train: TrainConfig, steps: int, seconds: float) -> float:
    """Share of the whole budget that is spent, 0..1: of `train.minutes` where that is not 0, else of `train.steps`."""
    return min(seconds / (60 * train.minutes) if train.minutes > 0 else steps / train.steps, 1.0)
