"""`speech2lip demo`: everything on the synthetic speaker."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import Command, add_config, config_of


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("rendering_result/demo"), help="folder for the results")
    parser.add_argument("--minutes", type=float, help="training time (default: that of the preset demo)")
    parser.add_argument("--fresh", action="store_true", help="train from the beginning instead of continuing")
    add_config(parser)
    parser.set_defaults(config="demo")


def _demo(options: argparse.Namespace) -> int:
    from ..demo.run import run_demo
    from ..rendering.output import check_output

    out = options.out
    check_output(out / "generated.mp4")
    run_demo(
        config_of(
            options, name="demo", data__root=str(out / "subject"), train__minutes=options.minutes, train__output=str(out / "log")
        ), out, options.fresh,
    )  # fmt: skip
    return 0


COMMAND = Command(
    "run everything on the built-in synthetic speaker", "speech2lip demo --out demo_result", _add_demo, _demo,
)  # fmt: skip
