"""Mouths at the source's own resolution."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from speech2lip.config import Config, default_config
from speech2lip.evaluation.controls import mean_lips, real_lips
from speech2lip.media.decode import read_frames
from speech2lip.media.images import read_image
from speech2lip.model.checkpoint import Checkpoint
from speech2lip.model.metadata import metadata_of
from speech2lip.preparation.pipeline import preprocess
from speech2lip.rendering.predictor import LipImages, Predictor
from speech2lip.subject.layout import SubjectLayout
from speech2lip.subject.records import extract
from speech2lip.training.trainer import make_context, make_model


@pytest.fixture(scope="module")
def shrunk(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The speaker, whose head is stored at a third of the source's resolution."""
    root = tmp_path_factory.mktemp("shrunk")
    config = default_config(
        [f"data.root={root}", "face.max_crop=128", "bundle.keyframes=16", "bundle.iterations=4", "audio.backend=mel", "train.device=cpu"]
    )  # fmt: skip
    preprocess(config, clip / "speaker.mp4")
    return config


@pytest.fixture(scope="module")
def predictor(shrunk: Config) -> Predictor:
    """Of networks that have learned nothing: Blend-Net changes nothing, and the mouth is the nearest exemplar's."""
    context = make_context(shrunk)
    subject = context.index.subject
    model = make_model(context).eval()
    metadata = metadata_of(subject, context.index.track.mouth.shape[1])
    return Predictor(Checkpoint(shrunk, metadata, model, {}), SubjectLayout(shrunk.data.root), "cpu")


def test_mouths_are_kept_with_the_sources_pixels(shrunk, clip):
    layout = SubjectLayout(shrunk.data.root)
    subject = layout.load_subject()
    assert subject.crop.size == 128 and subject.fine.size == subject.crop.side > 350
    assert subject.coarse > 1 and subject.region_size % (16 * subject.coarse) == 0
    assert subject.lip_size[0] > 2 * subject.lip_box.width
    frame = next(read_frames(clip / "speaker.mp4", subject.fps, start=40))
    mouth = read_image(layout.mouth_image(40))
    assert mouth.shape[0] == subject.region_size
    assert _nearest(extract(frame, subject.fine), mouth) < 2.0


def _nearest(square: np.ndarray, mouth: np.ndarray) -> float:
    """Least difference (root mean square) of a mouth from any place of a picture."""
    found = cv2.matchTemplate(square, mouth, cv2.TM_SQDIFF)
    return float(np.sqrt(found.min() / mouth.size))


def test_real_lips_pasted_come_out_as_sharp_as_they_were(predictor):
    frames = np.arange(30, 34)
    lips = real_lips(predictor.layout, predictor.track.exposure, frames)
    windows = np.load(predictor.layout.features)[frames]
    for done in predictor.render(windows, 30, None, lips):
        where = done.full_mask > 0.5
        error = done.image[where].astype(float) - done.original[where]
        assert where.sum() > 5000 and 10 * np.log10(255**2 / (error**2).mean()) > 36
        outside = done.full_mask == 0
        np.testing.assert_array_equal(done.image[outside], done.original[outside])


def test_a_generated_mouth_is_as_detailed_as_a_real_one(predictor):
    """High-passed brightness inside the mask, of networks that have learned nothing."""

    def detail(picture: np.ndarray, where: np.ndarray) -> float:
        gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return float((gray - cv2.GaussianBlur(gray, (0, 0), 2))[where].std())

    windows = np.load(predictor.layout.features)[50:58]

    def ratio(lips: LipImages | None) -> float:
        done = list(predictor.render(windows, 50, None, lips))
        return float(
            np.mean([detail(d.image, d.full_mask > 0.9) / detail(d.original, d.full_mask > 0.9) for d in done])
        )

    smooth = ratio(mean_lips(predictor.model, predictor.subject.lip_size))
    assert 0.65 < ratio(None) < 1.25 and ratio(None) > 1.3 * smooth
