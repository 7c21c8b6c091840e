"""Configuration + a subject's geometry -> networks."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from ..audio.backend import FeatureBackend
from ..audio.features import backend_from_params
from ..config import Config
from ..geometry.camera import Intrinsics
from ..nets.audio_encoder import ShapeHead, StreamEncoder
from ..nets.blend import BlendNet
from ..nets.compositor import CanonicalSpace
from ..nets.exemplars import ExemplarBank
from ..nets.interface import LipSyncModel, Region
from ..nets.lip import LipModel
from ..nets.published import PublishedSpeech2Lip
from ..nets.regression import WindowRegression
from ..nets.shape import ShapeBasis
from ..nets.speech2lip import Speech2Lip
from ..nets.sync import SyncExpert
from ..subject.index import CanonicalImages
from .metadata import ModelMetadata

_SMALL = 96  # lip images up to so many pixels wide are drawn finely
_LARGE = 160  # wider ones are blended in larger pieces


def lattice_step(upsample: int, width: int) -> int:
    """Pixels per side of a lattice cell in lip images `width` pixels wide; 0 chooses by that width.

    A lattice of some twenty columns is enough for a mouth, however large it is drawn.
    """
    return upsample or (4 if width <= _SMALL else 8)


def unshuffle_step(unshuffle: int, width: int) -> int:
    """Pixels per side that Blend-Net takes as channels, with lip images `width` pixels wide; 0 chooses by that width."""
    return unshuffle or (2 if width <= _LARGE else 4)


_MODELS: dict[str, type[LipSyncModel]] = {"speech2lip": Speech2Lip, "published": PublishedSpeech2Lip}


def region_kind(config: Config) -> Region:
    """What the compositor of the model that `model.kind` names works on."""
    return _MODELS[config.model.kind].region


def build_model(config: Config, metadata: ModelMetadata, canonical: CanonicalImages | None = None) -> LipSyncModel:
    """Wire the networks. Without `canonical` (when loading a checkpoint) buffers start empty."""
    with torch.device("cpu"):  # its maps are small, and to compute with what has no numbers would load a compiler
        space = _canonical_space(metadata, canonical)
    backend = backend_from_params(dict(metadata.audio))
    lip, blend = config.model.lip, config.model.blend
    if config.model.kind == "published":
        return PublishedSpeech2Lip(
            metadata.lip_size, backend.window, backend.channels, lip.ensemble, space, config.model.compat
        )
    basis, bank = ShapeBasis(lip.shape_codes, metadata.mouth_points), None
    if metadata.coarse > 1:
        full = (metadata.coarse * metadata.lip_size[0], metadata.coarse * metadata.lip_size[1])
        gap = partial(_gap, basis, space.box[2])
        bank = ExemplarBank(lip.exemplars, full, lip.shape_codes, round(metadata.fps), metadata.coarse, gap)
    encoder, head = speech_networks(config, backend)
    regression = None
    if lip.regression > 0:
        regression = WindowRegression(backend.window, backend.channels, lip.shape_codes)
    picture = LipModel(
        metadata.lip_size, {"audio": lip.detail, "shape": lip.shape_codes, "pose": 3}, lip.width, lip.layers, lip.skip_after,
        lip.frequencies, lattice_step(lip.upsample, metadata.lip_size[0]), lip.features, lip.ensemble,
        beside=0 if bank is None else 3,
    )  # fmt: skip
    return Speech2Lip(
        encoder=encoder,
        shape_head=head,
        basis=basis,
        lip=picture,
        blend=BlendNet(
            4, blend.widths, blend.norm, blend.residual, unshuffle_step(blend.unshuffle, metadata.lip_size[0])
        ),
        space=space,
        embedding=len(backend.streams) * lip.embedding,
        detail=lip.detail,
        audio_dropout=lip.audio_dropout,
        pose_noise=config.train.pose_noise,
        exemplars=bank,
        regression=regression,
    )


def _gap(basis: ShapeBasis, width: int, codes: Tensor) -> Tensor:
    """See `ExemplarBank`; width: of the lip box, in canonical pixels."""
    return basis.gap(codes).sqrt() / width


def speech_networks(config: Config, backend: FeatureBackend) -> tuple[StreamEncoder, ShapeHead]:
    """Windows of audio features -> embedding, and embedding -> mouth shape."""
    lip, width = config.model.lip, config.model.lip.audio_width
    encoder = StreamEncoder(
        backend.window,
        [stream.channels for stream in backend.streams],
        ((width, 1), (width, 2), (width, 2)),
        lip.embedding,
        lip.audio_dropout,
    )
    return encoder, ShapeHead(lip.embedding, lip.shape_codes, [stream.weight for stream in backend.streams])


def _canonical_space(metadata: ModelMetadata, canonical: CanonicalImages | None) -> CanonicalSpace:
    size = metadata.crop_size
    maps = (
        [torch.from_numpy(np.ascontiguousarray(m)) for m in (canonical.depth, canonical.face, canonical.lip)]
        if canonical is not None
        else [torch.zeros(size, size) for _ in range(3)]
    )
    scale = (metadata.fine_size or size) / size / metadata.coarse
    return CanonicalSpace(maps[0], maps[1], maps[2], Intrinsics(*metadata.camera), metadata.lip_box, scale)


def build_expert(config: Config, metadata: ModelMetadata) -> SyncExpert:
    """The sync expert that is trained on the subject's own windows."""
    backend = backend_from_params(dict(metadata.audio))
    return SyncExpert(config.sync.window, backend.window, backend.channels, config.sync.width)
