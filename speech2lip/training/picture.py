"""Pictures: canonical lips and finished regions, and the head's learnable depth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..nets.chance import normal_like
from ..nets.compositor import merge
from ..nets.exemplars import Seen
from ..nets.interface import LipSyncModel
from ..nets.pretrained.lpips import Lpips
from ..subject.dataset import Batch, lip_focus
from ..subject.index import frames_alike
from ..weights.loaders import load_lpips
from . import losses
from .context import Context, Sample
from .parts import Chance


class PictureObjective:
    """Canonical lips and finished regions from the measured mouth shape and the speech.

    lip_area: [h, w] where the lips are in lip images; lip_weight: [1, 1, h, w] how much their pixels count.
    """

    def __init__(self, context: Context, model: LipSyncModel):
        self.context = context
        index, config = context.index, context.config
        self._alike = frames_alike(index) if config.loss.swap > 0 else index.train[:, None]
        self._lpips = _lpips(context)
        size = index.subject.drawn_size
        focus = lip_focus(index.track.mouth[index.train], index.subject.lip_box, size)
        mask = F.interpolate(model.space.lip_mask[None, None], (size[1], size[0]), mode="area")
        self.lip_area = torch.from_numpy(focus).to(context.device)
        self.lip_weight = mask.clamp(min=0.05) * (1 + config.loss.lips * self.lip_area)

    def terms(self, model: LipSyncModel, sample: Sample) -> dict[str, Tensor]:
        context, batch, chance = self.context, sample.batch, sample.part.chance
        embedding, _ = model.encode_audio(context.disturbed_windows(batch.frame, chance), batch.frame)
        codes = model.measured_codes(batch.mouth, batch.frame)
        if model.predicts_shape:  # speech will not predict them exactly
            codes = codes + context.config.train.code_noise * normal_like(codes)
        transform = batch.region.transform
        seen = model.look_up(codes, transform, batch.frame)
        lip = model.decode_lips(embedding, codes, transform, seen)
        region, target, mask = self._composite(model, lip, seen, sample)
        terms = {
            "photometric": losses.masked_mse(lip, batch.lips, self.lip_weight),
            "fused": losses.masked_mse(region, target, mask),
        }
        if context.config.loss.perceptual_weight > 0:
            terms["perceptual"] = self._perceptual(lip, batch.lips, self.lip_weight)
            terms["perceptual"] += self._perceptual(region, target, mask)
        return terms

    def _composite(
        self, model: LipSyncModel, lip: Tensor, seen: Seen | None, sample: Sample
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Finished regions, what they should be, and where that counts."""
        region, depth = sample.batch.region, model.space.depth().detach()
        surroundings, swapped = self.surroundings(sample.batch, sample.frames, sample.part.chance)
        painted = replace(region, image=surroundings)
        if swapped.any():
            painted = replace(painted, canonical=model.space.to_canonical(painted, depth))
        finished, mask = model.composite(lip, painted, depth, self.context.config.loss.black_hole, seen)
        mask = mask.detach()
        target = merge(region.image, painted.image, mask)
        if swapped.any():  # what lies around the lips, collar and chin, belongs to the other frame: unknown
            lips_alone = model.space.warp_plane(self.lip_area, painted, depth)
            chosen = torch.from_numpy(swapped).to(self.context.device)[:, None, None, None]
            mask = torch.where(chosen, mask * lips_alone, mask)
        return finished, target, mask

    def surroundings(self, batch: Batch, frames: np.ndarray, chance: Chance) -> tuple[Tensor, np.ndarray]:
        """Observed pictures, some replaced by those of frames in which the head stands alike; which ones, [B] bool.

        In use, mouth and frame come from different moments. Blend-Net must not learn to read
        the mouth off the cheeks around it. Pictures keep the exposure of their own frame.
        """
        context = self.context
        chosen = chance.random.random(len(frames)) < context.config.loss.swap
        swapped = np.flatnonzero(chosen)
        if len(swapped) == 0:
            return batch.region.image, chosen
        row = np.searchsorted(context.index.train, frames[swapped])
        pick = chance.random.integers(self._alike.shape[1], size=len(row))
        other = context.data.region(self._alike[row, pick])
        at = torch.from_numpy(swapped).to(context.device)
        (gain, offset), (theirs, shift) = (
            c[:, :, :, None, None].unbind(1) for c in (batch.region.exposure[at], other.exposure)
        )
        return batch.region.image.index_copy(0, at, (other.image - shift) / theirs * gain + offset), chosen

    def _perceptual(self, made: Tensor, real: Tensor, mask: Tensor) -> Tensor:
        """The perceptual loss that `loss.perceptual` names, where the mask counts."""
        if self._lpips is None:
            return losses.structure(made, real, mask)
        return losses.perceptual_distance(self._lpips, made, real, mask)


def _lpips(context: Context) -> Lpips | None:
    loss = context.config.loss
    wanted = loss.perceptual == "lpips" and loss.perceptual_weight > 0
    return load_lpips().to(context.device) if wanted else None


class DepthObjective:
    """Photometric error of the observed -> canonical warp on the head without the face."""

    def __init__(self, context: Context):
        self.context = context
        canonical = context.index.canonical
        head = canonical.head * (canonical.face < 0.5)
        self._pixels = torch.from_numpy(np.argwhere(head > 0.5)[:, ::-1].copy()).float()
        self._frame = canonical_picture(context)

    def terms(self, model: LipSyncModel, sample: Sample) -> dict[str, Tensor]:
        space, batch, loss = model.space, sample.batch, self.context.config.loss
        if len(self._pixels) == 0:
            return {"depth": space.depth_change.sum() * 0}
        part = sample.part
        pick = torch.randint(len(self._pixels), (part.of(loss.depth_points),), generator=part.chance.generator)
        pixels = self._pixels[pick].to(self.context.device)
        target = self._frame[:, pixels[:, 1].long(), pixels[:, 0].long()][None]
        expanded = pixels.expand(len(batch.small), -1, -1)
        seen = space.sample_observed(expanded, batch.region.transform, batch.small, self.context.data.small_scale)
        gain, offset = batch.region.exposure[:, 0, :, None], batch.region.exposure[:, 1, :, None]
        bend = _roughness(space.depth_change)
        return {"depth": ((seen - offset) / gain - target).abs().mean() + loss.depth_smoothness * bend}


def _roughness(plane: Tensor) -> Tensor:
    """Mean squared difference of neighbours in both directions."""
    across, down = plane[..., 1:] - plane[..., :-1], plane[..., 1:, :] - plane[..., :-1, :]
    return across.square().mean() + down.square().mean()


def canonical_picture(context: Context) -> Tensor:
    """The canonical frame, [3, S, S] in [0, 1]."""
    return torch.from_numpy(context.index.canonical.frame).to(context.device).permute(2, 0, 1).float() / 255
