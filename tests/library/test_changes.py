"""Renaming keeps models usable; removing takes everything of ours and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch

from speech2lip.cli import main
from speech2lip.errors import UserError
from speech2lip.library import changes
from speech2lip.library.changes import remove_subject, rename_subject
from speech2lip.locks import reader_of, writer_of
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.rendering.predictor import Predictor
from speech2lip.training.state import fingerprint


def _tree() -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted(Path().rglob("*")) if p.is_file() and p.name != ".lock"}


@pytest.fixture
def results(places):
    """What else is there of a person: the recipe's results, reports, curves, a state."""
    for path in (
        "rendering_result/anna/example/postfusion/00000.jpg", "rendering_result/anna/example/result.mp4",
        "rendering_result/anna/postfusion/00000.jpg", "rendering_result/anna/audio_test.wav", "rendering_result/anna/evaluation/report.html",
        "log/anna/last.pt", "log/anna/evaluation/frames_self.csv", "log/anna/tensorboard/events.out.tfevents.1", "log/anna/.speech2lip-x.pt",
    ):  # fmt: skip
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(b"made by us")
    return places


# ---------------------------------------------------------------- rename


def test_a_renamed_subject_is_ready_to_render(results):
    shutil.copy("log/anna/model.pt", "log/anna/model.prev.pt")
    os.utime("log/anna/model.pt", (10**9, 10**9))
    before, identity = load_checkpoint("log/anna/model.pt"), fingerprint(results.of("anna").layout, 0.1)
    person = rename_subject("anna", "Åsa B.-2", results)
    for name in ("model.pt", "model.prev.pt"):
        after = load_checkpoint(person.models / name)
        assert (after.config.name, after.config.data.root) == ("Åsa B.-2", "dataset/Åsa B.-2")
        for key, value in before.model.state_dict().items():
            assert torch.equal(after.model.state_dict()[key], value)
    assert Predictor.open(person.model).subject.name == "Åsa B.-2"
    assert person.model.stat().st_mtime == 10**9
    assert fingerprint(person.layout, 0.1) == identity  # an interrupted training goes on
    assert (person.results / "example" / "result.mp4").is_file()
    assert not any(part.exists() for part in results.of("anna").parts)


def test_a_model_of_another_folder_keeps_that(places):
    Path("log/anna/model.pt").write_bytes(
        changes.relabelled(Path("log/anna/model.pt"), {"data.root": "dataset/another"})
    )
    person = rename_subject("anna", "ann", places)
    assert load_checkpoint(person.model).config.data.root == "dataset/another"


@pytest.mark.parametrize("taken", ["dataset/ann", "log/ann", "rendering_result/ann"])
def test_a_name_that_is_taken_is_refused(places, taken):
    Path(taken).parent.mkdir(exist_ok=True)
    Path(taken).symlink_to("nowhere")
    before = _tree()
    with pytest.raises(UserError, match=f"{taken} is there already"):
        rename_subject("anna", "ann", places)
    assert _tree() == before


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", ".hidden", "-x", "a\n", "con", "a" * 300, " a"])
def test_a_name_that_is_none_is_refused(places, name):
    with pytest.raises(UserError, match="cannot be a subject's name"):
        rename_subject("anna", name, places)


@pytest.mark.parametrize("name", ["bob", "../anna", ".", "", "log"])
def test_who_is_not_there_is_not_renamed_or_removed(places, name):
    with pytest.raises(UserError, match=r"no name of a subject|no subject of this program"):
        rename_subject(name, "ann", places)
    with pytest.raises(UserError, match=r"no name of a subject|no subject of this program"):
        remove_subject(name, places)


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, UserError("no space")])
def test_a_rename_that_fails_changes_nothing(results, monkeypatch, call, error):
    before, calls, move = _tree(), [], changes.move_folder

    def stop(source: Path, target: Path) -> None:
        calls.append(source)
        if len(calls) == call:
            raise error
        move(source, target)

    monkeypatch.setattr(changes, "move_folder", stop)
    with pytest.raises((KeyboardInterrupt, UserError)):
        rename_subject("anna", "ann", results)
    assert len(calls) == call and _tree() == before


def test_a_damaged_model_stops_a_rename_before_anything_moves(places):
    Path("log/anna/model.pt").write_bytes(b"damaged")
    before = _tree()
    with pytest.raises(UserError, match=r"model\.pt"):
        rename_subject("anna", "ann", places)
    assert _tree() == before


