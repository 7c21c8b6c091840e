"""Whether the person in a clip agreed to be learned: asked once, and recorded in `subject.json`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from ..errors import UserError
from ..terminal import can_ask, says_yes
from .layout import SubjectLayout
from .records import Consent
from .schema import CONSENT

Answer = Callable[[Consent | None], Consent]  # what is recorded (None: nothing) -> what shall be


def recorded(layout: SubjectLayout) -> Consent | None:
    """What a subject's folder says; None where it has no sound `subject.json`, or one of a time when nobody was asked."""
    try:
        return layout.load_subject().consent
    except UserError:
        return None  # preprocessing writes the file anew, and says what is wrong with what stays


def unasked(known: Consent | None) -> Consent:
    """Nobody could be asked: consent is not given, unless it was before."""
    return known if known is not None and (known.given or known.how == "unasked") else _now(False, "unasked")


def said_so(known: Consent | None) -> Consent:
    """A program that calls this one knows that the person agreed."""
    return known if known is not None and known.given else _now(True, "python")


def synthetic(known: Consent | None) -> Consent:
    """The built-in speaker is nobody."""
    return known if known is not None and known.how == "synthetic" else _now(False, "synthetic")


def asked(clip: Path, agreed: bool) -> Answer:
    """Whoever sits at the terminal is asked, once; agreed: `--i-have-consent` was given. Without a terminal: `unasked`.

    Raises UserError where the answer is no.
    """

    def answer(known: Consent | None) -> Consent:
        if known is not None and known.given:
            return known
        if agreed:
            return _now(True, "option")
        if not can_ask():
            return unasked(known)
        if says_yes(f"Did the person in {clip} agree that a model of their face and speech is made?"):
            return _now(True, "terminal")
        raise UserError(
            f"{clip} was not preprocessed, since nobody said that the person in it agreed: ask the person first"
        )

    return answer


def note(consent: Consent, clip: Path) -> str:
    """What to say of a consent that is missing; nothing where none is."""
    if consent.given or consent.how == "synthetic":
        return ""
    return (
        f"consent: nobody could be asked whether the person in {clip} agreed, and it is recorded as not given; say so with "
        "--i-have-consent (in Python: consent=True)"
    )


def in_words(consent: Consent | None) -> str:
    """For the list of subjects."""
    if consent is None:
        return "never asked"
    if consent.how == "synthetic":
        return CONSENT["synthetic"]
    return f"{'given' if consent.given else 'not given'} on {consent.date} ({CONSENT[consent.how]})"


def _now(given: bool, how: str) -> Consent:
    return Consent(given, datetime.now(timezone.utc).date().isoformat(), how)
