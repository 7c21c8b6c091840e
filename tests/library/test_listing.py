"""The list of people: what is said of ready, half-made and damaged ones; the command's arguments."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from speech2lip.cli import main
from speech2lip.library.listing import DAMAGED, HALF_MADE, READY, list_subjects, watched_subjects


def _listed(capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert main(["subjects", *options]) == 0
    return capsys.readouterr().out


def test_a_ready_subject_with_its_model(places, capsys):
    os.utime("log/anna/model.pt", (time.time() - 3 * 86_400 - 60,) * 2)
    said = _listed(capsys)
    assert "anna: ready, " in said and "80 frames, 3.2 s of 96x96, from holiday.mp4" in said
    assert "consent: given on 2026-01-02 (asked on the terminal)" in said
    assert "model: log/anna/model.pt, 10 steps, 3 days old" in said
    (found,) = list_subjects(places)
    assert (found.state, found.frames, found.seconds, found.size) == (READY, 80, 3.2, (96, 96))
    assert found.used > 10_000 and found.model is not None and found.model.minutes is None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("subject.json", b"{", "subject.json is damaged"), ("track.npz", b"", "track.npz is damaged"),
        ("canonical_lip_mask.png", None, "canonical_lip_mask.png is missing"), ("source.mp4", None, "source.mp4 is missing"),
        ("source.mp4", b"another", "is not what this subject was made from"), ("audio/audio.npy", None, "audio.npy is missing"),
    ],
)  # fmt: skip
def test_a_damaged_subject_says_what_is_wrong(places, capsys, name, content, said):
    path = Path("dataset/anna", name)
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    assert list_subjects(places)[0].state == DAMAGED
    shown = _listed(capsys)
    assert "anna: damaged" in shown and said in shown


def test_half_made_ones_old_ones_and_folders_of_others(places, capsys):
    Path("dataset/anna/subject.json").unlink()
    Path("dataset/holiday").mkdir()
    Path("dataset/holiday/beach.jpg").write_bytes(b"x")
    Path("log/anna/model.pt").write_bytes(b"x")
    (found,) = list_subjects(places)
    assert found.state == HALF_MADE
    said = _listed(capsys)
    assert "anna: half-made" in said and "the same command continues it" in said and "holiday" not in said
    assert "model.pt is not a sound checkpoint" in said


def test_a_folder_of_a_time_when_nobody_was_asked(places, capsys):
    path = Path("dataset/anna/subject.json")
    raw = json.loads(path.read_text())
    del raw["consent"]
    path.write_text(json.dumps(raw))
    Path("log/anna/model.pt").unlink()
    said = _listed(capsys)
    assert "consent: never asked" in said and "model: none" in said


def test_who_asks_again_and_again_reads_what_was_written_since_alone(places, monkeypatch):
    from speech2lip.library import listing

    (found,) = watched_subjects(places)
    assert found.state == READY and found.model is not None and found.model.steps == 10
    with monkeypatch.context() as patched:
        patched.setattr(listing, "load_checkpoint", lambda path: pytest.fail("read again"))
        assert watched_subjects(places) == [found]
    (places.log / "anna" / "model.pt").unlink()
    assert watched_subjects(places)[0].model is None
    (places.data / "anna" / "canonical_lip_mask.png").unlink()
    assert watched_subjects(places)[0].state == DAMAGED


def test_nobody_is_there(places, capsys):
    assert "no subjects in elsewhere" in _listed(capsys, "--root", "elsewhere")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rename", "anna"), "needs OLD NEW"), (("remove",), "needs NAME"), (("list", "anna"), "needs no names"),
        (("export", "anna"), "needs --out"), (("import", "none.zip"), "none.zip does not exist"), (("import", "dataset"), "is a folder"),
    ],
)  # fmt: skip
def test_what_is_missing_is_said(places, capsys, arguments, said):
    assert main(["subjects", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_commands_from_one_computer_to_another(places, capsys):
    """As docs/subjects.md shows them."""
    assert main(["subjects", "rename", "anna", "ann"]) == 0
    assert main(["subjects", "export", "ann", "--out", "ann.zip"]) == 0
    assert "with a model" in capsys.readouterr().out
    there = ["--root", "there/dataset", "--log", "there/log"]
    assert main(["subjects", "import", "ann.zip", "--name", "anna", *there]) == 0
    assert "next: speech2lip render --model there/log/anna/model.pt" in capsys.readouterr().out
    assert "anna: ready" in _listed(capsys, *there)
    assert main(["subjects", "remove", "anna", "--yes", *there]) == 0
    assert not list(Path("there").rglob("*.jpg"))


def test_the_same_in_python(places):
    import speech2lip

    folder = speech2lip.rename_subject("anna", "ann")
    assert folder == Path("dataset/ann") and [found.name for found in speech2lip.subjects()] == ["ann"]
    archive = speech2lip.export_subject("ann", "ann.zip")
    there = {"root": "there/dataset", "log": "there/log"}
    assert speech2lip.import_subject(archive, **there) == Path("there/dataset/ann")
    assert speech2lip.load_checkpoint("there/log/ann/model.pt").config.data.root == "there/dataset/ann"
    gone = speech2lip.remove_subject("ann", **there)
    assert Path("there/log/ann/model.pt") in gone and not speech2lip.subjects(**there)
