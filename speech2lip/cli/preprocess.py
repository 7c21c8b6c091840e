"""`speech2lip preprocess`: a video becomes a subject folder."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config
from ..errors import UserError
from ..names import subject_name
from .common import APART, VOICE_HELP, Command, add_clip, add_config, config_of, of_clip, subject_config

if TYPE_CHECKING:
    from ..subject.records import Subject


_LITTLE = 20.0  # seconds of clear frames, below which more is advised


def _add_preprocess(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, help="video, or folder of frames (default: data.video)")
    parser.add_argument("--voice", "--audio", type=Path, help=VOICE_HELP)
    parser.add_argument("--out", type=Path, help="the subject's folder (default: data.root, or else dataset/NAME)")
    add_clip(parser, "the folder's or the video's name")
    add_config(parser)


def _preprocess(options: argparse.Namespace) -> int:
    given = of_clip(options)
    config = config_of(options, **given)
    video = options.video or (Path(config.data.video) if config.data.video else None)
    if video is None:
        raise UserError("no video was given: use --video, or set data.video in the configuration")
    if options.out is not None:
        name = options.name if options.name is not None else subject_name(options.out.resolve().name)
        config = config_of(options, name=name, data__root=str(options.out), **given)
    elif options.name is not None or config.data.root == Config().data.root:
        named = config.name if config.name != Config().name else subject_name(video.resolve().stem)
        config = subject_config(options, named, **given)
    apart = APART if options.out is None else "give this one another folder with --out"
    subject = preprocessed(options, config, video, apart)
    print("\n".join([*findings(options, config), _ready(config, subject)]))
    return 0


def preprocessed(options: argparse.Namespace, config: Config, video: Path, apart: str) -> Subject:
    """The subject of a video, whose person is asked for consent."""
    from ..preparation.pipeline import preprocess
    from ..subject.consent import asked

    return preprocess(config, video, options.voice, apart, asked(video, options.i_have_consent))


def findings(options: argparse.Namespace, config: Config) -> list[str]:
    """What the doctor warns of in the folder that was just finished, by the usual demands where --anyway set them aside."""
    from ..diagnosis.doctor import examine_subject
    from ..diagnosis.report import short_lines

    usual = replace(config, learnable=Config().learnable) if options.anyway else config
    return short_lines(examine_subject(usual, Path(config.data.root), options.voice).diagnosis)


def _ready(config: Config, subject: Subject) -> str:
    """What can be learned of a finished folder, and the next command."""
    name = shlex.quote(subject.name)
    own = Path(config.data.root) == Path("dataset") / subject.name
    place = "" if own else f" {shlex.quote(f'data.root={config.data.root}')}"
    return "\n".join([*to_learn_from(config, subject), f"next: speech2lip train --name {name}{place}"])


def to_learn_from(config: Config, subject: Subject) -> list[str]:
    """How much of a finished folder can be learned from, and whether that is little."""
    from ..subject.layout import SubjectLayout

    clear = int(SubjectLayout(config.data.root).load_track(subject).clear.sum())
    lines = [f"{config.data.root}: {clear} of {subject.frames} frames ready for training"]
    seconds = clear / subject.fps
    if seconds < _LITTLE:
        lines.append(f"{seconds:.0f} s of this person are little: with a minute or more the mouth gets better")
    return lines


COMMAND = Command(
    "turn a video into a subject folder", "speech2lip preprocess --video me.mp4 --out dataset/me", _add_preprocess, _preprocess,
)  # fmt: skip
