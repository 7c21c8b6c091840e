"""`speech2lip <command>`: arguments only; the work is done by the functions that are called."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from .. import __version__
from ..config import Config
from ..errors import run_guarded
from ..terminal import fill_closed
from ..threads import settle_threads
from . import (
    batch,
    demo,
    doctor,
    evaluate,
    imports,
    listen,
    pose,
    preprocess,
    prior,
    render,
    run,
    serve,
    settings,
    studio,
    subjects,
    train,
    verify,
    weights,
)
from .common import Command

_RAW = argparse.RawDescriptionHelpFormatter

COMMANDS = {
    "run": run.COMMAND,
    "preprocess": preprocess.COMMAND,
    "doctor": doctor.COMMAND,
    "train": train.COMMAND,
    "render": render.COMMAND,
    "verify": verify.COMMAND,
    "listen": listen.COMMAND,
    "pose": pose.COMMAND,
    "evaluate": evaluate.COMMAND,
    "demo": demo.COMMAND,
    "config": settings.COMMAND,
    "prior": prior.COMMAND,
    "import": imports.COMMAND,
    "subjects": subjects.COMMAND,
    "batch": batch.COMMAND,
    "studio": studio.COMMAND,
    "serve": serve.COMMAND,
    "weights": weights.COMMAND,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (2 for unusable input, 130 when interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_guarded(lambda: _main(given))


def _main(given: list[str]) -> int:
    if not given or given[0] not in COMMANDS:
        _overview().parse_args(given or ["--help"])
        return 2  # only an unknown command comes here, and argparse has ended that
    command = COMMANDS[given[0]]
    parser = parser_of(given[0], command)
    options = parser.parse_intermixed_args(_with_their_values(parser, given[1:]))
    _take_video(options)
    return command.run(options)


def entry() -> None:
    """The console script."""
    fill_closed()
    settle_threads()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file's name may be no text in this encoding
    sys.exit(main())


def _with_their_values(parser: argparse.ArgumentParser, given: Sequence[str]) -> list[str]:
    """`--video -x.mp4` -> `--video=-x.mp4`: a file's name may begin like an option, but be none."""
    known = parser._option_string_actions
    out: list[str] = []
    for word in given:
        begins_like_one = word.startswith("-") and word != "-" and word.partition("=")[0] not in known
        before = known.get(out[-1]) if out else None
        if begins_like_one and before is not None and before.nargs is None:
            out[-1] += f"={word}"
        else:
            out.append(word)
    return out


def _take_video(options: argparse.Namespace) -> None:
    """`speech2lip preprocess me.mp4`: one word that is no setting is the video of a command that takes one."""
    if getattr(options, "video", ...) is None:
        words = [word for word in options.settings if "=" not in word]
        if (
            len(words) == 1 and words[0].partition(".")[0] not in Config.__dataclass_fields__
        ):  # `train.batch` lacks a value
            options.video = Path(words[0])
            options.settings.remove(words[0])


def _overview() -> argparse.ArgumentParser:
    lines = [f"  {name:<12} {command.text}" for name, command in COMMANDS.items()]
    parser = argparse.ArgumentParser(
        prog="speech2lip", formatter_class=_RAW, usage="speech2lip COMMAND [options]",
        description="Learn a person's mouth from a video; make them say any audio.\n\ncommands:\n" + "\n".join(lines),
        epilog="example:\n  speech2lip run --video me.mp4 --audio speech.wav --out result.mp4 --minutes 30\n\n"
        "`speech2lip COMMAND --help` explains each.",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    return parser


def parser_of(name: str, command: Command) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"speech2lip {name}", description=command.text[0].upper() + command.text[1:] + ".",
        epilog=f"example:\n  {command.example}", formatter_class=_RAW,
    )  # fmt: skip
    command.add(parser)
    return parser
