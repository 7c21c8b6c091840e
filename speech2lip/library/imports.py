"""One archive of anybody's -> one person more, or nothing at all."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..arrays import Unsound
from ..audio.features import load_features
from ..config import Config
from ..errors import UserError
from ..files import new_folders, write_bytes
from ..media.images import frame_files
from ..model.checkpoint import check_same_subject, load_checkpoint, relabelled
from ..subject.layout import SubjectLayout
from ..subject.records import Subject
from ..subject.source import SourceRecord, content_hash, read_record, stamp, write_record
from .archive import Archive, reading, sound
from .exports import MODEL_PART, SUBJECT_PART
from .places import FRAMES, MODEL, SOURCE, Person, Places, subject_files

_MODEL_PLACE = f"{MODEL_PART}/{MODEL}"


def import_subject(archive: Path, places: Places, name: str | None = None) -> Person:
    """Unpack an archive of `export_subject` as a new subject, with its model; name: instead of the one in the archive.

    Everything is written and checked in temporary folders, which are moved into place at the end. UserError for an archive that
    is not sound, and for a name that is taken; then nothing is left behind.
    """
    with reading(archive) as content:
        person = places.new(content.manifest.name if name is None else name)
        with sound(archive):
            _check_places(content)
        _check_space(content, places)
        with_model = _MODEL_PLACE in content.manifest.files
        with new_folders(person.folder, *([person.models] if with_model else [])) as folders, _named(archive, folders):
            for place in content.manifest.files:
                part, _, rest = place.partition("/")
                content.extract(place, folders[0 if part == SUBJECT_PART else 1] / rest)
            layout = SubjectLayout(folders[0])
            subject = _settle_subject(layout, person.name)
            if with_model:
                _settle_model(folders[1] / MODEL, layout, subject, person)
                _settle_age(folders[1] / MODEL, content.manifest.facts.get("trained"))
    return person


def _check_places(content: Archive) -> None:
    """Refuse files that no subject has; Unsound names the first."""
    known = subject_files(SubjectLayout(Path(SUBJECT_PART)))
    for place in content.manifest.files:
        part, _, rest = place.partition("/")
        if place != _MODEL_PLACE and not (part == SUBJECT_PART and known.fullmatch(rest)):
            raise Unsound(f"{place} is no file of a subject")


def _check_space(content: Archive, places: Places) -> None:
    there = next(folder for folder in (places.data.absolute(), *places.data.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    if free < content.size:
        raise UserError(
            f"{content.path} needs {content.size / 2**20:.0f} MB, and {free / 2**20:.0f} MB are free in {there}: make room there"
        )


@contextmanager
def _named(archive: Path, folders: tuple[Path, ...]) -> Iterator[None]:
    """Errors about an unpacked file name the archive, since the file is gone when they are read."""
    try:
        yield
    except UserError as error:
        text = str(error)
        for folder in folders:
            text = text.replace(str(folder), str(archive))
        raise UserError(text) from error


def _settle_subject(layout: SubjectLayout, name: str) -> Subject:
    """Check what was unpacked, and give it its name and its source here."""
    subject = layout.load_subject()
    layout.load_track(subject)
    load_features(layout.features, subject.audio)
    missing = [path for path in (*layout.canonical_files, layout.audio, layout.face_images) if not path.exists()]
    if missing:
        raise UserError(f"{missing[0]} is missing: export the subject again where it is ready")
    if not (SOURCE.fullmatch(subject.source) or subject.source in (FRAMES, layout.face_images.name)):
        raise UserError(
            f"{layout.subject} names the source {subject.source}, needed is one in the archive: export it again"
        )
    if not (layout.root / subject.source).exists():
        raise UserError(f"{layout.root / subject.source}, the source, is missing: export the subject again")
    _settle_source(layout, subject)
    subject = replace(subject, name=name)
    layout.save_subject(subject)
    return subject


def _settle_source(layout: SubjectLayout, subject: Subject) -> None:
    """The record of the source, with the stamps that it has here."""
    source, record = layout.root / subject.source, read_record(layout.source_record)
    if source.is_dir():
        frame_files(source)
    if record is None:
        return
    digest = content_hash(source)
    if digest != record.sha256:
        raise UserError(f"{layout.source_record} tells of another source than {source}: export the subject again")
    now, clip = stamp(source), re.split(r"[/\\]", record.clip)[-1]
    write_record(layout.source_record, SourceRecord(clip, subject.source, digest, now, now))


def _settle_age(model: Path, trained: object) -> None:
    """Let a model be as old as it is, where the archive says so. trained: seconds since 1970."""
    if isinstance(trained, int) and 0 < trained <= time.time():
        os.utime(model, (trained, trained))


def _settle_model(model: Path, layout: SubjectLayout, subject: Subject, person: Person) -> None:
    """Check a model against its subject, and let it name the folder that this will lie in."""
    usual = Config()
    changes = {
        "name": person.name, "data.root": str(person.folder), "data.video": "", "model.prior": "",
        "train.output": str(person.models.parent), "render.output": usual.render.output,
    }  # fmt: skip
    write_bytes(model, relabelled(model, changes))
    check_same_subject(load_checkpoint(model).metadata, subject, layout.load_track(subject), model)