@pytest.mark.parametrize("folder", ["dataset/anna", "log/anna"])
@pytest.mark.parametrize("lock", [reader_of, writer_of])
def test_what_is_in_use_is_left_alone(places, folder, lock):
    before = _tree()
    for change in (lambda: rename_subject("anna", "ann", places), lambda: remove_subject("anna", places)):
        with lock(Path(folder), "speech2lip train"), pytest.raises(UserError, match="is in use by speech2lip"):
            change()
    assert _tree() == before


# ---------------------------------------------------------------- remove


def test_everything_of_a_person_goes(results):
    Path("dataset/other").mkdir()
    Path("dataset/other/subject.json").write_bytes(Path("dataset/anna/subject.json").read_bytes())
    plan = remove_subject("anna", results)
    assert set(plan.folders) == set(results.of("anna").parts) and plan.size > 10_000 and not plan.others
    left = {str(p) for p in Path().rglob("*")}
    assert left == {"dataset", "log", "rendering_result", "dataset/other", "dataset/other/subject.json"}


def test_files_of_others_stay(results):
    """Also what links lead to."""
    Path("outside").mkdir()
    mine = {
        "dataset/anna/letter.txt", "dataset/anna/images/holiday.jpg", "log/anna/notes.txt", "rendering_result/anna/cut.mp4",
        "outside/00000.jpg", "outside/victim",
    }  # fmt: skip
    for path in mine:
        Path(path).write_bytes(b"mine")
    Path("dataset/anna/ori_images_face/00001.jpg").unlink()
    Path("dataset/anna/ori_images_face/00001.jpg").symlink_to(Path("outside/victim").resolve())
    Path("dataset/anna/mouth_images").symlink_to(Path("outside").resolve())
    plan = remove_subject("anna", results)
    found = {os.path.relpath(Path(here, name)) for here, _, names in os.walk(".") for name in names}
    assert found == mine
    assert {str(p) for p in plan.others} == {p for p in mine if "outside" not in p} | {"dataset/anna/mouth_images"}


def test_half_made_damaged_and_lonely_ones_can_be_removed(places):
    Path("dataset/anna/subject.json").write_bytes(b"{")
    remove_subject("anna", places)
    Path("dataset/anna").mkdir()
    Path("dataset/anna/stages.json").write_text("{}")
    remove_subject("anna", places)
    Path("log/anna").mkdir()
    Path("log/anna/model.pt").write_bytes(b"x")
    remove_subject("anna", places)
    assert not list(Path("dataset").iterdir()) and not list(Path("log").iterdir())


def test_a_link_in_the_place_of_a_subject_is_refused(places):
    Path("dataset/anna").rename("elsewhere")
    Path("dataset/anna").symlink_to(Path("elsewhere").resolve())
    with pytest.raises(UserError, match="is a link"):
        remove_subject("anna", places)
    assert Path("elsewhere/subject.json").is_file()


def test_a_removal_that_was_killed_goes_on(places, monkeypatch):
    count, unlink = [], Path.unlink

    def stop(path: Path, **options: bool) -> None:
        count.append(path)
        if len(count) == 100:
            raise KeyboardInterrupt
        unlink(path, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", stop)
        with pytest.raises(KeyboardInterrupt):
            remove_subject("anna", places)
    remove_subject("anna", places)
    assert not Path("dataset/anna").exists()


class Terminal:
    """Somebody who sits there and says one thing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, says: str):
        self.questions: list[str] = []
        self.says = says
        monkeypatch.setattr(changes, "can_ask", lambda: True)
        monkeypatch.setattr("builtins.input", self.answer)

    def answer(self, question: str) -> str:
        self.questions.append(question)
        return self.says


@pytest.mark.parametrize(("says", "gone"), [("y", True), ("Yes ", True), ("", False), ("n", False)])
def test_remove_asks_on_a_terminal(places, monkeypatch, capsys, says, gone):
    terminal = Terminal(monkeypatch, says)
    assert main(["subjects", "remove", "anna"]) == (0 if gone else 2)
    assert len(terminal.questions) == 1 and "dataset/anna" in terminal.questions[0]
    assert Path("dataset/anna").exists() is not gone
    assert gone or "was not removed" in capsys.readouterr().err


def test_remove_asks_nobody_without_a_terminal(places, capsys):
    assert main(["subjects", "remove", "anna"]) == 2
    assert "--yes" in capsys.readouterr().err and Path("dataset/anna").is_dir()
    assert main(["subjects", "remove", "anna", "--yes"]) == 0
    assert "dataset/anna" in capsys.readouterr().out and not Path("dataset/anna").exists()
