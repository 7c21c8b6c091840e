"""`speech2lip prior`: what people have in common."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from ..config import load_settings
from ..errors import UserError
from .common import Command

_MOST_STEPS = 10_000_000


def _add_prior(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "given",
        nargs="+",
        metavar="FOLDER | key=value",
        help="subjects' folders, the more people and words the better; entries to change",
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write (.safetensors)")
    parser.add_argument("--steps", type=int, default=4000, help="of training (default: 4000)")
    parser.add_argument("--config", help="YAML file, or a preset")


def _prior(options: argparse.Namespace) -> int:
    from ..training.prior import learn_prior

    settings = [text for text in options.given if "=" in text and not Path(text).exists()]
    folders = [Path(text) for text in options.given if text not in settings]
    if not 1 <= options.steps <= _MOST_STEPS:
        raise UserError(f"--steps {options.steps} is not between 1 and {_MOST_STEPS}")
    facts = learn_prior(folders, options.out, load_settings(options.config, {}, settings), options.steps)
    people = "1 person" if len(facts.people) == 1 else f"{len(facts.people)} people"
    print(f"{options.out}: learned from {facts.frames} frames of {people}")
    print(f"next: speech2lip train --name NAME {shlex.quote(f'model.prior={options.out}')}")
    return 0


COMMAND = Command(
    "learn what several people's mouths have in common, for those of whom there is little video",
    "speech2lip prior dataset/ann dataset/bob --out people.safetensors", _add_prior, _prior,
)  # fmt: skip
