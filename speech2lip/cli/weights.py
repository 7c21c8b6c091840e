"""`speech2lip weights`: optional files."""

from __future__ import annotations

import argparse

from ..errors import UserError
from .common import Command


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "fetch", "where"), default="list", help="default: list")
    parser.add_argument("name", nargs="?", help="name of a file, from the list")
    parser.add_argument("--yes", action="store_true", help="fetch: also a file for which no checksum is known")


def _weights(options: argparse.Namespace) -> int:
    from ..weights.fetch import fetch
    from ..weights.registry import FILES, describe, explain

    if options.action == "list":
        print("\n".join(describe(entry) for entry in FILES))
    elif options.name is None:
        raise UserError(f"`speech2lip weights {options.action}` needs a name: `speech2lip weights` lists them")
    elif options.action == "fetch":
        fetch(options.name, agreed=options.yes)
    else:
        print(explain(options.name))
    return 0


COMMAND = Command(
    "list, fetch and explain optional files",
    "speech2lip weights\n  speech2lip weights fetch face-landmarker\n  speech2lip weights where bfm", _add_weights, _weights,
)  # fmt: skip
