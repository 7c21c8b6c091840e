"""What a lip-sync model is to training and rendering, whichever chain it belongs to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch.nn as nn
from torch import Tensor

from .blend import BlendNet
from .compositor import CanonicalSpace, ObservedRegion
from .exemplars import Seen
from .lip import LipModel

Region = Literal["mouth", "crop"]


class LipSyncModel(nn.Module, ABC):
    """Speech -> canonical lips -> observed frame, in three differentiable steps.

    predicts_shape: codes are the mouth's shape, predicted from speech (else the index of a frame);
    region: what the compositor works on, a square around the mouth or the whole face crop;
    use_bf16: run the networks, and only them, in bfloat16.
    """

    predicts_shape: ClassVar[bool]
    region: ClassVar[Region]
    space: CanonicalSpace
    lip: LipModel
    blend: BlendNet
    use_bf16: bool = False

    @abstractmethod
    def fit_constants(self, mouth: Tensor, lip: Tensor, face: Tensor) -> None:
        """Take what networks need of the training frames as it is.

        mouth: [N, K, 2] canonical landmarks; lip: [3, h, w] mean lip image; face: [3, S, S] canonical frame.
        """

    @abstractmethod
    def speech_parameters(self) -> list[nn.Parameter]:
        """What speech alone trains."""

    @abstractmethod
    def measured_codes(self, mouth: Tensor, frame: Tensor) -> Tensor:
        """Codes [B, K] of tracked landmarks [B, points, 2] of frames [B]."""

    @abstractmethod
    def encode_audio(self, window: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
        """Audio windows [B, rows, channels] -> embedding [B, E] and codes [B, K].

        frame: [B] index of the frame that is painted on.
        """

    @abstractmethod
    def decode_lips(self, embedding: Tensor, codes: Tensor, transform: Tensor, seen: Seen | None = None) -> Tensor:
        """Canonical lip images [B, 3, h, w], about [0, 1], in the canonical exposure.

        transform: [B, 4, 4] canonical -> observed camera; seen: what `look_up` gave, where it was asked.
        """

    def look_up(
        self, codes: Tensor, transform: Tensor, frame: Tensor | None = None, chosen: Tensor | None = None
    ) -> Seen | None:
        """Real mouths of the training part in these shapes; None where networks draw everything.

        frame: [B] of frames that are trained, whose own mouths must not be used; chosen: what `choose` said.
        """
        return None

    def choose(self, codes: Tensor, transform: Tensor, silent: Tensor, before: int | None) -> Tensor | None:
        """Which real mouth each of some frames in a row shows, [B], so that it does not change more often than it must where it is
        `silent`, [B] bool; before: that of the frame before them. None where networks draw everything."""
        return None

    def refine(
        self, finished: Tensor, mask: Tensor, seen: Seen, drawn: ObservedRegion, region: ObservedRegion
    ) -> tuple[Tensor, Tensor]:
        """Finished regions and masks at the full resolution; drawn: what was finished, of `placed`; region: the same at full
        resolution."""
        raise NotImplementedError

    def placed(self, region: ObservedRegion, seen: Seen | None, depth: Tensor | None = None) -> ObservedRegion:
        """Regions with what is known of their pixels, for `composite` and `refine`, which both want it."""
        return region

    @abstractmethod
    def composite(
        self,
        lip: Tensor,
        region: ObservedRegion,
        depth: Tensor | None = None,
        holes: float = 0.0,
        seen: Seen | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Paste lips into observed regions and blend them.

        Returns the finished region [B, 3, R, R], equal to the observed one wherever the mask
        [B, 1, R, R], also returned, is 0. depth: canonical depth, where it was computed already;
        holes: share of the batch that gets the black-hole augmentation.
        """
