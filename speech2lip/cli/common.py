"""What several commands share: their form, options, and the configuration that options stand for."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import Config, entries, load_settings, preset_names
from ..errors import UserError


@dataclass(frozen=True)
class Command:
    """add: declares its arguments; run: does it and returns the exit status."""

    text: str
    example: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def add_config(parser: argparse.ArgumentParser) -> None:
    presets = ", ".join(preset_names())
    parser.add_argument("--config", help=f"YAML file, or a preset: {presets} (default: built-in defaults)")
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="entries to change; `speech2lip config` lists them"
    )


def add_choices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--face", metavar="N|PICTURE", help="whose face, where several people are seen: a number on the sheet of people (people.jpg in "
        "the subject's folder), or a picture of the person (default: the one seen most)",
    )  # fmt: skip
    parser.add_argument(
        "--video-stream", type=int, metavar="N", help="the clip's picture, by the file's number (default: the main one)"
    )
    parser.add_argument(
        "--audio-stream", type=int, metavar="N", help="the clip's sound, by the file's number (default: the main one)"
    )


def choices(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "data__face": options.face,
        "data__video_stream": options.video_stream,
        "data__audio_stream": options.audio_stream,
    }


def config_of(options: argparse.Namespace, **given: Any) -> Config:
    """given: values that other options stand for, `section__key=value`; None where the option was not used."""
    values = {name.replace("__", "."): value for name, value in given.items() if value is not None}
    return load_settings(options.config, values, options.settings)


def add_name(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--name", help=f"name of the subject: dataset/NAME and log/NAME (default: {default})")


def subject_config(options: argparse.Namespace, name: str | None, **given: Any) -> Config:
    """The configuration of one subject: its folder is dataset/NAME, unless something else was asked for.

    name: where --name was not used; None: the configuration's.
    """
    chosen = name if options.name is None else options.name
    config = config_of(options, name=chosen, **given)
    if chosen is None or config.data.root != Config().data.root:
        return config
    return replace(config, data=replace(config.data, root=str(Path("dataset") / config.name)))


APART = "give this one another name with --name"  # where a folder was made from another clip


def add_clip(parser: argparse.ArgumentParser, name: str) -> None:
    """What is said of a clip from which a person is learned. name: where --name was not used, in words."""
    parser.add_argument("--i-have-consent", action="store_true", help=(
        "the person in the video agreed; otherwise a terminal is asked, once"))  # fmt: skip
    add_name(parser, name)
    add_choices(parser)
    parser.add_argument("--anyway", action="store_true", help="go on with a clip from which nothing can be learned")


def of_clip(options: argparse.Namespace) -> dict[str, Any]:
    """Settings that the options of `add_clip` stand for; with --anyway no clip is refused for what can be learned of it."""
    least = {"seconds": 0.0, "level": -400.0, "lips": 0.0, "sync": -1.0} if options.anyway else {}
    return {**choices(options), **{f"learnable__{name}": value for name, value in least.items()}}


VOICE_HELP = "the clip's own speech, where the video has no sound or another (default: the video's sound)"


def add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, help="checkpoint, log/NAME/model.pt")
    parser.add_argument("--name", help="name of the subject, instead of --model: log/NAME/model.pt")


def model_of(options: argparse.Namespace) -> Path:
    """The checkpoint that was asked for."""
    if (options.model is None) == (options.name is None):
        raise UserError("give either --model, or --name for log/NAME/model.pt")
    if options.model is not None:
        return Path(options.model)
    name = load_settings(None, {"name": options.name}).name
    model = Path("log") / name / "model.pt"
    if not model.is_file() and Path("dataset", name, "subject.json").is_file():
        raise UserError(f"{model} does not exist: train it first: speech2lip train --name {shlex.quote(name)}")
    return model


_USUAL_LABEL = "AI-generated"


def add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--label", nargs="?", const=_USUAL_LABEL, metavar="TEXT", help=(
        f"draw a visible mark into a corner of every frame (TEXT: {_USUAL_LABEL})"))  # fmt: skip


def label_of(options: argparse.Namespace) -> str | None:
    """The text of --label. A setting that follows --label is none."""
    text: str | None = options.label
    if text is not None and text.partition("=")[0] in {name for name, _, _ in entries()}:
        options.settings.append(text)
        return _USUAL_LABEL
    return text


_PORTS = 65_536


def add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--port", type=int, default=7860, help="default: 7860")
    parser.add_argument("--jobs", type=int, metavar="N", help="jobs at once (default: one for every two cores)")


def check_listening(options: argparse.Namespace) -> None:
    """Refuse a port that is none, and no jobs."""
    if not 0 < options.port < _PORTS:
        raise UserError(f"--port {options.port} is no port: give a number from 1 to {_PORTS - 1}")
    if options.jobs is not None and options.jobs < 1:
        raise UserError(f"--jobs {options.jobs} works on nothing: give at least 1")
