"""Consent is asked once, recorded, and never invented."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from speech2lip.errors import UserError
from speech2lip.preparation import pipeline
from speech2lip.preparation.stages import Stage, outputs_of
from speech2lip.subject import consent
from speech2lip.subject.consent import asked, in_words, note, recorded, said_so, synthetic, unasked
from speech2lip.subject.layout import SubjectLayout, facts_of
from speech2lip.subject.records import Consent
from tests.fuzz import seeds

CLIP = Path("me.mp4")
BEFORE = Consent(True, "2025-05-05", "terminal")


@pytest.fixture
def layout(tmp_path: Path) -> SubjectLayout:
    return seeds.make_subject(tmp_path)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Somebody sits there; the last entry is what they say, and questions are put before it."""
    said = ["y"]
    monkeypatch.setattr(consent, "can_ask", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: (said.insert(0, question), said[-1])[1])
    return said


def test_a_terminal_is_asked_once(terminal):
    given = asked(CLIP, False)(None)
    assert (given.given, given.how) == (True, "terminal") and "me.mp4" in terminal[0]
    assert asked(CLIP, False)(given) == given and len(terminal) == 2


@pytest.mark.parametrize("says", ["n", "", "what?"])
def test_no_ends_the_work(terminal, says):
    terminal[-1] = says
    with pytest.raises(UserError, match=r"me\.mp4 was not preprocessed"):
        asked(CLIP, False)(None)


def test_without_a_terminal_consent_is_not_given_and_that_is_said(monkeypatch):
    monkeypatch.setattr(consent, "can_ask", lambda: False)
    found = asked(CLIP, False)(None)
    assert (found.given, found.how) == (False, "unasked") and "--i-have-consent" in note(found, CLIP)
    agreed = asked(CLIP, True)(found)
    assert (agreed.given, agreed.how) == (True, "option") and not note(agreed, CLIP)


@pytest.mark.parametrize("answer", [unasked, said_so, asked(CLIP, False), asked(CLIP, True)])
def test_what_was_given_stays_as_it_was_given(answer):
    assert answer(BEFORE) == BEFORE


def test_the_synthetic_speaker_is_nobody():
    found = synthetic(None)
    assert not found.given and not note(found, CLIP) and in_words(found) == "no person: a synthetic speaker"
    assert synthetic(found) is found and unasked(found).how == "unasked"


def test_it_is_recorded_and_read(layout):
    assert recorded(layout) is None
    layout.save_subject(replace(layout.load_subject(), consent=BEFORE))
    assert recorded(layout) == BEFORE
    assert json.loads(layout.subject.read_text())["consent"] == {"given": True, "date": "2025-05-05", "how": "terminal"}
    layout.subject.write_text("{")
    assert recorded(layout) is None


@pytest.mark.parametrize(
    "wrong", [5, {}, {"given": 1, "date": "2025-05-05", "how": "option"}, {"given": True, "date": "now", "how": "option"},
              {"given": True, "date": "2025-05-05", "how": "guessed"}, {"given": True, "date": "2025-05-05", "how": ["option"]}],
)  # fmt: skip
def test_a_record_that_is_none_is_refused(layout, wrong):
    layout.subject.write_text(json.dumps(json.loads(layout.subject.read_text()) | {"consent": wrong}))
    with pytest.raises(UserError, match=r"subject\.json .*consent"):
        layout.load_subject()


def test_labels_change_nothing_that_was_computed(layout):
    """Neither a stage nor a training begins anew because of a name or a consent."""
    stage = Stage("canonical", 1, {}, (layout.subject, layout.track), lambda: None, labelled=layout.subject)
    before, facts, subject = outputs_of(stage), facts_of(layout.subject), layout.load_subject()
    pipeline._labelled(layout, "another", BEFORE)
    assert layout.load_subject() == replace(subject, name="another", consent=BEFORE)
    assert outputs_of(stage) == before and facts_of(layout.subject) == facts
    layout.save_subject(replace(subject, fps=30.0))
    assert outputs_of(stage) != before
    layout.subject.write_text("[]")
    assert facts_of(layout.subject) == b"[]"
