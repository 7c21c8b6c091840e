"""`speech2lip import`: the authors' own files."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import Command


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("checkpoint", "dataset", "config"), help="what the file is")
    parser.add_argument("path", type=Path, help="checkpoint (.pt), dataset folder, or YAML file of the authors")
    parser.add_argument(
        "--out",
        type=Path,
        help="what to write (default: log/NAME/model.pt, dataset/NAME_imported, configs/imported/NAME.yaml)",
    )
    parser.add_argument("--data", type=Path, help="checkpoint: the imported dataset (default: dataset/NAME_imported)")
    parser.add_argument("--name", help="name of the subject (default: from the file's name)")


def _import(options: argparse.Namespace) -> int:
    from ..importing.checkpoint import import_checkpoint, imported_root
    from ..importing.config import import_config
    from ..importing.dataset import import_dataset

    path: Path = options.path
    if options.kind == "dataset":
        out = options.out or imported_root(path)
        subject = import_dataset(path, out, options.name or path.name.removesuffix("_face_crop_lip"))
        print(f"{out}: {subject.frames} frames of {subject.name}")
    elif options.kind == "checkpoint":
        name = options.name or path.stem.removeprefix("model_")
        out = options.out or Path("log") / name / "model.pt"
        import_checkpoint(path, options.data or imported_root(Path(name)), out)
        print(f"{out}: the published model, for `speech2lip render`")
    else:
        out = options.out or Path("configs/imported") / f"{path.stem}.yaml"
        unused = import_config(path, out)
        print(f"{out}: written" + (f"; without a meaning here: {', '.join(unused)}" if unused else ""))
    return 0


COMMAND = Command(
    "turn the authors' own files into ours",
    "speech2lip import dataset dataset/may_face_crop_lip\n  speech2lip import checkpoint log/face_simple/may/model_may.pt "
    "--data dataset/may_imported\n  speech2lip import config may.yaml", _add_import, _import,
)  # fmt: skip
