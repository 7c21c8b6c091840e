"""The training loop: the speech encoder (and a sync expert) first, then lips, fusion and head depth together."""

from __future__ import annotations

import copy
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..audio.features import backend_from_params
from ..config import Config, TrainConfig, config_to_dict
from ..errors import UserError
from ..model.builder import Model, build_expert, build_model, works_on_whole
from ..model.checkpoint import FORMAT, load_tensors, save_checkpoint, save_tensors
from ..model.device import bfloat16_pays, pick_device
from ..model.metadata import metadata_of
from ..nets.compositor import merge
from ..nets.speech2lip import Speech2Lip
from ..progress import bar
from ..subject.dataset import Batch, SubjectDataset, lip_focus
from ..subject.index import frames_alike, parse_subject
from ..subject.layout import SubjectLayout
from ..weights.loaders import load_lpips
from . import losses
from .augment import augment, mix
from .curves import scalar_writer
from .validation import validate
from .wav2lip import Wav2LipLoss

_DEPTH_POINTS = 512


_FOLDS = 3  # parts of the training frames that take turns as unheard speech


_QUIET_SHARE = 32  # one of so many windows of the speech batch is silence


def fit(config: Config, fresh: bool = False) -> Path:
    """Train what `config` says; returns the path of the checkpoint. KeyboardInterrupt when a signal ended it."""
    trainer = Trainer(config, fresh)
    if not trainer.run():
        raise KeyboardInterrupt(
            f"stopped by signal {trainer.stop}; state saved in {trainer.folder}, run the same command to continue"
        )
    return trainer.folder / "model.pt"


@dataclass
class TrainState:
    """Where a run stands; all of it is saved and restored."""

    step: int = 0
    elapsed: float = 0.0
    expert_done: bool = False
    speech_done: bool = False
    next_validation: float = 0.0


