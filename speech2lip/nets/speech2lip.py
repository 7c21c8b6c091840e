"""The whole differentiable model: speech -> canonical lips -> observed frame."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .audio_encoder import ShapeHead, StreamEncoder
from .blend import BlendNet
from .compositor import CanonicalSpace, ObservedRegion, black_holes, merge
from .exemplars import ExemplarBank
from .interface import LipSyncModel
from .lip import LipModel
from .shape import ShapeBasis


class Speech2Lip(LipSyncModel):
    """Finished submodules, wired by `builder`; trainer and predictor call the same methods.

    The published model receives a frame index beside the audio, to explain what audio does
    not. New audio has none, so ours receives the mouth's shape instead: measured on the
    training frames, predicted from speech in use. The picture is thus never asked to
    average over mouths, which is what makes lips mumble and blur. The picture sees the
    speech through a narrow bottleneck only, wide enough for teeth and tongue, too narrow to
    recognise single training frames by their sound.
    """

    predicts_shape, region = True, "mouth"

    def __init__(
        self, encoder: StreamEncoder, shape_head: ShapeHead, basis: ShapeBasis, lip: LipModel, blend: BlendNet,
        space: CanonicalSpace, embedding: int, detail: int, audio_dropout: float, pose_noise: float = 0.0,
        exemplars: ExemplarBank | None = None,
    ):  # fmt: skip
        super().__init__()
        self.exemplars = exemplars
        self.pose_noise = pose_noise
        self.encoder, self.shape_head, self.basis = encoder, shape_head, basis
        self.lip, self.blend, self.space = lip, blend, space
        self.bottleneck = nn.Sequential(nn.Linear(embedding, detail), nn.Tanh(), nn.Dropout(audio_dropout))

    def _precision(self, like: Tensor) -> torch.autocast:
        return torch.autocast(like.device.type, torch.bfloat16, enabled=self.use_bf16)

    def fit_constants(self, mouth: Tensor, lip: Tensor, face: Tensor) -> None:
        """Shape basis of training landmarks [N, K, 2], and the mean lip image [3, h, w]."""
        self.basis.fit(mouth)
        self.lip.base.copy_(lip)

    def speech_parameters(self) -> list[nn.Parameter]:
        """What speech alone trains."""
        return [*self.encoder.parameters(), *self.shape_head.parameters()]

    def measured_codes(self, mouth: Tensor, frame: Tensor) -> Tensor:
        """Codes [B, K] of measured landmarks [B, points, 2]."""
        return self.basis.encode(mouth)

    def encode_audio(self, window: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Audio windows [B, rows, channels] -> embedding [B, E] and predicted shape codes [B, K].

        frame: [B] index of the frame that is painted on; only the published model uses it.
        """
        with self._precision(window):
            embedding = self.encoder(window)
            return embedding.float(), self.shape_head(embedding).float()

    def stream_predictions(self, window: Tensor) -> Tensor:
        """Shape codes [B, streams, K] that each stream of audio windows [B, rows, channels] suggests."""
        with self._precision(window):
            return self.shape_head.stream_predictions(self.encoder(window)).float()

    def decode_lips(self, embedding: Tensor, codes: Tensor, transform: Tensor, seen: Tensor | None = None) -> Tensor:
        """Canonical lip images [B, 3, h, w] in the canonical exposure.

        transform: [B, 4, 4] canonical -> observed camera; seen: of `look_up`. Shading and what is left of
        parallax change with the head's turn, which is known for every frame, also in use;
        without it the picture would have to guess them from speech.
        """
        turn = head_turn(transform)
        seen = self.look_up(codes, transform) if seen is None else seen
        with self._precision(codes):
            if self.training:  # or single frames are recognised by their pose, and the mouth's shape is ignored
                turn = turn + self.pose_noise * torch.randn_like(turn)
            conditions = {"audio": self.bottleneck(embedding), "shape": codes, "pose": turn}
            image: Tensor = self.lip(conditions, seen)
        return image.float()

    def composite(
        self, lip: Tensor, region: ObservedRegion, depth: Tensor | None = None, holes: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Paste lips into observed regions and blend them.

        Returns the finished region [B, 3, R, R], equal to the observed one wherever the
        mask [B, 1, R, R], also returned, is 0. holes: share of the batch that gets the
        black-hole augmentation.
        """
        picture, mask = self.space.paste(lip, region, depth)
        observed = region.image
        if holes > 0:
            picture, observed = black_holes(picture, observed, holes)
        merged = merge(picture, observed, mask)
        with self._precision(merged):
            blended = self.blend(torch.cat([merged, mask], 1))
        return merge(blended.float(), merged, mask), mask

    def look_up(
        self, codes: Tensor, transform: Tensor, frame: Tensor | None = None, fine: bool = False
    ) -> Tensor | None:
        """The exemplars of these shapes."""
        return None if self.exemplars is None else self.exemplars(codes, head_turn(transform), frame, fine)

    def refine(self, blended: Tensor, mask: Tensor, mouths: Tensor, region: ObservedRegion) -> tuple[Tensor, Tensor]:
        """Finished regions [B, 3, r, r] and their masks, brought to the full resolution, with the detail of real mouths.

        mouths: [B, 3, c h, c w] canonical; region: at full resolution, c r pixels wide, with the canonical pixels of the
        r pixels that were finished. Outside the face the detail is the region's own. Returns the picture [B, 3, c r, c r]
        and its mask, as `composite` does.
        """
        assert self.exemplars is not None and region.canonical is not None
        canonical = _enlarged(region.canonical.permute(0, 3, 1, 2), region.image).permute(0, 2, 3, 1)
        detail = self.space.paste_detail(self.exemplars.detail(mouths), replace(region, canonical=canonical))
        if region.face is not None:
            detail = self.exemplars.detail(region.image).lerp(detail, _enlarged(region.face[:, 1:], region.image))
        mask = _enlarged(mask, region.image)
        return merge(_enlarged(blended, region.image) + detail, region.image, mask), mask


def _enlarged(picture: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(picture, like.shape[-2:], mode="bilinear", align_corners=False)


def head_turn(transform: Tensor) -> Tensor:
    """Rotation of [B, 4, 4] rigid transforms as [B, 3]: sine times axis, in units of 0.15."""
    r = transform[:, :3, :3]
    twist = torch.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], 1)
    return twist / (2 * 0.15)
