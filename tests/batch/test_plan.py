"""Plans of batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from speech2lip.batch.plan import read_plan, with_consent
from speech2lip.errors import UserError


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for name in ("anna.mp4", "hello.wav", "speech/a.wav", "speech/b.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def _plan(here: Path, text: str) -> Path:
    (here / "jobs.yaml").write_text(text)
    return here / "jobs.yaml"


def test_people_are_learned_first_and_every_sound_is_a_task(here):
    tasks = read_plan(_plan(here, """
people:
  anna: {video: anna.mp4, minutes: 3, consent: true}
speak:
  - {person: anna, audio: hello.wav, out: results/hello.mp4, keep_length: yes, steady: 0.5}
  - {person: bob, audio: speech/*.wav, out: results/}
"""))  # fmt: skip
    assert [task.shown for task in tasks] == [
        "learn anna",
        "speak anna: hello.mp4",
        "speak bob: bob_a.mp4",
        "speak bob: bob_b.mp4",
    ]
    assert all(task.order is not None and not task.problem for task in tasks)
    assert dict(tasks[0].order.values) == {"video": str(here / "anna.mp4"), "minutes": 3.0, "consent": True}
    assert dict(tasks[1].order.values) == {"keep_length": True, "steady": 0.5, "audio": str(here / "hello.wav")}
    assert tasks[1].out == here / "results" / "hello.mp4" and tasks[3].out == here / "results" / "bob_b.mp4"


def test_a_folder_of_people_is_a_plan(here):
    for name in (
        "p/anna/me.MP4",
        "p/anna/x.wav",
        "p/anna/y.mp3",
        "p/cem/a.mp4",
        "p/cem/b.mp4",
        "p/empty/note.txt",
        "p/.git/a.mp4",
    ):
        (here / name).parent.mkdir(exist_ok=True, parents=True)
        (here / name).write_bytes(b"x")
    tasks = read_plan(here / "p")
    assert [task.shown for task in tasks] == ["learn anna", "speak anna: x.mp4", "speak anna: y.mp4", "learn cem"]
    assert "holds 2 videos, needed is one" in tasks[-1].problem and tasks[-1].order is None
    agreed = with_consent(tasks)
    assert agreed[0].order.values["consent"] is True and "consent" not in agreed[1].order.values


def test_one_bad_task_does_not_stop_the_others(here):
    tasks = read_plan(_plan(here, """
people:
  anna: {video: nowhere.mp4, minutes: 3}
  cem: {video: anna.mp4, minutes: many}
speak:
  - {person: anna, audio: hello.wav, out: a.mp4}
  - {person: anna, audio: hello.wav, out: b.mp4, loudness: 3}
  - {person: anna, out: c.mp4}
"""))  # fmt: skip
    assert [bool(task.problem) for task in tasks] == [True, True, False, True, True]
    assert "nowhere.mp4 does not exist" in tasks[0].problem and "no number between" in tasks[1].problem
    assert "has no parameter 'loudness'" in tasks[3].problem and "needs audio, or segments" in tasks[4].problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "asks for nothing"),
        ("person: {}", "means nothing here"),
        ("people: [anna]", "must be names"),
        ("speak: {a: b}", "must be names"),
        ("people: {anna: me.mp4}", "needed are `key: value` lines"),
        ("speak: [{audio: hello.wav, out: a.mp4}]", "lacks person or out"),
        (
            "speak: [{person: a, audio: hello.wav, out: a.mp4}, {person: b, audio: speech/a.wav, out: a.mp4}]",
            "an `out` of its own",
        ),
        ("- a", "holds a list"),
        ("{", "is not valid YAML"),
    ],
)
def test_what_is_no_plan_is_one_sentence(here, text, said):
    with pytest.raises(UserError, match=said):
        read_plan(_plan(here, text))


def test_a_task_has_the_same_token_until_its_files_or_values_change(here):
    text = "speak: [{person: anna, audio: hello.wav, out: a.mp4}]"
    first = read_plan(_plan(here, text))[0].token
    assert read_plan(_plan(here, text))[0].token == first
    (here / "hello.wav").write_bytes(b"other")
    second = read_plan(_plan(here, text))[0].token
    third = read_plan(_plan(here, text.replace("a.mp4", "b.mp4")))[0].token
    assert len({first, second, third}) == 3
