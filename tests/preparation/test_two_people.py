"""Two real people in one clip, in turn and side by side: only the chosen one is learned and painted."""

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

import speech2lip
from speech2lip.config import default_config
from speech2lip.facemesh import LIPS
from speech2lip.media.decode import read_frames
from speech2lip.media.encode import VideoWriter
from speech2lip.media.images import read_image, write_image
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.rendering.predictor import Predictor
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.trainer import Trainer

SIDE, SHORT = 320, 75  # pixels of a picture; frames of a turn
TINY = {
    "train.steps": 12, "train.batch": 2, "train.articulate": 1, "train.speech_share": 0, "model.lip.width": 32, "model.lip.layers": 2,
    "model.lip.skip_after": 0, "model.blend.widths": [8, 8, 8], "audio.backend": "mel", "photometric.weight": 0, "learnable.sync": -1,
}  # fmt: skip


def _frames(clip: Path, count: int) -> list[np.ndarray]:
    return [cv2.resize(f, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for f in islice(read_frames(clip, 25.0), count)]


def _write(target: Path, frames: list[np.ndarray], sound: np.ndarray) -> None:
    save_wav(target.with_suffix(".wav"), sound)
    with VideoWriter(target, 25.0, target.with_suffix(".wav"), crf=12) as video:
        for frame in frames:
            video.write(frame)


@pytest.fixture(scope="module")
def people(clips):
    found = []
    for name in ("bearded_12s", "glasses_13s"):
        path = clips / "people" / f"{name}.mp4"
        found.append((_frames(path, 2 * SHORT), load_audio(path)[: 2 * SHORT * SAMPLE_RATE // 25]))
    return found


def _joined(how: str, people, target: Path) -> np.ndarray:
    """Write the clip; frames [T] bool in which the second one is there."""
    (one, sound), (other, said) = people
    turn = SHORT * SAMPLE_RATE // 25
    if how == "side by side":
        _write(target, [np.hstack(pair) for pair in zip(one, other, strict=True)], said)
        return np.ones(2 * SHORT, bool)
    _write(target, [*one[:SHORT], *other, *one[SHORT:]], np.concatenate([sound[:turn], said, sound[turn:]]))
    return np.repeat([False, True, False], [SHORT, 2 * SHORT, SHORT])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["in turn", "side by side"])
def test_only_the_chosen_one_is_learned_and_painted(how, people, tmp_path):
    there = _joined(how, people, tmp_path / "clip.mp4")
    write_image(tmp_path / "him.png", people[1][0][40])
    root = tmp_path / "subject"
    subject = speech2lip.preprocess(tmp_path / "clip.mp4", root, settings=TINY, face=tmp_path / "him.png")
    layout = SubjectLayout(root)
    found, track = layout.load_people(), layout.load_track(subject)
    assert len(found.people) == 2 and read_image(layout.sheet).shape[1] > 300
    assert not track.valid[~there].any() and track.valid[there].mean() > 0.95
    lips = (np.median(track.landmarks[track.valid][:, LIPS, 0]) + 0.5) / subject.crop.scale + subject.crop.x
    left = SIDE if how == "side by side" else 0
    assert left < lips < left + SIDE

    config = default_config(
        [f"{k}={v}" for k, v in {**TINY, "name": "him", "data.root": root, "train.output": tmp_path}.items()]
    )
    index = parse_subject(layout, 0.1)
    assert there[index.train].all() and there[index.test].all()
    assert Trainer(config).run()
    predictor = Predictor.open(tmp_path / "him" / "model.pt")
    painted = np.zeros(subject.frames, bool)
    for done in predictor.render(predictor.features(layout.audio)[:][: subject.frames]):
        painted[done.source] = bool((done.image != done.original).any())
        if painted[done.source]:
            columns = np.flatnonzero((done.image != done.original).any((0, 2)))
            assert columns.min() >= left and columns.max() < left + SIDE
    assert not painted[~there].any() and painted[there].mean() > 0.8

    again = speech2lip.preprocess(tmp_path / "clip.mp4", root, settings=TINY, face=3 - subject.face)
    assert again.face == 3 - subject.face and not layout.load_track(again).valid[there & (how == "in turn")].any()
