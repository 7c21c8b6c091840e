"""What a batch is to do, read from a YAML file or from a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..jobs.orders import FILE, KINDS, Order, Value, check_order
from ..names import subject_name
from ..yaml_reader import read_yaml

_SOUNDS = (".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus")
_VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".mts")
_MINUTES = 30.0  # of training, where nothing else is asked for


@dataclass(frozen=True)
class Task:
    """One job of a batch. order: what is done, or None where it cannot be; problem: why; out: where the result goes; shown: what it is
    called in the table."""

    shown: str
    order: Order | None
    problem: str = ""
    out: Path | None = None

    @property
    def token(self) -> str:
        """The same for the same order: a batch that is run again does not do it twice, unless a file has changed."""
        assert self.order is not None
        stamps = {
            name: _stamp(Path(str(value)))
            for name, value in self.order.values.items()
            if KINDS[self.order.kind][name].kind == FILE
        }
        facts = [self.order.kind, self.order.name, dict(self.order.values), stamps, str(self.out)]
        return f"batch-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]}"


def read_plan(path: Path) -> list[Task]:
    """The tasks of a YAML file, or of a folder of people; what can be done about each person comes in this order.

    UserError for a file that is no plan. A task that cannot be done is one with a problem: the others go on.
    """
    tasks = list(_of_folder(path) if path.is_dir() else _of_file(path))
    if not tasks:
        raise UserError(f"{path} asks for nothing: give `people:` to learn, or `speak:`")
    outs: dict[Path, str] = {}
    for task in tasks:
        if task.out is not None and task.order is not None and outs.setdefault(task.out, task.shown) != task.shown:
            raise UserError(
                f"{path}: both {outs[task.out]} and {task.shown} write {task.out}: give each an `out` of its own"
            )
    return tasks


def with_consent(tasks: Sequence[Task]) -> list[Task]:
    """The same tasks, where everybody who is learned agreed."""
    return [
        replace(task, order=replace(task.order, values={**task.order.values, "consent": True}))
        if task.order is not None and task.order.kind == "learn"
        else task
        for task in tasks
    ]


def _of_file(path: Path) -> Iterator[Task]:
    plan = read_yaml(path, str(path), "give a YAML file with `people:` and `speak:`, or a folder of people")
    for key in plan:
        if key not in ("people", "speak"):
            raise UserError(f"{path} has {key!r}, which means nothing here: give `people:` and `speak:`")
    people, speak = plan.get("people") or {}, plan.get("speak") or []
    if not isinstance(people, dict) or not isinstance(speak, list):
        raise UserError(f"{path}: `people:` must be names with their values below them, `speak:` a list")
    here = path.resolve().parent
    for name, given in people.items():
        if given:
            yield _task("learn", name, {"minutes": str(_MINUTES), **_mapping(given, path, name)}, here, None)
    for number, given in enumerate(speak, 1):
        yield from _spoken(_mapping(given, path, f"number {number} of speak"), here, path)


def _mapping(given: Any, path: Path, what: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UserError(f"{path}: {what} is {given!r}, needed are `key: value` lines")
    return given


def _spoken(given: dict[str, Any], here: Path, path: Path) -> Iterator[Task]:
    """One task for every sound that an entry names."""
    values = dict(given)
    person, out = values.pop("person", None), values.pop("out", None)
    if not isinstance(person, str) or not isinstance(out, str):
        raise UserError(f"{path}: an entry of `speak:` lacks person or out: give both")
    target = here / out
    sounds = _sounds(values.pop("audio", None), here)
    into_folder = out.endswith("/") or len(sounds) > 1
    for sound in sounds:
        named = target / f"{person}_{Path(sound).stem}.mp4" if into_folder and sound else target
        yield _task("speak", person, {**values, **({"audio": sound} if sound else {})}, here, named)


def _sounds(given: Any, here: Path) -> list[str]:
    """Paths of one or several sounds; patterns such as `speech/*.wav` stand for what fits, or for themselves where nothing does."""
    found = []
    for text in given if isinstance(given, list) else [given]:
        fitting = (
            sorted(here.glob(text)) if isinstance(text, str) and "*" in text and not Path(text).is_absolute() else []
        )
        found += [str(file) for file in fitting] or [text or ""]
    return found


def _of_folder(folder: Path) -> Iterator[Task]:
    """Every folder in it is a person: one video, and any number of sounds; results go to `results` beside them."""
    for place in sorted(path for path in folder.resolve().iterdir() if path.is_dir() and not path.name.startswith(".")):
        videos, sounds = (
            sorted(f for f in place.iterdir() if f.suffix.lower() in kinds) for kinds in (_VIDEOS, _SOUNDS)
        )
        name = subject_name(place.name)
        if len(videos) != 1:
            if videos or sounds:
                yield Task(f"learn {name}", None, f"{place} holds {len(videos)} videos, needed is one")
            continue
        yield _task("learn", name, {"video": str(videos[0]), "minutes": str(_MINUTES)}, place, None)
        for sound in sounds:
            yield _task("speak", name, {"audio": str(sound)}, place, place / "results" / f"{sound.stem}.mp4")


def _task(kind: str, name: str, given: dict[str, Any], here: Path, out: Path | None) -> Task:
    shown = f"{kind} {name}" + (f": {out.name}" if out is not None else "")
    try:
        order = Order(kind, name, {key: _value(kind, key, text, here) for key, text in given.items()})
        check_order(order)
    except UserError as error:
        return Task(shown, None, str(error), out)
    return Task(shown, order, "", out)


def _value(kind: str, key: str, text: Any, here: Path) -> Value:
    if not isinstance(text, str):
        raise UserError(f"{key} is {text!r}, needed is one value")
    parameter = KINDS[kind].get(key)
    if parameter is None:
        raise UserError(f"a job {kind!r} has no parameter {key!r}: it has {', '.join(KINDS[kind])}")
    return str(here / text) if parameter.kind == FILE else parameter.read(text)


def _stamp(file: Path) -> list[int]:
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]
