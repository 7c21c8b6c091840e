"""`speech2lip render`: new audio, dubbing, and audio that arrives."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ..config import DEVICES, SILENCES, parse_setting, shown
from ..errors import UserError
from ..files import check_input
from .common import Command, add_label, add_model, label_of, model_of


def _add_render(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the one it was trained on)")
    parser.add_argument("--audio", type=Path, help="what the person shall say")
    parser.add_argument("--out", type=Path, required=True, help="the video to write")
    parser.add_argument("--start", type=int, help="source frame to start on (default 0, or the loop's first)")
    parser.add_argument("--segments", type=Path, metavar="TIMES", help=(
        "dub the source: speak in the spans of a .srt, .vtt or .csv file alone. AUDIO is then heard at its own times; without it, "
        "sound that the .csv names or the spans' text is"))  # fmt: skip
    parser.add_argument("--keep-length", action="store_true", help=(
        "as many frames as the source: silence follows shorter sound, longer sound is refused"))  # fmt: skip
    parser.add_argument(
        "--loop", metavar="A:B", help="walk forth and back from source frame A to B (default: the whole clip)"
    )
    parser.add_argument("--silence", choices=SILENCES, help=(
        "where nobody speaks: the mouth rests (close), keeps small movement (natural), or follows the sound (off)"))  # fmt: skip
    parser.add_argument("--articulation", type=float, help="factor on the movement of the mouth (default 1)")
    parser.add_argument("--steady", type=float, help="how much lips are smoothed over time, 0 to 1 (default 0)")
    parser.add_argument("--pose", metavar="POSE", help=(
        "the head: hold: keeps still; a number: moves as in the clip, calmer (below 1) or stronger (above 1); FILE: follows a "
        "motion: JSON of `speech2lip pose`, a subject's folder, or a video of a head (default: source, as in the clip)"))  # fmt: skip
    parser.add_argument("--device", default="auto", help=DEVICES)
    parser.add_argument("--stream", action="store_true", help=(
        "render while the audio arrives: AUDIO is - (16 kHz, 16-bit mono PCM on standard input) or a growing WAV file, "
        "OUT is .mkv, .ts, .mp4 or - (Matroska on standard output), without content credentials"))  # fmt: skip
    add_label(parser)
    parser.add_argument("settings", nargs="*", metavar="render.KEY=value", help="entries of section render to change")


def _render(options: argparse.Namespace) -> int:
    model = model_of(options)
    _check_render(options)
    if options.stream:
        return _render_live(options, model)
    if options.segments is not None:
        return _render_dubbed(options, model)
    from ..api import posed
    from ..media.sound import check_sound
    from ..rendering.files import render_video
    from ..rendering.output import check_output

    if str(options.audio) == "-":
        raise UserError("--audio - is standard input, which is heard with --stream alone: add --stream, or give a file")
    check_input(options.audio, "speech")
    check_sound(options.audio)
    check_output(options.out, options.audio, model)
    with posed(_render_settings(options)) as given:
        count = render_video(model, options.audio, options.out, options.data, options.device, options.start or 0, given)
    print(f"{options.out}: {count} frames")
    return 0


def _check_render(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if options.segments is None and options.audio is None:
        raise UserError("no sound was given: speech2lip render --name NAME --audio speech.wav --out result.mp4")
    dubs = options.segments is not None
    apart = [
        ("--stream", options.stream and options.keep_length, "--keep-length"), ("--segments", dubs and options.stream, "--stream"),
        ("--segments", dubs and options.start is not None, "--start"), ("--segments", dubs and options.loop is not None, "--loop"),
        ("--segments", dubs and options.pose is not None, "--pose"),
        ("--segments", dubs and str(options.audio) == "-", "--audio -"),
    ]  # fmt: skip
    for one, together, other in apart:
        if together:
            raise UserError(f"{one} and {other} do not go together: leave one of them out")


def _render_dubbed(options: argparse.Namespace, model: Path) -> int:
    from ..media.sound import check_sound
    from ..rendering.dubbing import render_dubbed

    if options.audio is not None:
        check_input(options.audio, "speech")
        check_sound(options.audio)
    given = _render_settings(options)
    report = render_dubbed(model, options.segments, options.audio, options.out, options.data, options.device, given)
    print(f"{options.out}: {report}")
    return 0


def _render_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Entries of section render that options and key=value change; the latter win."""
    from ..rendering.posing import pose_settings

    by_option = {f"render.{name}": getattr(options, name) for name in ("silence", "articulation", "steady")}
    by_option["render.label"] = label_of(options)
    if options.loop is not None:
        by_option["render.loop"] = _stretch(options.loop)
    if options.keep_length:
        by_option["render.keep_length"] = True
    by_option |= {} if options.pose is None else pose_settings(options.pose)
    given = {name: value for name, value in by_option.items() if value is not None}
    return given | dict(parse_setting(text) for text in options.settings)


_MOST_DIGITS = 18  # of a frame's number; Python does not convert thousands of them


def _stretch(text: str) -> tuple[int, int]:
    """ "100:349" -> (100, 349)."""
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal() and max(len(first), len(last)) <= _MOST_DIGITS):
        raise UserError(f"--loop is {shown(text)}, needed are the first and the last source frame, such as 100:349")
    return int(first), int(last)


def _render_live(options: argparse.Namespace, model: Path) -> int:
    from ..api import posed
    from ..media.pcm import sound_of_growing_file, sound_of_stream
    from ..rendering.live import render_live
    from ..rendering.output import check_output

    check_output(options.out, model, *([] if str(options.audio) == "-" else [options.audio]), live=True)
    sound = sound_of_stream(0) if str(options.audio) == "-" else sound_of_growing_file(options.audio)
    print("note: a stream cannot be signed: this video gets no content credentials", file=sys.stderr)
    with posed(_render_settings(options)) as given:
        report = render_live(model, options.data, sound, str(options.out), options.device, options.start or 0, given)
    print(f"{options.out}: {report}", file=sys.stderr)
    return 130 if report.interrupted else 0


COMMAND = Command(
    "make the person say new audio",
    "speech2lip render --model log/me/model.pt --audio speech.wav --out result.mp4\n"
    "  speech2lip render --model log/me/model.pt --segments times.srt --audio german.wav --out dubbed.mp4\n"
    "  microphone | speech2lip render --model log/me/model.pt --stream --audio - --out - | player", _add_render, _render,
)  # fmt: skip
