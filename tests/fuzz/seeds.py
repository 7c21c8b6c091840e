"""Sound files that mutations begin with: a subject, a model, a state, an import and sounds, all tiny and made at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from speech2lip.audio.features import save_features
from speech2lip.audio.log_mel import LogMel
from speech2lip.config import Config, default_config
from speech2lip.files import save_arrays
from speech2lip.geometry.camera import Intrinsics, Poses
from speech2lip.library.exports import export_subject
from speech2lip.library.places import Places
from speech2lip.media.images import write_image
from speech2lip.media.sound import save_wav
from speech2lip.model.builder import build_model
from speech2lip.model.checkpoint import save_checkpoint
from speech2lip.model.metadata import metadata_of
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import Box, ClipLandmarks, Crop, Subject, Track

FRAMES, SIZE, MOUTH = 80, 64, 57
LIP = (16, 16)


def config_for(root: Path) -> Config:
    """Networks as small as they get."""
    return default_config(
        [
            f"data.root={root / 'subject'}", f"train.output={root / 'log'}", "name=x", "data.test_fraction=0", "train.batch=2",
            "model.lip.width=8", "model.lip.layers=2", "model.lip.skip_after=0", "model.lip.audio_width=4", "model.lip.embedding=4",
            "model.lip.detail=2", "model.lip.shape_codes=2", "model.lip.features=4", "model.blend.widths=[4,4]",
            "train.speech_share=0.2", "train.steps=10", "train.amp=false", "train.device=cpu", "audio.backend=mel",
        ]
    )  # fmt: skip


def make_subject(root: Path) -> SubjectLayout:
    """A head that does not move, of noise."""
    rng = np.random.default_rng(0)
    layout = SubjectLayout(root / "subject")
    poses = Poses(np.zeros((FRAMES, 3)), np.tile([0.0, 0.0, 600.0], (FRAMES, 1)))
    landmarks = rng.uniform(20, 40, (FRAMES, 478, 2)).astype(np.float32)
    exposure = np.tile(np.array([[1.0] * 3, [0.0] * 3]), (FRAMES, 1, 1))
    mouth = rng.uniform(24, 40, (FRAMES, MOUTH, 2))
    mesh, valid = rng.normal(0, 40, (468, 3)), np.ones(FRAMES, bool)
    backend = LogMel(8, 0.02)
    layout.root.mkdir(parents=True)
    layout.features.parent.mkdir()
    layout.save_track(Track(landmarks, valid, poses, mesh, exposure, mouth, ~valid))
    crop, shots = Crop(0, 0, 96, SIZE), ((0, FRAMES),)
    layout.save_landmarks(
        ClipLandmarks(
            np.zeros((FRAMES, 478, 3), np.float32), valid, np.ones(FRAMES), shots, crop, (96, 96), np.zeros(FRAMES, int)
        )
    )
    save_arrays(
        layout.head, rotvec=poses.rotvec, trans=poses.trans, mesh=mesh, noise=np.ones(6), valid=valid, residual=0.1,
        camera=np.array([300.0, 31.5, 31.5]), landmarks=landmarks, segments=np.array(shots),
    )  # fmt: skip
    _write_pictures(layout, rng)
    save_features(layout.features, rng.normal(size=(FRAMES, 8, 80)), backend.params())
    save_wav(layout.audio, rng.normal(0, 0.1, 52_000))
    layout.save_subject(
        Subject("x", "source.mp4", 25.0, FRAMES, (96, 96), crop, shots, Intrinsics(300.0, 31.5, 31.5), 3, Box(24, 24, 16, 16),
                LIP, 32, backend.params())
    )  # fmt: skip
    return layout


def _write_pictures(layout: SubjectLayout, rng: np.random.Generator) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[24:40, 24:40] = 255
    for path in (layout.lip_mask, layout.face_mask, layout.head_mask):
        write_image(path, mask)
    write_image(layout.canonical, rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
    np.save(layout.depth, np.full((SIZE, SIZE), 600, np.float32))
    layout.face_images.mkdir()
    layout.lip_images.mkdir()
    for frame in range(FRAMES):
        write_image(layout.face_image(frame), rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8))
        write_image(layout.lip_image(frame), rng.integers(0, 255, (*LIP, 3), dtype=np.uint8))


def make_model(root: Path, layout: SubjectLayout) -> Path:
    subject = layout.load_subject()
    config, metadata = config_for(root), metadata_of(subject, MOUTH)
    path = root / "model.pt"
    save_checkpoint(path, config, metadata, build_model(config, metadata), {"psnr": 20.0, "steps": 10.0})
    return path


def make_archive(root: Path) -> Path:
    """An export of another subject of the same kind, with its model."""
    place = root / "exported"
    layout = make_subject(place / "made")
    for folder in ("dataset", "log/x"):
        (place / folder).mkdir(parents=True)
    make_model(place / "made", layout).rename(place / "log" / "x" / "model.pt")
    (layout.root / "source.mp4").write_bytes(b"a clip")
    layout.root.rename(place / "dataset" / "x")
    export_subject("x", root / "x.zip", Places(place / "dataset", place / "log", place / "results"))
    return root / "x.zip"


def make_published(root: Path) -> Path:
    """Weights under names that the importer looks through."""
    path = root / "published.pt"
    torch.save(
        {"model": {"encoder_conv.0.weight": torch.randn(4, 4, 3, 1), "fc_x.weight": torch.randn(4, 4)}, "it": 5}, path
    )
    return path


YAML = """\
inherit_from: fast
name: me
data: {root: dataset/me, fps: 25, test_fraction: 0.1}
train: {minutes: 30, batch: 4, rate: 1e-3}
model:
  lip: {width: 64, layers: 4, skip_after: 1}
  blend: {widths: [8, 8, 8]}
"""
PUBLISHED_YAML = """\
data: {path: dataset/may_face_crop_lip}
training: {out_dir: log/face_simple/may, batch_size: 1, learning_rate: 1e-4, use_syncloss: true, w_syncloss: 0.01}
model: {uv_embed: 10, audio_net: true, MLP_version: v2}
"""
