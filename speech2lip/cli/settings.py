"""`speech2lip config`: what can be set."""

from __future__ import annotations

import argparse

from ..config import entries, load_settings, preset_names, suggestion
from ..errors import UserError
from .common import Command


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yaml", action="store_true", help="print a commented YAML file")
    parser.add_argument("--changed", action="store_true", help="print only what differs from the defaults")
    parser.add_argument("--config", help=f"YAML file, or a preset: {', '.join(preset_names())}")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY | key=value", help="a key or section to show, or an entry to change"
    )


def _show(options: argparse.Namespace) -> int:
    from ..config_text import as_table, as_yaml

    shown = [s for s in options.settings if "=" not in s]
    known = [name for name, _, _ in entries()]
    for name in shown:
        if name not in known:
            guess = suggestion(name, known) or ": `speech2lip config` lists them"
            raise UserError(f"there is no key or section {name!r}{guess}")
    config = load_settings(options.config, {}, [s for s in options.settings if "=" in s])
    if options.yaml:
        print(as_yaml(config), end="")
        return 0
    for under in shown or [""]:
        print(as_table(config, under, options.changed))
    return 0


COMMAND = Command(
    "show every setting with its default, range and meaning",
    "speech2lip config train\n  speech2lip config --yaml > me.yaml\n  speech2lip config --config faithful --changed", _add_show, _show,
)  # fmt: skip