class Trainer:
    """Fits one subject; `run` trains until the budget is spent or a signal arrives.

    The budget is `train.minutes` of wall-clock time where that is not 0, else
    `train.steps`; rates and phases follow the share of it that is spent.
    """

    def __init__(self, config: Config, fresh: bool = False):
        self.config = config
        self.folder = Path(config.train.output) / config.name
        self.device = pick_device(config.train.device)
        torch.manual_seed(config.train.seed)
        self.generator = torch.Generator().manual_seed(config.train.seed)
        self.random = np.random.default_rng(config.train.seed)
        index = parse_subject(SubjectLayout(config.data.root), config.data.test_fraction, works_on_whole(config))
        backend = backend_from_params(index.subject.audio)
        self.streams, self._silence = backend.streams, torch.as_tensor(backend.silence)
        self.data = SubjectDataset(index, self.device, config.data.memory_gb)
        self.index = index
        self._alike = frames_alike(index) if config.loss.swap > 0 else index.train[:, None]
        self.metadata = metadata_of(index.subject, index.track.mouth.shape[1])
        self.model = build_model(config, self.metadata, index.canonical).to(self.device)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model.use_bf16 = config.train.amp and bfloat16_pays(self.device)
        self._canonical = torch.from_numpy(index.canonical.frame).to(self.device).permute(2, 0, 1).float() / 255
        self._fit_constants()
        self.expert = build_expert(config, self.metadata).to(self.device)
        expert = config.sync.expert if config.loss.sync > 0 else "none"
        self._own_expert = expert == "own"
        self.judge = Wav2LipLoss(config.sync, index, self.data, self.device) if expert == "wav2lip" else None
        self.lpips = (
            load_lpips().to(self.device)
            if config.loss.perceptual == "lpips" and config.loss.perceptual_weight > 0
            else None
        )
        self.optimizer = torch.optim.AdamW(_parameter_groups(self.model, config.train), lr=config.train.rate)
        self.speech_optimizer = torch.optim.AdamW(
            self.model.speech_parameters(), weight_decay=config.train.weight_decay
        )
        self.expert_optimizer = torch.optim.AdamW(self.expert.parameters(), lr=1e-3, weight_decay=1e-2)
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.state = TrainState()
        self.stop: int | None = None
        self._phase_share = 0.0
        if fresh:
            (self.folder / "last.pt").unlink(missing_ok=True)
        elif (self.folder / "last.pt").is_file():
            self._resume()
        head = index.canonical.head * (index.canonical.face < 0.5)
        self._head_pixels = torch.from_numpy(np.argwhere(head > 0.5)[:, ::-1].copy()).float()

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0..1."""
        train = self.config.train
        spent = self.state.elapsed / (60 * train.minutes) if train.minutes > 0 else self.state.step / train.steps
        return min(spent, 1.0)

    def run(self) -> bool:
        """Train to the end of the budget; returns False when a signal stopped it (state saved)."""
        if self.progress >= 1:
            print(f"{self.folder}: already trained; give more minutes or steps, or --fresh to start over")
            return True
        writer = scalar_writer(self.folder / "tensorboard")
        train = self.config.train
        if self._own_expert and not self.state.expert_done:
            self._train_expert(writer)
        if (
            train.speech_share > 0
            and isinstance(self.model, Speech2Lip)
            and not self.state.speech_done
            and self.stop is None
        ):
            self._train_speech(writer)
        meter = bar("training", 1000, "‰")
        saved = last = time.monotonic()
        with self._signals():
            while self.progress < 1 and self.stop is None:
                # rate
                rate = self._rate()
                for group in self.optimizer.param_groups:
                    group["lr"] = rate * group["scale"]
                # evaluate
                if self.progress >= self.state.next_validation:
                    self._validate(writer)
                    self.state.next_validation = self.progress + train.validate_every
                # forward and backward
                terms = self.step()
                # log and save
                now = time.monotonic()
                self.state.elapsed += now - last
                last = now
                self.state.step += 1
                meter.n = round(1000 * self.progress)
                if self.state.step % train.log_every == 0:
                    self._log(writer, terms, rate, meter)
                if now - saved > 60 * train.save_every_minutes:
                    self.save()
                    saved = now
        if self.stop is None:
            self._validate(writer)
        self.save()
        writer.close()
        meter.close()
        return self.stop is None

    # -------------------------------------------------------------- phases

    def _train_expert(self, writer: Any) -> None:
        """Contrastive training on real windows: the right moment against other moments."""
        sync = self.config.sync
        starts = self._windows(self.index.train)
        if len(starts) < 32:  # too little to learn from: nothing is judged
            return
        small = self._sync_lips(np.concatenate([self.index.train, self.index.test]))
        step = 0
        with self._signals():
            for step in self._phase("sync expert", sync.share, self._epochs(sync.epochs, 64)):
                frames = self.random.choice(starts, min(64, len(starts)), replace=False)
                lips = small[self._stack(frames)].flatten(1, 2).to(self.device).float() / 255
                lips = lips * (1 + 0.1 * torch.randn(len(lips), 1, 1, 1, device=self.device))
                audio = self._disturbed(torch.from_numpy(frames + sync.window // 2))
                a, b = self.expert.embed_lips(lips), self.expert.embed_audio(audio)
                loss = _symmetric_contrast(a, b, torch.from_numpy(frames).to(self.device), sync.negative_offset)
                self.expert_optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                self.expert_optimizer.step()
                if step % 50 == 0:
                    writer.add_scalar("sync_expert/loss", loss.item(), step)
        self.state.expert_done = self.stop is None
        self.expert.eval().requires_grad_(False)
        if self.stop is None:
            accuracy = self._expert_accuracy(small)
            writer.add_scalar("sync_expert/test_accuracy", accuracy, 0)
            print(f"sync expert: {step} steps, picks the right of 2 moments in {accuracy:.0%} of unseen windows")

    def _train_speech(self, writer: Any) -> None:
        """Speech -> mouth shape alone: cheap steps, with a rate that falls to zero."""
        assert isinstance(self.model, Speech2Lip)
        train = self.config.train
        with self._signals():
            if train.articulate > 1:
                self._calibrate(writer)
            self.fit_speech(self.model, self.speech_optimizer, self.index.train, "speech", train.speech_share, writer)
        self.state.speech_done = self.stop is None
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _calibrate(self, writer: Any) -> None:
        """Learn how much too little the mouth moves on speech that was not trained on, and make up for it.

        A code gets its missing movement back in proportion to its correlation with what speech
        says: all of it where speech explains it, none where it is a guess, which a gain would
        only make louder.
        """
        model = self.model
        assert isinstance(model, Speech2Lip)
        made, frames = self.held_out_codes()
        if self.stop is not None:
            return
        real = model.basis.encode(self.data.mouth[frames])
        missing = (real.std(0) / made.std(0).clamp(min=1e-6) - 1).clamp(0, self.config.train.articulate - 1)
        a, b = (x - x.mean(0) for x in (made, real))
        explained = ((a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)).clamp(min=1e-6)).clamp(min=0)
        gain = 1 + explained * missing
        model.shape_head.gain.copy_(gain)
        writer.add_scalar("speech/gain", float(gain[0]), 0)

    def held_out_codes(self) -> tuple[Tensor, Tensor]:
        """Codes [N, K] that speech predicts for the training frames [N], each part by a copy of the
        encoder that was trained on the other parts; empty after a signal."""
        train, model = self.config.train, self.model
        assert isinstance(model, Speech2Lip)
        predicted, frames = [], []
        guard = int(np.ceil(np.abs(self.index.offsets).max() * self.index.subject.fps))
        for number, part in enumerate(np.array_split(self.index.train, _FOLDS)):
            rest = self.index.train[(self.index.train < part[0] - guard) | (self.index.train > part[-1] + guard)]
            twin = copy.deepcopy(model)
            optimizer = torch.optim.AdamW(twin.speech_parameters(), weight_decay=train.weight_decay)
            title = f"articulation {number + 1}/{_FOLDS}"
            self.fit_speech(twin, optimizer, rest, title, train.speech_share / _FOLDS)
            if self.stop is not None:
                return torch.empty(0), torch.empty(0)
            at = torch.from_numpy(part).to(self.device)
            with torch.no_grad():
                predicted.append(twin.eval().encode_audio(self.data.windows(at), at)[1])
            frames.append(at)
        return torch.cat(predicted), torch.cat(frames)

    def fit_speech(
        self, model: Speech2Lip, optimizer: torch.optim.Optimizer, frames: np.ndarray, title: str, share: float,
        writer: Any = None,
    ) -> None:  # fmt: skip
        """Train the speech encoder and the shape head of `model` on `frames`."""
        train = self.config.train
        model.train()
        most = max(1, train.speech_epochs * len(frames) // train.speech_batch)
        for step in self._phase(title, share, most):
            for group in optimizer.param_groups:
                group["lr"] = 2 * train.rate * min(1.0, step / 100) * (1 - self._phase_share)
            loss = self._shape_term(model, frames, train.speech_batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if step % 50 == 0 and writer is not None:
                writer.add_scalar("speech/loss", loss.item(), step)

    def _phase(self, title: str, share: float, most: int) -> Iterator[int]:
        """Count steps 1, 2, ... of a phase that gets `share` of the budget but `most` steps, or until a signal."""
        train = self.config.train
        begin, step = time.monotonic(), 0
        steps = most if train.minutes > 0 else min(most, round(share * train.steps))
        meter = bar(title, 100, "%")
        self._phase_share = 0.0
        while self._phase_share < 1 and self.stop is None:
            step += 1
            yield step
            spent = (time.monotonic() - begin) / (60 * share * train.minutes) if train.minutes > 0 else 0.0
            self._phase_share = min(max(spent, step / max(steps, 1)), 1.0)
            meter.n = round(100 * self._phase_share)
            if step % 20 == 0:
                meter.refresh()
        meter.close()
        self.state.elapsed += time.monotonic() - begin
        self.state.step += 0 if train.minutes > 0 else step

    def _epochs(self, epochs: int, batch: int) -> int:
        """Steps of `batch` that pass `epochs` times over the training frames."""
        return max(1, epochs * len(self.index.train) // batch)

    def step(self) -> dict[str, float]:
        """One optimisation step; returns the loss terms, unweighted."""
        weights = self.config.loss
        self.model.train()
        judged = self._sync_acts()
        if judged and self.config.sync.freeze_blend:
            self.model.blend.requires_grad_(False).eval()
        frames = self.random.choice(self.index.train, self.config.train.batch)
        batch = self.data.batch(frames)
        terms = {}
        if weights.shape > 0 and isinstance(self.model, Speech2Lip):
            terms["shape"] = self._shape_term(self.model, self.index.train, self.config.train.speech_batch // 2)
        terms |= self._picture_terms(batch, frames)
        if weights.depth > 0:
            terms["depth"] = self._depth_term(batch)
        if judged:
            terms["sync"] = self._sync_term()
        total = torch.stack([weights.weight(name) * value for name, value in terms.items()]).sum()
        if not torch.isfinite(total):
            raise FloatingPointError(f"loss is {total.item()} at step {self.state.step}: {terms}")
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self._update_average()
        return {name: value.item() for name, value in terms.items()} | {"total": total.item()}

    def _shape_term(self, model: Speech2Lip, frames: np.ndarray, count: int) -> Tensor:
        """Speech -> mouth shape, on many windows of `frames`; a few windows of silence rest the mouth."""
        chosen = torch.from_numpy(self.random.choice(frames, count)).to(self.device)
        windows = self._disturbed(chosen)
        windows, target = mix(
            windows, model.basis.encode(self.data.mouth[chosen]), self.random, self.config.train.mixup
        )
        quiet = count // _QUIET_SHARE
        noise = 0.1 * torch.randn(windows[:quiet].shape, generator=self.generator)
        windows[:quiet] = (self._silence + noise).to(windows)
        target[:quiet] = model.basis.encode(self.data.mouth[self.index.subject.canonical_frame][None])
        return losses.shape_loss(model.stream_predictions(windows), target[:, None], model.basis.weights)

    def _disturbed(self, frames: Tensor) -> Tensor:
        """Audio windows of frames [B], augmented."""
        return augment(self.data.windows(frames), self.generator, self.streams, self.config.train.augment)

    def _picture_terms(self, batch: Batch, frames: np.ndarray) -> dict[str, Tensor]:
        """Canonical lips and fused regions from the measured mouth shape and the speech."""
        weights, model = self.config.loss, self.model
        embedding, _ = model.encode_audio(self._disturbed(batch.frame), batch.frame)
        codes = model.measured_codes(batch.mouth, batch.frame)
        if model.predicts_shape:  # speech will not predict them exactly
            codes = codes + self.config.train.code_noise * torch.randn_like(codes)
        lip = model.decode_lips(embedding, codes, batch.region.transform)
        surroundings, swapped = self._surroundings(batch, frames)
        painted, depth = replace(batch.region, image=surroundings), model.space.depth().detach()
        if swapped.any():
            painted = replace(painted, canonical=model.space.to_canonical(painted, depth))
        region, mask = model.composite(lip, painted, depth, weights.black_hole)
        mask = mask.detach()
        target = merge(batch.region.image, painted.image, mask)
        if swapped.any():  # what lies around the lips, collar and chin, belongs to the other frame: unknown
            lips_alone = model.space.warp_plane(self._lip_area, painted, depth)
            chosen = torch.from_numpy(swapped).to(self.device)[:, None, None, None]
            mask = torch.where(chosen, mask * lips_alone, mask)
        terms = {
            "photometric": losses.masked_mse(lip, batch.lips, self._lip_weight),
            "fused": losses.masked_mse(region, target, mask),
        }
        if weights.perceptual_weight > 0:
            terms["perceptual"] = self._perceptual(lip, batch.lips, self._lip_weight)
            terms["perceptual"] += self._perceptual(region, target, mask)
        return terms

    def _surroundings(self, batch: Batch, frames: np.ndarray) -> tuple[Tensor, np.ndarray]:
        """Observed pictures, some replaced by those of frames in which the head stands alike; which ones, [B] bool.

        In use, mouth and frame come from different moments. Blend-Net must not learn to read
        the mouth off the cheeks around it. Pictures keep the exposure of their own frame.
        """
        chosen = self.random.random(len(frames)) < self.config.loss.swap
        swapped = np.flatnonzero(chosen)
        if len(swapped) == 0:
            return batch.region.image, chosen
        row = np.searchsorted(self.index.train, frames[swapped])
        other = self.data.region(self._alike[row, self.random.integers(self._alike.shape[1], size=len(row))])
        at = torch.from_numpy(swapped).to(self.device)
        (gain, offset), (theirs, shift) = (
            c[:, :, :, None, None].unbind(1) for c in (batch.region.exposure[at], other.exposure)
        )
        return batch.region.image.index_copy(0, at, (other.image - shift) / theirs * gain + offset), chosen

    def _perceptual(self, made: Tensor, real: Tensor, mask: Tensor) -> Tensor:
        """The perceptual loss that `loss.perceptual` names, where the mask counts."""
        if self.lpips is None:
            return losses.structure(made, real, mask)
        return losses.perceptual_distance(self.lpips, made, real, mask)

    def _depth_term(self, batch: Batch) -> Tensor:
        """Photometric error of the observed -> canonical warp on the head without the face."""
        if len(self._head_pixels) == 0:
            return self.model.space.depth_change.sum() * 0
        pick = torch.randint(len(self._head_pixels), (_DEPTH_POINTS,), generator=self.generator)
        pixels = self._head_pixels[pick].to(self.device)
        target = self._canonical[:, pixels[:, 1].long(), pixels[:, 0].long()][None]
        expanded = pixels.expand(len(batch.small), -1, -1)
        seen = self.model.space.sample_observed(expanded, batch.region.transform, batch.small, self.data.small_scale)
        gain, offset = batch.region.exposure[:, 0, :, None], batch.region.exposure[:, 1, :, None]
        smooth = self.model.space.depth_change
        bend = (smooth[..., 1:] - smooth[..., :-1]).square().mean() + (
            smooth[..., 1:, :] - smooth[..., :-1, :]
        ).square().mean()
        return ((seen - offset) / gain - target).abs().mean() + 0.1 * bend

    def _sync_acts(self) -> bool:
        """Whether there is an expert, and training is far enough for its loss."""
        sync = self.config.sync
        if self.judge is None and not (self._own_expert and self.state.expert_done):
            return False
        return self.state.step >= sync.start_step if sync.start_step > 0 else self.progress >= sync.start

    def _sync_term(self) -> Tensor:
        """Generated windows against real windows of other moments, judged by the frozen expert."""
        sync = self.config.sync
        starts = self._windows(self.index.train)
        first = self.random.choice(starts, 2)
        if self.judge is not None:
            return self.judge(self.model, first)
        frames = self._frames_of(first)
        at = torch.from_numpy(frames.ravel()).to(self.device)
        embedding, codes = self.model.encode_audio(self.data.windows(at), at)
        made = self.model.decode_lips(embedding, codes, self.data.transforms[at])
        made = made.reshape(len(first), -1, *made.shape[2:])
        audio = self.expert.embed_audio(self.data.windows(torch.from_numpy(first + sync.window // 2).to(self.device)))
        wrong = np.stack([self._other_moments(f, starts, 4) for f in first])
        real = self.data.lips(self._frames_of(wrong.ravel()).ravel())
        real = real.reshape(wrong.size, -1, *real.shape[2:])
        negatives = self.expert.embed_lips(real).reshape(len(first), 4, -1)
        return losses.contrastive(audio, self.expert.embed_lips(made), negatives)

    # -------------------------------------------------------------- windows of frames

    def _windows(self, frames: np.ndarray) -> np.ndarray:
        """First frames of windows of `sync.window` usable consecutive frames within one shot."""
        size = self.config.sync.window
        usable = np.zeros(self.index.subject.frames + size, bool)
        usable[frames] = True
        shot = np.zeros(len(usable), np.int64)
        for number, (start, end) in enumerate(self.index.subject.shots):
            shot[start:end] = number
        return np.array([f for f in frames if usable[f : f + size].all() and shot[f] == shot[f + size - 1]], np.int64)

    def _frames_of(self, first: np.ndarray) -> np.ndarray:
        return first[:, None] + np.arange(self.config.sync.window)

    def _stack(self, first: np.ndarray) -> Tensor:
        return torch.from_numpy(self.data.row[self._frames_of(first)])

    def _other_moments(self, frame: int, starts: np.ndarray, count: int) -> np.ndarray:
        far = starts[np.abs(starts - frame) >= self.config.sync.negative_offset]
        return self.random.choice(far, count)

    def _sync_lips(self, frames: np.ndarray) -> Tensor:
        """Small copies [N, 3, 48, 48] uint8 of all real lips, in dataset rows."""
        parts = [
            torch.nn.functional.interpolate(self.data.lips(part), (48, 48), mode="area")
            for part in np.array_split(frames, max(1, len(frames) // 256))
        ]
        return torch.cat([(p * 255).round().clamp(0, 255).byte().cpu() for p in parts])

    @torch.no_grad()
    def _expert_accuracy(self, small: Tensor) -> float:
        """Two-alternative accuracy on windows of the test frames; chance is one half."""
        starts = self._windows(self.index.test)
        if len(starts) < 2:
            return float("nan")
        lips = small[self._stack(starts)].flatten(1, 2).to(self.device).float() / 255
        audio = self.data.windows(torch.from_numpy(starts + self.config.sync.window // 2).to(self.device))
        score = self.expert.embed_audio(audio) @ self.expert.embed_lips(lips).T
        apart = np.abs(starts[:, None] - starts) >= self.config.sync.negative_offset
        better = (score.diagonal()[:, None] > score).cpu().numpy()
        return float(better[apart].mean())

    # -------------------------------------------------------------- state

    def _fit_constants(self) -> None:
        """What networks take from the training frames as it is: shape basis, mean lip, canonical face."""
        mouth = self.data.mouth[torch.from_numpy(self.index.train).to(self.device)]
        frames = self.index.train[:: max(1, len(self.index.train) // 256)]
        self.model.fit_constants(mouth, self.data.lips(frames).mean(0), self._canonical)
        subject, weights = self.index.subject, self.config.loss
        size = subject.lip_size
        focus = lip_focus(self.index.track.mouth[self.index.train], subject.lip_box, size)
        mask = torch.nn.functional.interpolate(self.model.space.lip_mask[None, None], (size[1], size[0]), mode="area")
        self._lip_area = torch.from_numpy(focus).to(self.device)
        self._lip_weight = mask.clamp(min=0.05) * (1 + weights.lips * self._lip_area)

    def _rate(self) -> float:
        """Cosine from `rate` to `final_rate` of it over the budget, after 200 steps of warm-up."""
        train = self.config.train
        cosine = 0.5 + 0.5 * float(np.cos(np.pi * self.progress))
        return train.rate * min(1.0, (self.state.step + 1) / 200) * (train.final_rate + (1 - train.final_rate) * cosine)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.config.train.ema, (1 + self.state.step) / (10 + self.state.step))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - decay)
            else:
                self.average[name].copy_(value)

    @torch.no_grad()
    def _validate(self, writer: Any) -> None:
        """Averaged weights, predicted shapes, on the test split, for the curves; they become model.pt.

        The latest weights are kept, never the best on the test split: its figures must stay
        those of frames that nothing was chosen by.
        """
        kept = {k: v.clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.average)
        self.model.eval()
        metrics, picture = validate(self.model, self.data, self.index)
        for name, value in metrics.items():
            writer.add_scalar(f"validation/{name}", value, self.state.step)
        writer.add_image("validation/real_above_generated", picture, self.state.step)
        metrics |= {"steps": float(self.state.step), "minutes": self.state.elapsed / 60}
        save_checkpoint(self.folder / "model.pt", self.config, self.metadata, self.model, metrics)
        self.model.load_state_dict(kept)

    def save(self) -> None:
        """Write `last.pt`, from which the next run continues."""
        content: dict[str, Any] = {
            "format": FORMAT, "config": config_to_dict(self.config), "metadata": self.metadata.to_dict(),
            "model": self.model.state_dict(), "average": self.average, "optimizer": self.optimizer.state_dict(),
            "expert": self.expert.state_dict(), "expert_optimizer": self.expert_optimizer.state_dict(),
            "speech_optimizer": self.speech_optimizer.state_dict(),
            "state": vars(self.state), "torch_random": torch.get_rng_state(), "generator": self.generator.get_state(),
            "numpy_random": self.random.bit_generator.state,
        }  # fmt: skip
        save_tensors(self.folder / "last.pt", content)

    def _resume(self) -> None:
        path = self.folder / "last.pt"
        remedy = "start over with --fresh"
        content = load_tensors(path, remedy)
        for part in ("model", "audio", "sync"):
            if content["config"].get(part) != config_to_dict(self.config)[part]:
                raise UserError(f"{path} was trained with other settings under `{part}`: restore them, or {remedy}")
        if content["metadata"] != self.metadata.to_dict():
            raise UserError(f"{path} was trained on another preprocessing of {self.index.subject.name}: {remedy}")
        self.model.load_state_dict(content["model"])
        self.average = {k: v.to(self.device) for k, v in content["average"].items()}
        self.optimizer.load_state_dict(content["optimizer"])
        self.expert.load_state_dict(content["expert"])
        self.expert_optimizer.load_state_dict(content["expert_optimizer"])
        self.speech_optimizer.load_state_dict(content["speech_optimizer"])
        if set(content["state"]) != set(vars(self.state)):
            raise UserError(f"{path} was written by another version: {remedy}")
        self.state = TrainState(**content["state"])
        if self.state.expert_done:
            self.expert.eval().requires_grad_(False)
        torch.set_rng_state(content["torch_random"])
        self.generator.set_state(content["generator"])
        self.random.bit_generator.state = content["numpy_random"]
        print(f"{path}: continuing after {self.state.step} steps ({self.progress:.0%} of the budget)")

    def _log(self, writer: Any, terms: dict[str, float], rate: float, meter: Any) -> None:
        for name, value in terms.items():
            writer.add_scalar(f"train/{name}", value, self.state.step)
        writer.add_scalar("train/rate", rate, self.state.step)
        meter.set_postfix_str(f"step {self.state.step}, loss {terms['total']:.4f}", refresh=False)
        meter.refresh()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the loop after the current step instead of killing it."""

        def request(number: int, _: FrameType | None) -> None:
            self.stop = number

        previous: dict[int, Any] = {}
        try:
            previous = {n: signal.signal(n, request) for n in (signal.SIGINT, signal.SIGTERM)}
        except ValueError:  # not the main thread: whoever runs us there handles signals
            previous = {}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


def _parameter_groups(model: Model, train: TrainConfig) -> list[dict[str, Any]]:
    """The speech encoder, trained beforehand on few words, moves slowly and decays; pictures are free."""
    speech = model.speech_parameters()
    known = {id(p) for p in speech}
    rest = [p for p in model.parameters() if id(p) not in known]
    return [
        {"params": speech, "weight_decay": train.weight_decay, "scale": train.speech_rate},
        {"params": rest, "weight_decay": 0.0, "scale": 1.0},
    ]


def _symmetric_contrast(lips: Tensor, audio: Tensor, frames: Tensor, apart: int) -> Tensor:
    """InfoNCE in both directions within a batch; moments closer than `apart` frames are no negatives."""
    logits = lips @ audio.T / 0.1
    near = (frames[:, None] - frames).abs() < apart
    near.fill_diagonal_(False)
    logits = logits.masked_fill(near, -1e4)
    target = torch.arange(len(lips), device=lips.device)
    return (torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)) / 2
