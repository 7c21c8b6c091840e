"""Stages: what is kept, what is redone, and that a killed run leaves nothing that is taken for finished."""

import itertools
from dataclasses import replace

import pytest

from speech2lip.preparation.stages import Stage, run_stages, stage_seconds, up_to_date


class Killed(BaseException):
    """Stands for a kill: nothing may catch it."""


class Folder:
    """Three stages that write what they were told, in two halves each; `result` is complete.txt."""

    def __init__(self, root):
        self.root, self.marks, self.result = root, root / "stages.json", root / "complete.txt"
        self.ran: list[str] = []
        self.kill: tuple[str, int] | None = None

    def _work(self, name: str, text: str) -> None:
        self.ran.append(name)
        for half in (0, 1):
            if self.kill == (name, half):
                raise Killed
            (self.root / f"{name}{half}.txt").write_text(text)
        if name == "c":
            self.result.write_text(text)

    def stages(self, versions=(1, 1, 1), **settings: str) -> list[Stage]:
        names = "abc"
        return [
            Stage(n, v, {"setting": settings.get(n, "")}, (self.root / f"{n}1.txt",), lambda n=n: self._work(n, settings.get(n, "")))
            for n, v in zip(names, versions, strict=True)
        ]  # fmt: skip

    def run(self, **settings) -> list[str]:
        self.ran = []
        run_stages(self.stages(**settings), self.marks, self.result)
        return self.ran

    def contents(self) -> dict[str, str]:
        return {p.name: p.read_text() for p in sorted(self.root.glob("*.txt"))}


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def test_what_is_finished_is_kept_and_what_follows_a_change_is_redone(folder, capsys):
    assert folder.run(a="1", b="1", c="1") == ["a", "b", "c"]
    assert folder.run(a="1", b="1", c="1") == [] and "a: unchanged, kept" in capsys.readouterr().out
    assert folder.run(a="1", b="2", c="1") == ["b", "c"]
    assert set(stage_seconds(folder.marks)) == {"a", "b", "c"}


def test_another_version_of_the_code_or_a_missing_output_is_reason_enough(folder):
    folder.run()
    folder.ran = []
    run_stages(folder.stages((1, 1, 2)), folder.marks, folder.result)
    assert folder.ran == ["c"]
    (folder.root / "b1.txt").unlink()
    folder.ran = []
    run_stages(folder.stages((1, 1, 2)), folder.marks, folder.result)
    assert folder.ran == ["b", "c"]


@pytest.mark.parametrize(("stage", "half"), itertools.product("abc", (0, 1)))
def test_a_killed_run_leaves_nothing_half_made(folder, stage, half):
    """Settings A, then B killed in the middle of a stage, then A again: everything is A's, as if B had never been."""
    first, second = dict.fromkeys("abc", "A"), dict.fromkeys("abc", "B")
    folder.run(**first)
    wanted = folder.contents()
    folder.kill = (stage, half)
    with pytest.raises(Killed):
        folder.run(**second)
    assert not folder.result.exists()
    folder.kill = None
    folder.run(**first)
    assert folder.contents() == wanted


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"a": 5}', '{"a": {"key": 1}}'])
def test_unreadable_marks_vouch_for_nothing(folder, damage):
    folder.run()
    folder.marks.write_text(damage)
    assert folder.run() == ["a", "b", "c"]


def test_up_to_date_is_what_would_be_kept_whole(folder):
    assert not up_to_date(folder.stages(), folder.marks)
    folder.run()
    assert up_to_date(folder.stages(), folder.marks) and not up_to_date(folder.stages(b="x"), folder.marks)
    (folder.root / "c1.txt").unlink()
    assert not up_to_date(folder.stages(), folder.marks) and up_to_date(folder.stages()[:2], folder.marks)


def test_what_is_chosen_after_the_stage_before_enters_and_may_be_refused_with_nothing_lost(folder):
    folder.run()
    before = folder.contents(), folder.marks.read_text()
    first, second, third = folder.stages()

    def refuse():
        assert (folder.root / "a1.txt").is_file()
        raise KeyError("no such face")

    with pytest.raises(KeyError):
        run_stages([first, replace(second, chosen=refuse), third], folder.marks, folder.result)
    assert (folder.contents(), folder.marks.read_text()) == before
    folder.ran = []
    run_stages([first, replace(second, chosen=lambda: {"face": 2}), third], folder.marks, folder.result)
    assert folder.ran == ["b", "c"]
