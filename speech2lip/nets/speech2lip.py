"""The whole differentiable model: speech -> canonical lips -> observed frame."""

from __future__ import annotations

import functools
from dataclasses import replace

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from .audio_encoder import ShapeHead, StreamEncoder
from .blend import BlendNet
from .chance import Dropout, normal_like
from .compositor import CanonicalSpace, ObservedRegion, black_holes, exposed, light, merge
from .exemplars import ExemplarBank, Seen, enlarged
from .interface import LipSyncModel
from .lip import LipModel
from .regression import WindowRegression
from .shape import ShapeBasis

_SMOOTH = 1.0  # standard deviation, in pixels of the networks, below which nothing that is seen is changed


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
        exemplars: ExemplarBank | None = None, regression: WindowRegression | None = None,
    ):  # fmt: skip
        super().__init__()
        self.exemplars, self.regression = exemplars, regression
        self.pose_noise = pose_noise
        self.encoder, self.shape_head, self.basis = encoder, shape_head, basis
        self.lip, self.blend, self.space = lip, blend, space
        self.bottleneck = nn.Sequential(nn.Linear(embedding, detail), nn.Tanh(), Dropout(audio_dropout))

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
            codes = self.shape_head(embedding).float()
        if self.regression is not None and not self.training:
            codes = self.regression.mixed(window, codes)
        return embedding.float(), codes if self.training else codes * self.shape_head.gain

    def stream_predictions(self, window: Tensor) -> Tensor:
        """Shape codes [B, streams, K] that each stream of audio windows [B, rows, channels] suggests."""
        with self._precision(window):
            return self.shape_head.stream_predictions(self.encoder(window)).float()

    def decode_lips(self, embedding: Tensor, codes: Tensor, transform: Tensor, seen: Seen | None = None) -> Tensor:
        """Canonical lip images [B, 3, h, w] in the canonical exposure.

        transform: [B, 4, 4] canonical -> observed camera; seen: of `look_up`. Shading and what is left of
        parallax change with the head's turn, which is known for every frame, also in use;
        without it the picture would have to guess them from speech.
        """
        turn = head_turn(transform)
        seen = self.look_up(codes, transform) if seen is None else seen
        with self._precision(codes):
            if self.training:  # or single frames are recognised by their pose, and the mouth's shape is ignored
                turn = turn + self.pose_noise * normal_like(turn)
            conditions = {"audio": self.bottleneck(embedding), "shape": codes, "pose": turn}
            image: Tensor = self.lip(conditions, None if seen is None else seen.small)
        return image.float()

    def composite(
        self, lip: Tensor, region: ObservedRegion, depth: Tensor | None = None, holes: float = 0.0,
        seen: Seen | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Paste lips into observed regions and blend them.

        Returns the finished region [B, 3, R, R], equal to the observed one wherever the
        mask [B, 1, R, R], also returned, is 0. holes: share of the batch that gets the
        black-hole augmentation. Of what was `seen` only a smooth change is drawn: its texture stays.
        """
        region = self.placed(region, seen, depth)
        picture, mask = self.space.paste(lip, region)
        observed = region.image
        if holes > 0:
            picture, observed = black_holes(picture, observed, holes)
        merged = merge(picture, observed, mask)
        with self._precision(merged):
            blended = self.blend(torch.cat([merged, mask], 1)).float()
        real = region.beside
        if real is None:
            return merge(blended, merged, mask), mask
        return merge(real + _smooth(blended - real), region.image, mask), mask

    def placed(self, region: ObservedRegion, seen: Seen | None, depth: Tensor | None = None) -> ObservedRegion:
        """Regions with their canonical pixels, and with what networks start from as it lies in them."""
        region = replace(region, canonical=self.space.to_canonical(region, depth))
        if seen is None or region.beside is not None:
            return region
        assert region.canonical is not None
        grid = self.space.box_grid(region.canonical)
        start = F.grid_sample(seen.small, grid, mode="bicubic", padding_mode="border", align_corners=False)
        return replace(region, beside=_in_face(start, region))

    def look_up(
        self, codes: Tensor, transform: Tensor, frame: Tensor | None = None, chosen: Tensor | None = None
    ) -> Seen | None:
        """The exemplars of these shapes."""
        return None if self.exemplars is None else self.exemplars(codes, head_turn(transform), frame, chosen)

    def choose(self, codes: Tensor, transform: Tensor, silent: Tensor, before: int | None) -> Tensor | None:
        return None if self.exemplars is None else self.exemplars.choose(codes, head_turn(transform), silent, before)

    def refine(
        self, finished: Tensor, mask: Tensor, seen: Seen, drawn: ObservedRegion, region: ObservedRegion
    ) -> tuple[Tensor, Tensor]:
        """Finished regions [B, 3, R, R] and their masks at the full resolution: what was seen, changed as was drawn.

        drawn: what was finished, of `placed`; region: the same, c times larger. Returns the picture
        [B, 3, c R, c R] and its mask, as `composite` does. Not for training: pictures of this size are changed in place.
        """
        assert self.exemplars is not None and drawn.canonical is not None and drawn.beside is not None
        factor, (gain, offset) = self.exemplars.coarse, light(region)
        inside = mask if drawn.face is None else mask * _of_face(drawn, mask.shape[-2:])
        change = mask * (finished - drawn.beside) + inside * offset
        real = seen.at(self.space.places(drawn.canonical, self.exemplars.size), factor).mul_(gain)
        mixed = torch.lerp(region.image, real, enlarged(inside, factor), out=real)
        return mixed.add_(enlarged(change, factor)), enlarged(mask, factor)


def _in_face(picture: Tensor, region: ObservedRegion) -> Tensor:
    """Pasted pictures [B, 3, R, R] of the canonical exposure, in that of the regions, which they show beside the face."""
    picture = exposed(picture, region)
    return picture if region.face is None else region.image.lerp(picture, _of_face(region, picture.shape[-2:]))


def _of_face(region: ObservedRegion, size: torch.Size) -> Tensor:
    """How far pixels [B, 1, R, R] are the face's."""
    assert region.face is not None
    return F.interpolate(region.face[:, 1:], size, mode="bilinear", align_corners=False)


def _smooth(change: Tensor) -> Tensor:
    """A change [B, C, h, w] of pictures without what is finer than about `_SMOOTH` pixels (a Gaussian, borders repeated)."""
    down, across = (_blur(size, change.device, change.dtype) for size in change.shape[-2:])
    return down @ change @ across.T


@functools.lru_cache(64)
def _blur(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """[size, size] weights of a blurred line of pixels: for a few hundred of them, one product of matrices costs a third of a
    convolution of single channels."""
    reach = round(3 * _SMOOTH)
    steps = torch.arange(-reach, reach + 1, device=device)
    weight = torch.exp(-0.5 * (steps / _SMOOTH).square())
    taken = (torch.arange(size, device=device)[:, None] + steps).clamp(0, size - 1)
    blur = torch.zeros(size, size, device=device)
    return blur.scatter_add_(1, taken, (weight / weight.sum()).expand(size, -1)).to(dtype)


def head_turn(transform: Tensor) -> Tensor:
    """Rotation of [B, 4, 4] rigid transforms as [B, 3]: sine times axis, in units of 0.15."""
    r = transform[:, :3, :3]
    twist = torch.stack([r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]], 1)
    return twist / (2 * 0.15)
