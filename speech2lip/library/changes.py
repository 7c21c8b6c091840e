"""A person gets another name, or is removed with everything that this program made of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..files import atomic_path, move_folder, writing
from ..locks import writer_of
from ..model.checkpoint import load_checkpoint, relabelled
from ..terminal import can_ask, says_yes
from .places import MODELS, Person, Places, written_files


def rename_subject(old: str, new: str, places: Places) -> Person:
    """Give a subject, its models and the recipe's results another name; models are ready to render under it.

    UserError for a name that is taken, a subject that is not ready, and while somebody uses it; then nothing has changed.
    """
    person, renamed = places.known(old), places.new(new)
    subject = person.layout.load_subject()
    with _held(person, "speech2lip subjects rename"), ExitStack() as undo:
        for path in (person.models / name for name in MODELS):
            if path.is_file():
                _rewrite(path, relabelled(path, _labels(path, person, renamed)), undo)
        content = person.layout.subject.read_bytes()
        person.layout.save_subject(replace(subject, name=new))
        undo.callback(_write, person.layout.subject, content)
        for source, target in zip(person.parts, renamed.parts, strict=True):
            if source.is_dir() and not source.is_symlink():
                move_folder(source, target)
                undo.callback(os.rename, target, source)
        undo.pop_all()
    return renamed


def _labels(path: Path, person: Person, renamed: Person) -> dict[str, Any]:
    """What a model of `person` calls its subject from now on; one that was trained on another folder keeps that."""
    root = Path(load_checkpoint(path).config.data.root)
    here = root.resolve() == person.folder.resolve()
    return {"name": renamed.name, **({"data.root": str(root.with_name(renamed.name))} if here else {})}


def _rewrite(path: Path, content: memoryview, undo: ExitStack) -> None:
    """Replace a file's content; it stays as old as it is."""
    before, status = path.read_bytes(), path.stat()
    times = status.st_atime_ns, status.st_mtime_ns
    _write(path, content)
    os.utime(path, ns=times)
    undo.callback(os.utime, path, ns=times)
    undo.callback(_write, path, before)


def _write(path: Path, content: bytes | memoryview) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


@dataclass(frozen=True)
class Removal:
    """What goes and what stays when a person is removed. folders: those of the person that there are; files: written by this
    program; others: put there by somebody else; size: bytes that are freed."""

    name: str
    folders: tuple[Path, ...]
    files: tuple[Path, ...]
    others: tuple[Path, ...]
    size: int

    def __str__(self) -> str:
        folders = ", ".join(map(str, self.folders))
        count = len(self.others)
        stay = "1 other file stays" if count == 1 else f"{count} other files stay, such as"
        kept = f"; {stay}: {self.others[0]}" if count == 1 else f"; {stay} {self.others[0]}" if count else ""
        return f"{len(self.files)} files ({self.size / 1e6:.1f} MB) of {folders}{kept}"


def plan_removal(name: str, places: Places) -> Removal:
    """Look at what `remove_subject` would remove; UserError where there is neither a subject nor a model of that name."""
    found = written_files(_somebody(name, places))
    files = [path for ours, _ in found.values() for path in ours]
    others = [path for _, theirs in found.values() for path in theirs]
    return Removal(name, tuple(found), tuple(files), tuple(others), sum(path.lstat().st_size for path in files))


def _somebody(name: str, places: Places) -> Person:
    """A subject, or one whose subject's folder is gone while models are there."""
    person = places.of(name)
    alone = person.models.is_dir() and not os.path.lexists(person.folder)
    return person if alone else places.known(name)


def remove_subject(name: str, places: Places) -> Removal:
    """Remove a person's subject folder, models, training state, reports and the recipe's results; returns what went.

    Files that this program did not write stay, and links are removed without what they lead to. UserError while somebody
    uses one of the folders.
    """
    person = _somebody(name, places)
    with _held(person, "speech2lip subjects remove"):
        plan = plan_removal(name, places)
        marks = [path for path in plan.files if path.parent == person.folder]
        for path in (*[p for p in plan.files if p not in marks], *marks):  # while it is half done, the folder is ours
            with writing(path):
                path.unlink(missing_ok=True)
        for part in person.parts:
            _remove_empty(part)
    return plan


def agree_to_removal(plan: Removal, agreed: bool) -> None:
    """Ask, unless that was answered beforehand; UserError for any answer but yes, and where nobody can be asked."""
    if agreed:
        return
    if not can_ask():
        raise UserError(f"removing {plan.name} takes away {plan}: add --yes to do it")
    if not says_yes(f"Remove {plan}?"):
        raise UserError(f"{plan.name} was not removed: you did not say yes")


@contextmanager
def _held(person: Person, work: str) -> Iterator[None]:
    """While the block runs, nobody else uses the subject's folder or its models."""
    with ExitStack() as locks:
        for folder in (person.folder, person.models):
            if folder.is_dir() and not folder.is_symlink():
                locks.enter_context(writer_of(folder, work))
        yield


def _remove_empty(folder: Path) -> None:
    """Remove a folder and those in it, where nothing is in them; links are not followed."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for here, _, _ in os.walk(folder, topdown=False):
        if not os.listdir(here):
            with writing(Path(here)):
                os.rmdir(here)
