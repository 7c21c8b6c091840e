"""`speech2lip train`: a model is fitted to a subject folder."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from ..config import Config
from ..errors import UserError
from ..files import check_writable
from .common import Command, add_config, add_name, subject_config


def _add_train(parser: argparse.ArgumentParser) -> None:
    add_name(parser, "the configuration's")
    parser.add_argument("--fresh", action="store_true", help="start over instead of continuing")
    add_config(parser)


def _train(options: argparse.Namespace) -> int:
    from ..diagnosis.second_look import tell
    from ..training.team import rank
    from ..training.trainer import fit

    _check_positional(options.settings)
    config = subject_config(options, None)
    _check_named(options, config)
    check_training(config, fresh=True, steps=("train",))
    model = fit(config, options.fresh, tell)
    if rank() > 0:  # of several processes, one talks
        return 0
    print(f"model: {model}\nnext: speech2lip render {_which(model, config)} --audio SPEECH --out result.mp4")
    return 0


def _which(model: Path, config: Config) -> str:
    """The option of `render` for a model that was just trained."""
    if model == Path("log", config.name, "model.pt"):
        return f"--name {shlex.quote(config.name)}"
    return f"--model {shlex.quote(str(model))}"


def _check_positional(settings: Sequence[str]) -> None:
    """Refuse the folder of a subject in the place of a setting."""
    for text in settings:
        if "=" not in text and Path(text).is_dir():
            name = shlex.quote(Path(text).resolve().name)
            raise UserError(f"{text} is a subject's folder: speech2lip train --name {name}")


def _check_named(options: argparse.Namespace, config: Config) -> None:
    """Where no subject was named, name those that there are."""
    if options.name is not None or config.data.root != Config().data.root or config.name != Config().name:
        return
    there = sorted(p.parent.name for p in Path("dataset").glob("*/subject.json"))
    if there and not Path(config.data.root, "subject.json").is_file():
        raise UserError(f"no subject was named: give --name; there are: {', '.join(there)}")


def check_training(config: Config, fresh: bool, steps: Sequence[str] = ("preprocess", "train")) -> None:
    """Refuse, before anything slow, a training that could not be written, that lacks an optional file of one of its steps,
    or that would be mixed with another's."""
    from ..model.device import pick_device
    from ..subject.layout import SubjectLayout
    from ..weights.wanted import check_weights

    pick_device(config.train.device)
    check_weights(config, steps)
    folder, layout = Path(config.train.output) / config.name, SubjectLayout(config.data.root)
    check_writable(folder / "last.pt")
    kept = [p for p in (folder / "last.pt", folder / "model.pt") if p.is_file()]
    if kept and not fresh and not layout.subject.is_file() and not layout.source_record.is_file():
        raise UserError(
            f"{kept[0]} was trained on a subject whose folder {layout.root} is gone: give this clip another name with --name, or "
            "train from the beginning with --fresh"
        )


COMMAND = Command(
    "fit a model to a subject folder", "speech2lip train --name me train.minutes=30", _add_train, _train,
)  # fmt: skip
