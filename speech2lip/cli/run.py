"""`speech2lip run`: everything in one go."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

from ..config import Config, parse_setting, signing_settings
from ..errors import UserError
from ..files import check_input
from ..names import subject_name
from .common import APART, VOICE_HELP, Command, add_clip, add_config, add_label, label_of, of_clip, subject_config
from .preprocess import findings, preprocessed, to_learn_from
from .train import check_training

_RUN_MINUTES = 30.0  # of training, where nothing else is asked for


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, help="a video of one person talking")
    parser.add_argument("--audio", type=Path, required=True, help="what the person shall say")
    parser.add_argument("--voice", type=Path, help=VOICE_HELP)
    parser.add_argument("--out", type=Path, required=True, help="the video to write")
    parser.add_argument("--minutes", type=float, help=(
        f"training time (default {_RUN_MINUTES:g}, unless train.minutes or train.steps is given)"))  # fmt: skip
    add_clip(parser, "the video's file name")
    parser.add_argument("--fresh", action="store_true", help="train from the beginning instead of continuing")
    add_label(parser)
    add_config(parser)


def _run(options: argparse.Namespace) -> int:
    from ..diagnosis.second_look import tell
    from ..media.sound import check_sound
    from ..provenance.signing import check_signing
    from ..rendering.files import render_video
    from ..rendering.output import check_output
    from ..training.trainer import fit

    if options.video is None:
        raise UserError("no video was given: speech2lip run --video me.mp4 --audio speech.wav --out result.mp4")
    config = _run_config(options)
    check_signing(config.render)
    check_input(options.audio, "speech")
    check_sound(options.audio)
    kept = Path(config.data.root).glob("source.*")
    check_output(options.out, options.video, options.audio, options.voice, *kept)
    check_training(config, options.fresh)
    print(_budget(options, config))
    subject = preprocessed(options, config, options.video, APART)
    print("\n".join([*to_learn_from(config, subject), *findings(options, config)]))
    model = fit(config, options.fresh, tell)
    given = signing_settings(config) | {"render.label": config.render.label}
    count = render_video(model, options.audio, options.out, device=config.train.device, settings=given)
    print(f"how good it is: speech2lip evaluate --name {shlex.quote(config.name)}\n{options.out}: {count} frames")
    return 0


def _run_config(options: argparse.Namespace) -> Config:
    """As of `subject_config`; training takes `_RUN_MINUTES` where no setting, file or option says how long."""
    name = subject_name(options.video.stem)
    given = {**of_clip(options), "render__label": label_of(options)}
    config = subject_config(options, name, train__minutes=options.minutes, **given)
    usual, train = Config().train, config.train
    asked = options.minutes is not None or {"train.minutes", "train.steps"} & _keys(options)
    if asked or (train.minutes, train.steps) != (usual.minutes, usual.steps):
        return config
    return replace(config, train=replace(train, minutes=_RUN_MINUTES))


def _keys(options: argparse.Namespace) -> set[str]:
    """Keys of the settings on the command line."""
    return {parse_setting(text)[0] for text in options.settings}


def _budget(options: argparse.Namespace, config: Config) -> str:
    """How long training will take, and what said so."""
    train = config.train
    if train.minutes == 0:
        return f"training for {train.steps} steps (train.steps)"
    by_option = options.minutes is not None or train.minutes == _RUN_MINUTES
    by = "train.minutes" if "train.minutes" in _keys(options) else "--minutes" if by_option else options.config
    return f"training for {train.minutes:g} minutes ({by})"


COMMAND = Command(
    "do everything: preprocess, train and render",
    "speech2lip run --video me.mp4 --audio speech.wav --out result.mp4 --minutes 30", _add_run, _run,
)  # fmt: skip
