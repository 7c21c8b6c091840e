"""A person who was really learned goes on under another name, and elsewhere."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speech2lip.cli import main
from speech2lip.library.exports import export_subject
from speech2lip.library.imports import import_subject
from speech2lip.library.listing import READY, list_subjects
from speech2lip.library.places import Places
from speech2lip.media.decode import read_frames
from speech2lip.media.sound import SAMPLE_RATE, save_wav
from speech2lip.preparation.pipeline import preprocess
from speech2lip.subject.consent import said_so
from speech2lip.training.state import fingerprint


@pytest.fixture
def speaker(subject_config, model_path, tmp_path, monkeypatch):
    """A copy of the subject and its model below the current folder."""
    shutil.copytree(subject_config.data.root, tmp_path / "dataset" / "speaker")
    (tmp_path / "log" / "speaker").mkdir(parents=True)
    shutil.copy(model_path, tmp_path / "log" / "speaker")
    save_wav(tmp_path / "speech.wav", 0.2 * np.sin(np.arange(SAMPLE_RATE) / 20))
    monkeypatch.chdir(tmp_path)
    return Places()


def _rendered(out: str, *options: str) -> list[np.ndarray]:
    assert main(["render", *options, "--audio", "speech.wav", "--out", out]) == 0
    return list(read_frames(Path(out), 25.0))


def test_rendering_is_the_same_after_a_rename_and_an_import(speaker):
    wanted = _rendered("a.mp4", "--model", "log/speaker/model.pt")
    export_subject("speaker", Path("speaker.zip"), speaker)
    there = Places(Path("there/dataset"), Path("there/log"), Path("there/results"))
    imported = import_subject(Path("speaker.zip"), there, "guest")
    shutil.rmtree("dataset/speaker")
    assert [found.state for found in list_subjects(there)] == [READY]
    for out, options in (("b.mp4", ("--model", str(imported.model))), ("c.mp4", ("--name", "host"))):
        if out == "c.mp4":
            shutil.rmtree("log/speaker")
            import_subject(Path("speaker.zip"), speaker)
            assert main(["subjects", "rename", "speaker", "host"]) == 0
        found = _rendered(out, *options)
        assert len(found) == len(wanted) and all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_name_and_consent_make_no_stage_again(speaker, subject_config, clip, capsys):
    root = Path("dataset/speaker")
    config = replace(subject_config, name="host", data=replace(subject_config.data, root=str(root)))
    before = fingerprint(speaker.of("speaker").layout, 0.1)
    subject = preprocess(config, clip / "speaker.mp4", consent=said_so)
    assert subject.name == "host" and subject.consent is not None and subject.consent.given
    said = capsys.readouterr().out
    assert said.count("unchanged, kept") == 5 and "consent" not in said
    assert fingerprint(speaker.of("speaker").layout, 0.1) == before
    assert preprocess(config, clip / "speaker.mp4").consent == subject.consent


def test_consent_is_given_later_by_the_same_command(speaker, clip, capsys):
    layout, command = (
        speaker.of("speaker").layout,
        ["preprocess", "--video", str(clip / "speaker.mp4"), "--out", "dataset/speaker"],
    )
    assert main(command) == 0
    assert "it is recorded as not given" in capsys.readouterr().out
    assert layout.load_subject().consent.how == "unasked"
    assert main([*command, "--i-have-consent"]) == 0
    said = capsys.readouterr().out
    assert said.count("unchanged, kept") == 5 and "not given" not in said
    assert (layout.load_subject().consent.given, layout.load_subject().consent.how) == (True, "option")
