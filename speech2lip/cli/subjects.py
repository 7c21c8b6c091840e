"""`speech2lip subjects`: the people who were learned."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UserError
from .common import Command

if TYPE_CHECKING:
    from ..library.places import Places


_SUBJECT_ACTIONS = {  # action: names that follow it
    "list": "", "rename": "OLD NEW", "export": "NAME", "import": "FILE", "remove": "NAME",
}  # fmt: skip


def _add_subjects(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=_SUBJECT_ACTIONS, default="list",
        help="list (default), rename OLD NEW, export NAME --out FILE, import FILE, remove NAME",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME | FILE", help="what the action needs")
    parser.add_argument("--out", type=Path, help="export: the archive to write (.zip)")
    parser.add_argument("--name", help="import: another name than the archive's")
    parser.add_argument("--yes", action="store_true", help="remove: do not ask")
    parser.add_argument("--root", type=Path, default=Path("dataset"), help="folder of the subjects (default: dataset)")
    parser.add_argument("--log", type=Path, default=Path("log"), help="folder of the models (default: log)")


def _subjects(options: argparse.Namespace) -> int:
    from ..library.places import Places

    wanted = _SUBJECT_ACTIONS[options.action]
    if len(options.names) != len(wanted.split()):
        raise UserError(
            f"`speech2lip subjects {options.action}` needs {wanted or 'no names'}: {len(options.names)} names were given"
        )
    run = {
        "list": _list_subjects, "rename": _rename_subject, "export": _export_subject, "import": _import_subject,
        "remove": _remove_subject,
    }[options.action]  # fmt: skip
    run(options, Places(options.root, options.log))
    return 0


def _list_subjects(options: argparse.Namespace, places: Places) -> None:
    from ..library.listing import describe, list_subjects

    found = list_subjects(places)
    print(
        "\n".join(map(describe, found))
        if found
        else f"no subjects in {options.root}: `speech2lip preprocess` makes one"
    )


def _rename_subject(options: argparse.Namespace, places: Places) -> None:
    from ..library.changes import rename_subject

    old, new = options.names
    person = rename_subject(old, new, places)
    print(f"{places.of(old).folder} is {person.folder} now, with its models and results")


def _export_subject(options: argparse.Namespace, places: Places) -> None:
    from ..library.exports import export_subject

    if options.out is None:
        raise UserError("`speech2lip subjects export` needs --out, the archive to write, such as --out NAME.zip")
    manifest = export_subject(options.names[0], options.out, places)
    size = sum(member.size for member in manifest.files.values())
    model = "with" if "model/model.pt" in manifest.files else "without"
    print(f"{options.out}: {len(manifest.files)} files of {manifest.name}, {size / 1e6:.1f} MB, {model} a model")


def _import_subject(options: argparse.Namespace, places: Places) -> None:
    from ..library.imports import import_subject
    from ..library.places import Places

    person = import_subject(Path(options.names[0]), places, options.name)
    name, usual = shlex.quote(person.name), places == Places()
    if person.model.is_file():
        step = f"speech2lip render --name {name} --audio SPEECH --out result.mp4"
        if not usual:
            step = f"speech2lip render --model {shlex.quote(str(person.model))} --audio SPEECH --out result.mp4"
    else:
        step = f"speech2lip train --name {name}" + ("" if usual else f" {shlex.quote(f'data.root={person.folder}')}")
    print(f"{person.folder}: imported\nnext: {step}")


def _remove_subject(options: argparse.Namespace, places: Places) -> None:
    from ..library.changes import agree_to_removal, plan_removal, remove_subject

    agree_to_removal(plan_removal(options.names[0], places), options.yes)
    print(f"removed: {remove_subject(options.names[0], places)}")


COMMAND = Command(
    "list the people who were learned; rename, export, import and remove them",
    "speech2lip subjects\n  speech2lip subjects rename anna ann\n  speech2lip subjects export ann --out ann.zip\n"
    "  speech2lip subjects import ann.zip --name anna\n  speech2lip subjects remove ann", _add_subjects, _subjects,
)  # fmt: skip
