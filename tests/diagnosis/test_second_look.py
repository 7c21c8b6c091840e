"""The doctor's second look: what it says of a training, when, and that nothing changes by it."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from speech2lip.cli import main
from speech2lip.config import Config, default_config
from speech2lip.diagnosis import second_look
from speech2lip.diagnosis.second_look import (
    SoFar,
    drawn_sharpness,
    judged,
    learned_offset,
    lip_textures,
    look_at_training,
    tell,
    unheard_speech,
)
from speech2lip.facemesh import LANDMARKS, LIPS_OUTER
from speech2lip.media.sound import load_audio, save_wav
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.preparation.offset import REACH, Offset
from speech2lip.preparation.pipeline import preprocess
from speech2lip.preparation.sound import moved
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.trainer import fit

NAMES = ["unheard_speech", "learned_offset", "drawn_sharpness"]


def _offset(frames: float, clear: bool = True) -> Offset:
    return Offset(frames, clear, np.zeros(2 * REACH + 1))


@pytest.mark.parametrize(("r", "severity"), [(0.92, "ok"), (0.6, "note"), (0.4, "warning"), (-0.2, "warning")])
def test_speech_that_predicts_little_is_told_with_a_remedy(r, severity):
    found = unheard_speech(r, 140, 0.65)
    assert found.severity == severity and f"{r:.2f}" in found.text and "0.65" in found.text
    assert bool(found.remedy) == (severity != "ok")


def test_nothing_is_said_of_a_few_unheard_frames():
    found = unheard_speech(0.99, 12, 0.0)
    assert found.severity == "note" and "not known: 12 frames" in found.text and "agree" not in found.text


@pytest.mark.parametrize(
    ("found", "severity", "said"),
    [(_offset(-0.4), "ok", "16 ms early"), (_offset(4.0), "warning", "160 ms late"), (_offset(4.0, False), "note", "not clear")],
)  # fmt: skip
def test_an_offset_that_was_learned_is_told_with_its_setting(found, severity, said):
    finding = learned_offset(found, 25.0)
    assert finding.severity == severity and said in finding.text
    assert ("data.offset that is +0.16" in finding.remedy) == (severity == "warning")


@pytest.mark.parametrize(("share", "severity"), [(0.95, "ok"), (0.8, "note"), (0.5, "warning")])
def test_soft_lips_are_told_with_their_share(share, severity):
    texture = np.array([[share * 4.0, 4.0]] * 20 + [[np.nan, 4.0]] * 3)
    found = drawn_sharpness(texture)
    assert found.severity == severity and f"{share:.0%}" in found.text and "20 frames" in found.text
    assert drawn_sharpness(texture[-6:]).severity == "note"


def test_texture_of_lips_is_that_inside_their_outline():
    noise = np.random.default_rng(0).integers(0, 255, (120, 120, 3), dtype=np.uint8)
    turn = np.linspace(0, 2 * np.pi, len(LIPS_OUTER), endpoint=False)
    points = np.zeros((LANDMARKS, 2))
    points[33], points[263] = [30, 30], [90, 30]  # outer corners of the eyes
    points[LIPS_OUTER] = np.stack([60 + 25 * np.cos(turn), 80 + 12 * np.sin(turn)], 1)
    soft = noise.copy()
    soft[60:100] = cv2.GaussianBlur(noise, (0, 0), 3)[60:100]
    drawn, real = lip_textures(soft, noise, points)
    assert real > 20 and drawn < 0.3 * real and lip_textures(noise, noise, points) == (real, real)
    elsewhere = noise.copy()
    elsewhere[:50] = 0
    assert lip_textures(elsewhere, noise, points) == (real, real)
    assert np.isnan(lip_textures(noise, noise, points + 500)).all()


def test_lines_begin_with_how_long_it_was_trained():
    look = judged(SoFar(640, 2.14, 0.3, 140, 0.5, _offset(5.0), np.full((9, 2), 3.0), 25.0))
    assert look.lines[0] == "second look, after 2.1 minutes of training (640 steps with pictures):"
    assert [line.split(": ")[:2] for line in look.lines[1:]] == [
        ["  warning", NAMES[0]],
        ["  warning", NAMES[1]],
        ["  ok", NAMES[2]],
    ]
    published = judged(SoFar(1, 1.0, 0.0, 0, 0.0, None, np.zeros((0, 2)), 25.0))
    assert [f.name for f in published.findings] == [NAMES[0], NAMES[2]]


# ---------------------------------------------------------------- of a trained model


def test_a_look_measures_and_leaves_chance_alone(model_path):
    state = torch.get_rng_state()
    look = look_at_training(model_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert [f.name for f in look.findings] == NAMES and "160 steps" in look.title
    heard, apart, sharp = look.findings
    measured = load_checkpoint(model_path).metrics
    assert f"correlation of {measured['opening_r']:.2f} on " in heard.text
    assert apart.severity == "ok" and "fine detail" in sharp.text


def _doctor(capsys, *words: object) -> str:
    assert main(["doctor", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_the_doctor_shows_it_for_a_trained_subject(model_path, subject_config, tmp_path, capsys):
    given = subject_config.data.root, "--out", tmp_path
    said = _doctor(capsys, *given, f"train.output={subject_config.train.output}")
    assert f"second look: {model_path}, after " in said
    record = json.loads((tmp_path / "findings.json").read_text())
    assert set(NAMES) <= {f["name"] for f in record["findings"]} and "second look" in record["facts"]
    assert "drawn_sharpness" in (tmp_path / "report.html").read_text("utf-8")
    assert "second look" not in _doctor(capsys, *given, f"train.output={tmp_path}")  # nobody trained there


def test_a_model_of_another_folder_is_none_of_this_one(model_path, subject_config, tmp_path, capsys):
    root = tmp_path / "other"
    shutil.copytree(subject_config.data.root, root)
    given = root, "--out", tmp_path / "report", f"train.output={subject_config.train.output}"
    assert "second look" not in _doctor(capsys, *given)


def test_what_cannot_be_looked_at_is_a_note_and_stops_no_training(model_path, subject_config, tmp_path, capsys, monkeypatch):  # fmt: skip
    broken = tmp_path / "log" / subject_config.name / "model.pt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(model_path.read_bytes()[:1000])
    said = _doctor(capsys, subject_config.data.root, "--out", tmp_path / "r", f"train.output={tmp_path / 'log'}")
    assert "note: second_look: the training cannot be looked at: " in said
    tell(broken)
    assert capsys.readouterr().err.startswith(f"no second look: {broken}")
    monkeypatch.setattr(second_look, "_texture", _without_scipy)
    tell(model_path)
    told = capsys.readouterr()
    assert "no second look: No module named 'scipy'" in told.err and not told.out


def _without_scipy(*_: object) -> None:
    raise ModuleNotFoundError("No module named 'scipy'")


@pytest.mark.slow
def test_a_training_tells_it_once_and_goes_on_as_if_nobody_had_looked(model_path, subject_config, tmp_path, capsys):
    train = replace(
        subject_config.train, steps=30, output=str(tmp_path / "a"), amp=False, validate_every=0.2, speech_share=0.2
    )
    config = replace(subject_config, train=train)
    looked = fit(config, look=tell)
    said = capsys.readouterr().out
    assert said.count("second look, after") == 1 and all(f": {name}: " in said for name in NAMES)
    plain = fit(replace(config, train=replace(train, output=str(tmp_path / "b"))))
    one, two = (torch.load(p, weights_only=True)["state"] for p in (looked, plain))
    assert all(torch.equal(one[name], two[name]) for name in two)
    fit(replace(config, train=replace(train, steps=60)), look=tell)  # goes on: it was told
    assert "second look" not in capsys.readouterr().out


@pytest.mark.slow
def test_an_offset_that_a_model_learned_stands_out(clip, config: Config, tmp_path):
    """The sound is 200 ms late, and nothing corrects it: the mouth that is learned is as far from its sound."""
    save_wav(tmp_path / "late.wav", moved(load_audio(clip / "speaker.wav"), -0.2))
    given = [
        "name=late", f"data.root={tmp_path / 'subject'}", f"train.output={tmp_path}", "train.steps=160", "train.batch=4",
        "data.correct_offset=false", "data.test_fraction=0.2", "model.lip.width=64", "model.lip.layers=4", "model.lip.skip_after=1",
        "model.blend.widths=[8,8,8]", "train.speech_share=0.4", "photometric.weight=0",
    ]  # fmt: skip
    late = default_config(given)
    preprocess(late, clip / "speaker.mp4", tmp_path / "late.wav")
    model = fit(late)
    found = {f.name: f for f in look_at_training(model).findings}["learned_offset"]
    assert found.severity == "warning" and " late (" in found.text
    assert abs(float(found.text.split("(")[1].split()[0]) - 5) < 1
    assert SubjectLayout(late.data.root).subject.is_file()
