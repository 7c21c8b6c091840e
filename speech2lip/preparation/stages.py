"""Stages of preprocessing as data, and the one function that runs them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..files import atomic_path
from ..subject.layout import facts_of

_PIECE = 2**20  # bytes that are read at once


@dataclass(frozen=True)
class Stage:
    """One step of preprocessing.

    version: raised whenever the code computes something else, so that old results are not kept;
    inputs: everything that enters, by name (results of earlier stages enter by themselves);
    outputs: files that are there when it has finished; labelled: one of them is a `subject.json`, whose labels may change;
    chosen: further inputs, which are known only when the stages before are finished.
    """

    name: str
    version: int
    inputs: Mapping[str, Any]
    outputs: tuple[Path, ...]
    work: Callable[[], None]
    labelled: Path | None = None
    chosen: Callable[[], Mapping[str, Any]] = dict

    def key(self, before: str) -> str:
        """Identity of its result: of its code, of what enters, and of the stages before it, which are finished."""
        content = [before, self.name, self.version, {**self.inputs, **self.chosen()}]
        return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def run_stages(stages: Sequence[Stage], marks: Path, result: Path) -> None:
    """Run what is not up to date, in order; what is finished with the same input is kept.

    marks: JSON file of finished stages and their seconds; result: the file that makes a folder
    complete, written by the last stage. Before a stage begins, its mark, those of all later ones and
    the result are removed: whatever it overwrites and wherever it is killed, nothing half-made is taken
    for finished.
    """
    done, before = _read_marks(marks), ""
    for number, stage in enumerate(stages):
        key = stage.key(before)
        before = key
        mark = done.get(stage.name, {})
        if mark.get("key") == key:
            if mark["outputs"] == outputs_of(stage):
                print(f"{stage.name}: unchanged, kept")
                continue
            print(f"{stage.name}: its files were changed or damaged, made again")
        done = {s.name: done[s.name] for s in stages[:number] if s.name in done}
        result.unlink(missing_ok=True)
        _write_marks(marks, done)
        start = time.monotonic()
        stage.work()
        seconds = round(time.monotonic() - start, 3)
        done[stage.name] = {"key": key, "seconds": seconds, "outputs": outputs_of(stage)}
        _write_marks(marks, done)


def up_to_date(stages: Sequence[Stage], marks: Path) -> bool:
    """Whether stages would be kept as they are."""
    done, before = _read_marks(marks), ""
    for stage in stages:
        before = stage.key(before)
        mark = done.get(stage.name, {})
        if mark.get("key") != before or mark["outputs"] != outputs_of(stage):
            return False
    return True


def stage_seconds(marks: Path) -> dict[str, float]:
    """Seconds that each finished stage took."""
    return {name: float(mark["seconds"]) for name, mark in _read_marks(marks).items()}


def outputs_of(stage: Stage) -> str:
    """Identity of what a stage wrote: of files their content, of folders the names and sizes of their files."""
    digest = hashlib.sha256()
    for path in stage.outputs:
        if path.is_dir():
            listed = sorted((entry.name, entry.stat().st_size) for entry in os.scandir(path))
            digest.update(repr(listed).encode())
        elif path.is_file():
            if path == stage.labelled:
                digest.update(facts_of(path))
            else:
                with open(path, "rb") as stream:
                    while piece := stream.read(_PIECE):
                        digest.update(piece)
            digest.update(b" file ")
        else:
            digest.update(b" nothing ")
    return digest.hexdigest()


def _read_marks(path: Path) -> dict[str, dict[str, Any]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {
            str(name): {"key": mark["key"], "seconds": float(mark["seconds"]), "outputs": mark["outputs"]}
            for name, mark in content.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # unreadable marks vouch for nothing: everything is done again


def _write_marks(path: Path, done: Mapping[str, Any]) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(done, indent=1), encoding="utf-8")
