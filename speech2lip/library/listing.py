"""Who is there, and in which state."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from pathlib import Path

from ..audio.features import load_features
from ..errors import UserError
from ..model.checkpoint import load_checkpoint
from ..subject.consent import in_words
from ..subject.layout import SubjectLayout
from ..subject.records import Consent, Subject
from .places import Person, Places, source_name, walked

READY, HALF_MADE, DAMAGED = "ready", "half-made", "damaged"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400  # seconds


@dataclass(frozen=True)
class TrainedModel:
    """file; steps and minutes: of its training, None for imported ones; age: seconds; problem: why it cannot be used, or ""."""

    file: Path
    steps: float | None
    minutes: float | None
    age: float
    problem: str


@dataclass(frozen=True)
class ListedSubject:
    """One subject of the list.

    state: READY, HALF_MADE or DAMAGED; problem: what is wrong with a damaged one; frames, seconds, size (width, height in
    pixels), source and consent: None where nothing can be read; used: bytes of all its folders.
    """

    name: str
    folder: Path
    state: str
    problem: str
    frames: int | None
    seconds: float | None
    size: tuple[int, int] | None
    source: str | None
    consent: Consent | None
    model: TrainedModel | None
    used: int


def list_subjects(places: Places) -> list[ListedSubject]:
    """Subjects below `places.data` with their models, in the order of their names."""
    return [_listed(person) for person in places.everybody()]


def watched_subjects(places: Places) -> list[ListedSubject]:
    """As of `list_subjects`, for whoever asks again and again: a subject is read anew only when it or its model was written since.
    `used` and the model's age are of then."""
    return [_as_of(person, _stamp(person)) for person in places.everybody()]


@functools.lru_cache(maxsize=1000)
def _as_of(person: Person, stamp: tuple[tuple[int, int] | None, ...]) -> ListedSubject:
    return _listed(person)


def _stamp(person: Person) -> tuple[tuple[int, int] | None, ...]:
    """(bytes, time of writing) of what says how a subject is; None for what is not there."""
    layout = person.layout
    files = (person.folder, layout.subject, layout.track, layout.features, layout.audio, person.model)
    return tuple((file.stat().st_size, file.stat().st_mtime_ns) if file.exists() else None for file in files)


def _listed(person: Person) -> ListedSubject:
    layout, model = person.layout, _model_of(person)
    used = sum(path.lstat().st_size for part in person.parts if part.is_dir() for path in walked(part))
    if not layout.subject.is_file():
        return ListedSubject(person.name, person.folder, HALF_MADE, "", None, None, None, None, None, model, used)
    try:
        subject = layout.load_subject()
    except UserError as error:
        return ListedSubject(person.name, person.folder, DAMAGED, str(error), None, None, None, None, None, model, used)
    problem, source = _problem(layout, subject)
    return ListedSubject(
        person.name, person.folder, DAMAGED if problem else READY, problem, subject.frames, subject.frames / subject.fps,
        subject.size, source, subject.consent, model, used,
    )  # fmt: skip


def _problem(layout: SubjectLayout, subject: Subject) -> tuple[str, str | None]:
    """Why a subject cannot be used ("" where it can), and its source's name; pictures are not looked into."""
    try:
        source = source_name(layout)
        layout.source_path(subject)
        layout.load_track(subject)
        load_features(layout.features, subject.audio)
    except UserError as error:
        return str(error), None
    missing = [path for path in (*layout.canonical_files, layout.audio, layout.face_images) if not path.exists()]
    return (f"{missing[0]} is missing" if missing else ""), source


def _model_of(person: Person) -> TrainedModel | None:
    if not person.model.is_file():
        return None
    age = max(0.0, time.time() - person.model.stat().st_mtime)
    try:
        metrics = load_checkpoint(person.model).metrics
    except UserError as error:
        return TrainedModel(person.model, None, None, age, str(error))
    return TrainedModel(person.model, metrics.get("steps"), metrics.get("minutes"), age, "")


def describe(found: ListedSubject) -> str:
    """A few lines for the terminal."""
    lines = [f"{found.name}: {found.state}, {found.used / 1e6:.1f} MB"]
    if found.problem:
        lines.append(f"  {found.problem}")
    if found.state == HALF_MADE:
        lines.append("  preprocessing has not finished: the same command continues it")
    if found.frames is not None and found.seconds is not None and found.size is not None:
        made_from = f", from {found.source}" if found.source else ""
        width, height = found.size
        lines.append(f"  {found.frames} frames, {found.seconds:.1f} s of {width}x{height}{made_from}")
        lines.append(f"  consent: {in_words(found.consent)}")
    lines.append(f"  model: {_describe_model(found.model)}")
    return "\n".join(lines)


def _describe_model(model: TrainedModel | None) -> str:
    if model is None:
        return "none"
    if model.problem:
        return model.problem
    steps = "" if model.steps is None else f"{model.steps:.0f} steps"
    minutes = "" if model.minutes is None else f"{model.minutes:.1f} minutes"
    trained = " in ".join(part for part in (steps, minutes) if part) or "of no training that is known"
    return f"{model.file}, {trained}, {_ago(model.age)}"


def _ago(seconds: float) -> str:
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count} {name}{'s' if count > 1 else ''} old"
    return "made just now"
