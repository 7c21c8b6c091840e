"""`speech2lip studio`: the page in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import Command, add_jobs, check_listening


def _add_studio(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("."), help="folder of everything (default: this one)")
    add_jobs(parser)
    parser.add_argument("--trusted-host", metavar="ADDRESS", default="", help=(
        "listen there without asking for tokens, as in a container whose port is published to one machine alone"))  # fmt: skip
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")


def _studio(options: argparse.Namespace) -> int:
    from ..extras import needs

    needs("studio", "gradio", "fastapi", "uvicorn", "espeakng_loader")
    check_listening(options)
    from ..studio.run import studio

    studio(options.data, options.port, options.jobs, not options.no_browser, options.trusted_host)
    return 0


COMMAND = Command(
    "open a page in the browser: people, training, speaking", "speech2lip studio", _add_studio, _studio,
)  # fmt: skip
