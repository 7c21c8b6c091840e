"""Sync experts: one that is trained on the subject's own windows, and what any expert says of generated ones."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets.interface import LipSyncModel
from ..nets.sync import SyncExpert
from ..subject.index import SubjectIndex
from . import losses
from .context import Context, Sample
from .optimise import adamw, remember
from .parts import Chance, Loss, Part, Parts
from .phases import Phase, Position

_LEAST = 32  # windows below which an expert has too little to learn from
_JUDGED = 2  # windows per step that an expert judges
_NEGATIVES = 4  # real windows of other moments beside each
_SIDE = 48  # of the lips that the own expert sees


class SyncObjective(Protocol):
    """An objective that may have to wait."""

    def ready(self) -> bool:
        """Whether there is a trained expert."""
        ...

    def terms(self, model: LipSyncModel, sample: Sample) -> dict[str, Tensor]: ...


class FrameWindows:
    """Runs of `size` consecutive frames."""

    def __init__(self, index: SubjectIndex, size: int):
        self.index, self.size = index, size

    def starts(self, frames: np.ndarray) -> np.ndarray:
        """First frames of windows of usable frames within one shot."""
        size = self.size
        usable = np.zeros(self.index.subject.frames + size, bool)
        usable[frames] = True
        shot = np.zeros(len(usable), np.int64)
        for number, (start, end) in enumerate(self.index.subject.shots):
            shot[start:end] = number
        return np.array([f for f in frames if usable[f : f + size].all() and shot[f] == shot[f + size - 1]], np.int64)

    def frames(self, first: np.ndarray) -> np.ndarray:
        """All frames [B, size] of windows that start at [B]."""
        return first[:, None] + np.arange(self.size)

    @property
    def middle(self) -> int:
        return self.size // 2


class OwnExpert:
    """Contrastive training on real windows, the right moment against other moments; then the judge of generated ones."""

    def __init__(self, context: Context, net: SyncExpert):
        self.context, self.net, self.trained = context, net, False
        self.windows = FrameWindows(context.index, context.config.sync.window)
        self._starts = self.windows.starts(context.index.train)
        self._small: Tensor | None = None
        sync = context.config.sync
        self.optimizer = adamw(net.parameters(), context.device, lr=sync.rate, weight_decay=sync.weight_decay)
        # Whole, and the same in every process: each window of a batch is the others' wrong moment.
        self.parts = Parts(context.team.apart(), net, 1, context.config.train.seed)
        self._steps = 0

    def phases(self) -> list[Phase]:
        """None where there is too little to learn from: nothing is judged then."""
        sync = self.context.config.sync
        if len(self._starts) < _LEAST:
            return []
        most = max(1, sync.epochs * len(self.context.index.train) // sync.batch)
        return [Phase("sync expert", self, sync.share, most)]

    def ready(self) -> bool:
        return self.trained

    # -------------------------------------------------------------- training

    def begin(self) -> None:
        """Nothing to prepare."""

    def step(self, at: Position) -> dict[str, float]:
        context, sync = self.context, self.context.config.sync

        def loss(net: SyncExpert, part: Part) -> Loss:
            frames = part.chance.random.choice(self._starts, min(sync.batch, len(self._starts)), replace=False)
            lips = self._stacked(frames)
            level = torch.randn(len(lips), 1, 1, 1, generator=part.chance.generator).to(context.device)
            middle = torch.from_numpy(frames + self.windows.middle)
            audio = context.disturbed_windows(middle, part.chance)
            a, b = net.embed_lips(lips * (1 + 0.1 * level)), net.embed_audio(audio)
            at_frames = torch.from_numpy(frames).to(context.device)
            return losses.symmetric_contrast(a, b, at_frames, sync.negative_offset, sync.temperature), {}

        told = self.parts.descend(self.optimizer, at, loss)
        self._steps = at.step
        return {"loss": told["total"]}

    def end(self) -> None:
        self.freeze()
        print(
            f"sync expert: {self._steps} steps, picks the right of 2 moments in {self.accuracy():.0%} of unseen windows"
        )

    def freeze(self) -> None:
        self.trained, self._small = True, None
        self.net.eval().requires_grad_(False)

    def state_dict(self) -> dict[str, Any]:
        return {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "trained": self.trained}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        remember(self.optimizer, state["optimizer"])
        if state["trained"]:
            self.freeze()

    def _stacked(self, first: np.ndarray) -> Tensor:
        """Small real lips of windows, frames on channels: [B, 3 size, 48, 48]."""
        rows = torch.from_numpy(self.context.data.row[self.windows.frames(first)])
        return self._small_lips()[rows].flatten(1, 2).to(self.context.device).float() / 255

    def _small_lips(self) -> Tensor:
        """Small copies [N, 3, 48, 48] uint8 of all real lips, in dataset rows."""
        if self._small is None:
            index, data = self.context.index, self.context.data
            frames = np.concatenate([index.train, index.test])
            parts = [
                F.interpolate(data.lips(part), (_SIDE, _SIDE), mode="area")
                for part in np.array_split(frames, max(1, len(frames) // 256))
            ]
            self._small = torch.cat([(p * 255).round().clamp(0, 255).byte().cpu() for p in parts])
        return self._small

    @torch.no_grad()
    def accuracy(self) -> float:
        """Two-alternative accuracy on windows of the test frames; chance is one half."""
        starts = self.windows.starts(self.context.index.test)
        if len(starts) < 2:
            return float("nan")
        lips = self._stacked(starts)
        audio = self.context.data.windows(torch.from_numpy(starts + self.windows.middle).to(self.context.device))
        score = self.net.embed_audio(audio) @ self.net.embed_lips(lips).T
        apart = np.abs(starts[:, None] - starts) >= self.context.config.sync.negative_offset
        better = (score.diagonal()[:, None] > score).cpu().numpy()
        return float(better[apart].mean())

    # -------------------------------------------------------------- judging

    def terms(self, model: LipSyncModel, sample: Sample) -> dict[str, Tensor]:
        """Generated windows against real windows of other moments."""
        context, data = self.context, self.context.data
        chance = sample.part.chance
        first = chance.random.choice(self._starts, sample.part.of(_JUDGED))
        at = torch.from_numpy(self.windows.frames(first).ravel()).to(context.device)
        embedding, codes = model.encode_audio(data.windows(at), at)
        transform = data.transforms[at]
        made = model.decode_lips(embedding, codes, transform, model.look_up(codes, transform, at))
        made = made.reshape(len(first), -1, *made.shape[2:])
        middle = torch.from_numpy(first + self.windows.middle).to(context.device)
        audio = self.net.embed_audio(data.windows(middle))
        wrong = np.stack([self._other_moments(f, chance) for f in first])
        real = data.lips(self.windows.frames(wrong.ravel()).ravel())
        real = real.reshape(wrong.size, -1, *real.shape[2:])
        negatives = self.net.embed_lips(real).reshape(len(first), _NEGATIVES, -1)
        temperature = context.config.sync.temperature
        return {"sync": losses.contrastive(audio, self.net.embed_lips(made), negatives, temperature)}

    def _other_moments(self, frame: int, chance: Chance) -> np.ndarray:
        far = self._starts[np.abs(self._starts - frame) >= self.context.config.sync.negative_offset]
        return chance.random.choice(far, _NEGATIVES)
