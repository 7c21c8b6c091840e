"""`speech2lip serve`: subjects, trainings and results over HTTP."""

from __future__ import annotations

import argparse
from pathlib import Path

from .common import Command, add_jobs, check_listening


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=Path("."), help="folder of everything (default: this one)")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine alone)"
    )
    add_jobs(parser)
    parser.add_argument("--add-user", metavar="NAME", help="make a user, print the token, and end")
    parser.add_argument("--remove-user", metavar="NAME", help="make a user's token useless, and end")


def _serve(options: argparse.Namespace) -> int:
    from ..extras import needs

    needs("service", "fastapi", "uvicorn")
    from ..service.server import serve
    from ..service.users import Users

    if options.add_user is not None:
        print(Users(options.data).add(options.add_user))
        return 0
    if options.remove_user is not None:
        Users(options.data).remove(options.remove_user)
        print(f"{options.remove_user} has no access any more; the folder stays")
        return 0
    check_listening(options)
    serve(options.data, options.host, options.port, options.jobs)
    return 0


COMMAND = Command(
    "serve subjects, trainings and results over HTTP",
    "speech2lip serve\n  speech2lip serve --data /srv/speech2lip --add-user anna\n"
    "  speech2lip serve --data /srv/speech2lip --host 0.0.0.0", _add_serve, _serve,
)  # fmt: skip
