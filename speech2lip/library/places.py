"""Where a person's files lie, and which of them this program wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..arrays import read_json
from ..errors import UserError
from ..files import is_there
from ..locks import NAME as LOCK
from ..media.images import IMAGE_SUFFIXES
from ..names import is_folder_name
from ..subject.claim import is_subject
from ..subject.layout import SubjectLayout
from ..subject.schema import AGAIN

MODEL = "model.pt"
FRAMES = "source_frames"  # in an archive: the frames of a subject that was made from a folder of them
MODELS = (MODEL, "model.prev.pt", "model.partial.pt")  # files that name their subject
_REPORT = r"evaluation/(metrics\.json|report\.html|frames_[a-z]+\.csv)"
_PASSING = rf"(.*/)?(\.speech2lip-.*|{re.escape(LOCK)})"  # temporary files and locks
_MODEL_FILES = re.compile(
    rf"(model|model\.prev|model\.partial|last)\.pt|curves\.csv|preview\.jpg|tensorboard/events\.out\..*|{_REPORT}|{_PASSING}"
)
_RESULT_FILES = re.compile(
    rf"((example|new_audio)/)?(postfusion/[0-9]{{5,}}\.jpg|audio_test\.wav|result\.mp4|{_REPORT})|{_PASSING}"
)
SOURCE = re.compile(r"source(\.[a-z0-9]{1,9})?")


@dataclass(frozen=True)
class Person:
    """name; folder: of the subject; models: of what was trained; results: of what the published recipe renders."""

    name: str
    folder: Path
    models: Path
    results: Path

    @property
    def layout(self) -> SubjectLayout:
        return SubjectLayout(self.folder)

    @property
    def model(self) -> Path:
        return self.models / MODEL

    @property
    def parts(self) -> tuple[Path, ...]:
        """All three folders, whether or not they are there."""
        return self.folder, self.models, self.results


@dataclass(frozen=True)
class Places:
    """The folders that hold one folder for every name."""

    data: Path = Path("dataset")
    log: Path = Path("log")
    results: Path = Path("rendering_result")

    def of(self, name: str) -> Person:
        """UserError for a name that would lead elsewhere."""
        if not name or name.startswith(".") or re.search(r"[/\\\0]", name):
            raise UserError(f"{name!r} is no name of a subject: `speech2lip subjects` lists those that there are")
        return Person(name, self.data / name, self.log / name, self.results / name)

    def known(self, name: str) -> Person:
        """A person of whom there is a subject's folder of ours; UserError names those that there are."""
        person = self.of(name)
        if person.folder.is_symlink():
            raise UserError(f"{person.folder} is a link, which may lead anywhere: name the folder that it leads to")
        if not is_subject(person.layout):
            names = ", ".join(found.name for found in self.everybody()) or "none"
            raise UserError(
                f"{person.folder} is no subject of this program: give the name of one that there is: {names}"
            )
        return person

    def new(self, name: str) -> Person:
        """Somebody whose name is still free everywhere; UserError otherwise."""
        if not is_folder_name(name) or name.startswith((".", "-")):
            raise UserError(f"{name!r} cannot be a subject's name on every system: give a plain one, such as anna")
        person = self.of(name)
        for part in person.parts:
            if os.path.lexists(part):
                raise UserError(is_there(part))
        return person

    def everybody(self) -> Iterator[Person]:
        """Subjects of ours, also half-made and damaged ones, in the order of their names."""
        if not self.data.is_dir():
            return
        for folder in sorted(self.data.iterdir()):
            if not folder.name.startswith(".") and folder.is_dir() and is_subject(SubjectLayout(folder)):
                yield self.of(folder.name)


def subject_files(layout: SubjectLayout) -> re.Pattern[str]:
    """Paths that this program writes below a subject's folder, with slashes."""

    def relative(path: Path) -> str:
        return re.escape(path.relative_to(layout.root).as_posix())

    folders = (layout.face_images, layout.lip_images, layout.mouth_images)
    sound = (layout.test_features, layout.test_features.with_suffix(".json"), layout.test_audio)
    files = [relative(path) for path in (*layout.written, *sound) if path not in folders]
    numbered = rf"({'|'.join(map(relative, folders))})/[0-9]{{5,}}\.jpg|{relative(layout.grids)}/[0-9]{{5,}}\.npy"
    suffixes = "|".join(re.escape(suffix) for suffix in sorted(IMAGE_SUFFIXES))
    return re.compile(rf"{'|'.join(files)}|{numbered}|{SOURCE.pattern}|{FRAMES}/[^/]+(?i:{suffixes})")


def written_files(person: Person) -> dict[Path, tuple[list[Path], list[Path]]]:
    """Of each folder that is there: the files that this program wrote, and all others; links are files and not followed."""
    ours = {
        person.folder: re.compile(f"{subject_files(person.layout).pattern}|{_PASSING}"),
        person.models: _MODEL_FILES, person.results: _RESULT_FILES,
    }  # fmt: skip
    return {
        folder: sorted_out(folder, pattern)
        for folder, pattern in ours.items()
        if folder.is_dir() and not folder.is_symlink()
    }


def sorted_out(folder: Path, ours: re.Pattern[str]) -> tuple[list[Path], list[Path]]:
    """Files below a folder whose relative path fits, and the others, each in order."""
    fitting: list[Path] = []
    others: list[Path] = []
    for path in walked(folder):
        (fitting if ours.fullmatch(path.relative_to(folder).as_posix()) else others).append(path)
    return fitting, others


def walked(folder: Path) -> list[Path]:
    """All files below a folder, and links of any kind, in order; links are not followed."""
    out = []
    for here, folders, files in os.walk(folder):
        out += [Path(here, name) for name in files]
        out += [Path(here, name) for name in folders if Path(here, name).is_symlink()]
    return sorted(out)


def source_name(layout: SubjectLayout) -> str:
    """What the clip was called; of a folder without a record, how it is called in the folder."""
    if layout.source_record.is_file():
        return Path(str(read_json(layout.source_record, AGAIN).get("clip", ""))).name
    return Path(layout.load_subject().source).name
