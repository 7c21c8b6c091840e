"""One person -> one archive: the subject's folder, the model, and what a reader wants to know."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import UserError
from ..files import check_writable, is_there
from ..locks import reader_of
from ..media.images import frame_files
from ..model.checkpoint import load_checkpoint, relabelled
from ..names import is_folder_name
from ..subject.layout import SubjectLayout
from ..subject.records import Subject
from ..subject.source import read_record
from .archive import Content, Manifest, write_archive
from .places import FRAMES, MODEL, Person, Places, sorted_out, source_name, subject_files

SUBJECT_PART, MODEL_PART = "subject", "model"


def export_subject(name: str, out: Path, places: Places) -> Manifest:
    """Write everything that another computer needs to render `name` into the new file `out`; returns what is in it.

    The state of a training, reports and results stay here. UserError for a subject that is not ready, and while it is written.
    """
    person = places.known(name)
    if os.path.lexists(out):
        raise UserError(is_there(out))
    check_writable(out)
    with ExitStack() as locks:
        for folder in (person.folder, person.models):
            if folder.is_dir():
                locks.enter_context(reader_of(folder, "speech2lip subjects export"))
        subject = person.layout.load_subject()
        person.layout.load_track(subject)
        members = dict(_subject_members(person.layout, subject))
        facts = _facts(person, subject)
        if person.model.is_file():
            members[f"{MODEL_PART}/{MODEL}"] = relabelled(person.model, _portable(person))
            facts["trained"] = int(person.model.stat().st_mtime)
        return write_archive(out, name, facts, members)


def _portable(person: Person) -> dict[str, Any]:
    """Entries of a checkpoint's configuration that name places of this computer -> what another may read."""
    usual = Config()
    changes = {
        "data.root": f"dataset/{person.name}", "data.video": "", "data.face": "", "train.output": usual.train.output,
        "render.output": usual.render.output, "model.prior": "", "render.signing_key": "", "render.certificate": "",
        "render.pose": "source",
    }  # fmt: skip
    model = load_checkpoint(person.model).config.audio.model
    return changes | ({"audio.model": ""} if os.path.isabs(model) else {})


def _facts(person: Person, subject: Subject) -> dict[str, Any]:
    consent = None if subject.consent is None else asdict(subject.consent)
    return {
        "frames": subject.frames, "fps": subject.fps, "size": list(subject.size), "source": source_name(person.layout),
        "consent": consent,
    }  # fmt: skip


def _subject_members(layout: SubjectLayout, subject: Subject) -> Iterator[tuple[str, Content]]:
    """Files of a subject's folder by their place in the archive; those that name other places, without."""
    _check_features(layout, subject)
    source = layout.source_path(subject)
    kept, frames = _carried_source(layout, source)
    plain = {layout.subject, layout.source_record, source, layout.people, layout.sheet}  # of others nothing leaves
    for path in sorted_out(layout.root, subject_files(layout))[0]:
        if path.is_symlink():
            raise UserError(f"{path} is a link, and an archive holds files alone: preprocess the video again")
        if path not in plain and path.relative_to(layout.root).parts[0] != FRAMES:
            yield _place(layout, path), path
    for place, path in frames:
        yield f"{SUBJECT_PART}/{place}", path
    yield _place(layout, layout.subject), _json(asdict(replace(subject, source=kept)))
    record = read_record(layout.source_record)
    if record is not None:
        moved = replace(record, clip=Path(record.clip).name, kept=kept)
        yield _place(layout, layout.source_record), _json(asdict(moved))


def _carried_source(layout: SubjectLayout, source: Path) -> tuple[str, list[tuple[str, Path]]]:
    """What the source is called in the archive, and its files there that are not the folder's own pictures."""
    if source.resolve() == layout.face_images.resolve():  # an imported dataset paints on its crops
        return layout.face_images.name, []
    if source.is_file():
        suffix = source.suffix.lower()
        name = f"source{suffix if suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 10 else ''}"
        return name, [(name, source)]
    frames = frame_files(source)
    odd = [path for path in frames if not is_folder_name(path.name) or path.name.startswith(".")]
    if odd:
        raise UserError(
            f"{odd[0]} has a name that other systems do not take: rename the frames and preprocess them again"
        )
    return FRAMES, [(f"{FRAMES}/{path.name}", path) for path in frames]


def _check_features(layout: SubjectLayout, subject: Subject) -> None:
    model = str(subject.audio.get("model", ""))
    if os.path.isabs(model):
        raise UserError(
            f"{layout.subject} has audio features of {model}, which no archive carries: preprocess with audio.model as a name of "
            "the hub or a relative path, and train again"
        )


def _place(layout: SubjectLayout, path: Path) -> str:
    return f"{SUBJECT_PART}/{path.relative_to(layout.root).as_posix()}"


def _json(content: dict[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()
