"""`speech2lip listen`: how far sound lies from the training."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config import DEVICES
from ..files import check_input
from .common import Command, add_model, model_of


def _add_listen(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the one it was trained on)")
    parser.add_argument("--audio", type=Path, nargs="+", required=True, help="files with sound")
    parser.add_argument("--device", default="auto", help=DEVICES)


def _listen(options: argparse.Namespace) -> int:
    from ..media.sound import check_sound
    from ..rendering.listening import listen

    model = model_of(options)
    for file in options.audio:
        check_input(file, "speech")
        check_sound(file)
    for impression in listen(model, options.audio, options.data, options.device):
        print(impression, flush=True)
    return 0


COMMAND = Command(
    "say how far sound lies from the speech that a model was trained on",
    "speech2lip listen --name me --audio speech.wav other.wav", _add_listen, _listen,
)  # fmt: skip
