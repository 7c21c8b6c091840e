"""`speech2lip <command>`: arguments only; the work is done by the functions that are called."""

from __future__ import annotations

import argparse
import io
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import __version__
from .config import (
    DEVICES,
    SILENCES,
    Config,
    entries,
    load_settings,
    parse_setting,
    preset_names,
    signing_settings,
    suggestion,
)
from .errors import UserError, run_guarded
from .files import check_input, check_writable
from .names import subject_name
from .terminal import fill_closed
from .threads import settle_threads

if TYPE_CHECKING:
    from .library.places import Places
    from .subject.records import Subject

_RAW = argparse.RawDescriptionHelpFormatter


@dataclass(frozen=True)
class Command:
    """add: declares its arguments; run: does it and returns the exit status."""

    text: str
    example: str
    add: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (2 for unusable input, 130 when interrupted)."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return run_guarded(lambda: _main(given))


def _main(given: list[str]) -> int:
    if not given or given[0] not in COMMANDS:
        _overview().parse_args(given or ["--help"])
        return 2  # only an unknown command comes here, and argparse has ended that
    command = COMMANDS[given[0]]
    parser = _parser(given[0], command)
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


def _parser(name: str, command: Command) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"speech2lip {name}", description=command.text[0].upper() + command.text[1:] + ".",
        epilog=f"example:\n  {command.example}", formatter_class=_RAW,
    )  # fmt: skip
    command.add(parser)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    presets = ", ".join(preset_names())
    parser.add_argument("--config", help=f"YAML file, or a preset: {presets} (default: built-in defaults)")
    parser.add_argument(
        "settings", nargs="*", metavar="key=value", help="entries to change; `speech2lip config` lists them"
    )


def _add_choices(parser: argparse.ArgumentParser) -> None:
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


def _choices(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "data__face": options.face,
        "data__video_stream": options.video_stream,
        "data__audio_stream": options.audio_stream,
    }


def _config(options: argparse.Namespace, **given: Any) -> Config:
    """given: values that other options stand for, `section__key=value`; None where the option was not used."""
    values = {name.replace("__", "."): value for name, value in given.items() if value is not None}
    return load_settings(options.config, values, options.settings)


def _add_name(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument("--name", help=f"name of the subject: dataset/NAME and log/NAME (default: {default})")


def _add_consent(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--i-have-consent",
        action="store_true",
        help="the person in the video agreed; otherwise a terminal is asked, once",
    )


def _subject_config(options: argparse.Namespace, name: str | None, **given: Any) -> Config:
    """The configuration of one subject: its folder is dataset/NAME, unless something else was asked for.

    name: where --name was not used; None: the configuration's.
    """
    chosen = name if options.name is None else options.name
    config = _config(options, name=chosen, **given)
    if chosen is None or config.data.root != Config().data.root:
        return config
    return replace(config, data=replace(config.data, root=str(Path("dataset") / config.name)))


_APART = "give this one another name with --name"  # where a folder was made from another clip


# ---------------------------------------------------------------- run

_RUN_MINUTES = 30.0  # of training, where nothing else is asked for


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, help="a video of one person talking")
    parser.add_argument("--audio", type=Path, required=True, help="what the person shall say")
    parser.add_argument("--voice", type=Path, help=_VOICE_HELP)
    parser.add_argument("--out", type=Path, required=True, help="the video to write")
    parser.add_argument("--minutes", type=float, help=(
        f"training time (default {_RUN_MINUTES:g}, unless train.minutes or train.steps is given)"))  # fmt: skip
    _add_consent(parser)
    _add_name(parser, "the video's file name")
    _add_choices(parser)
    parser.add_argument("--fresh", action="store_true", help="train from the beginning instead of continuing")
    _add_label(parser)
    _add_anyway(parser)
    _add_config(parser)


def _add_anyway(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--anyway", action="store_true", help="go on with a clip from which nothing can be learned")


def _anyway(options: argparse.Namespace) -> dict[str, Any]:
    """Settings under which no clip is refused for what can be learned of it."""
    least = {"seconds": 0.0, "level": -400.0, "lips": 0.0, "sync": -1.0}
    return {f"learnable__{name}": value for name, value in least.items()} if options.anyway else {}


_VOICE_HELP = "the clip's own speech, where the video has no sound or another (default: the video's sound)"


def _run(options: argparse.Namespace) -> int:
    from .media.sound import check_sound
    from .provenance.signing import check_signing
    from .rendering.files import render_video
    from .rendering.output import check_output
    from .training.trainer import fit

    if options.video is None:
        raise UserError("no video was given: speech2lip run --video me.mp4 --audio speech.wav --out result.mp4")
    config = _run_config(options)
    check_signing(config.render)
    check_input(options.audio, "speech")
    check_sound(options.audio)
    kept = Path(config.data.root).glob("source.*")
    check_output(options.out, options.video, options.audio, options.voice, *kept)
    _check_training(config, options.fresh)
    print(_budget(options, config))
    subject = _preprocessed(options, config, options.video, _APART)
    print("\n".join([*_to_learn_from(config, subject), *_findings(options, config)]))
    model = fit(config, options.fresh)
    given = signing_settings(config) | {"render.label": config.render.label}
    count = render_video(model, options.audio, options.out, device=config.train.device, settings=given)
    print(f"how good it is: speech2lip evaluate --name {shlex.quote(config.name)}\n{options.out}: {count} frames")
    return 0


def _run_config(options: argparse.Namespace) -> Config:
    """As of `_subject_config`; training takes `_RUN_MINUTES` where no setting, file or option says how long."""
    name = subject_name(options.video.stem)
    given = {**_choices(options), **_anyway(options), "render__label": _label(options)}
    config = _subject_config(options, name, train__minutes=options.minutes, **given)
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


def _check_training(config: Config, fresh: bool, steps: Sequence[str] = ("preprocess", "train")) -> None:
    """Refuse, before anything slow, a training that could not be written, that lacks an optional file of one of its steps,
    or that would be mixed with another's."""
    from .model.device import pick_device
    from .subject.layout import SubjectLayout
    from .weights.wanted import check_weights

    pick_device(config.train.device)
    check_weights(config, steps)
    folder, layout = Path(config.train.output) / config.name, SubjectLayout(config.data.root)
    check_writable(folder / "last.pt")
    kept = [p for p in (folder / "last.pt", folder / "model.pt") if p.is_file()]
    if kept and not fresh and not layout.subject.is_file() and not layout.source_record.is_file():
        raise UserError(
            f"{kept[0]} was trained on a subject whose folder {layout.root} is gone: give this clip another name with --name, or "
            "train from the beginning with --fresh"
        )


# ---------------------------------------------------------------- preprocess

_LITTLE = 20.0  # seconds of clear frames, below which more is advised


def _add_preprocess(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, help="video, or folder of frames (default: data.video)")
    parser.add_argument("--voice", "--audio", type=Path, help=_VOICE_HELP)
    parser.add_argument("--out", type=Path, help="the subject's folder (default: data.root, or else dataset/NAME)")
    _add_consent(parser)
    _add_name(parser, "the folder's or the video's name")
    _add_choices(parser)
    _add_anyway(parser)
    _add_config(parser)


def _preprocess(options: argparse.Namespace) -> int:
    given = {**_choices(options), **_anyway(options)}
    config = _config(options, **given)
    video = options.video or (Path(config.data.video) if config.data.video else None)
    if video is None:
        raise UserError("no video was given: use --video, or set data.video in the configuration")
    if options.out is not None:
        name = options.name if options.name is not None else subject_name(options.out.resolve().name)
        config = _config(options, name=name, data__root=str(options.out), **given)
    elif options.name is not None or config.data.root == Config().data.root:
        named = config.name if config.name != Config().name else subject_name(video.resolve().stem)
        config = _subject_config(options, named, **given)
    apart = _APART if options.out is None else "give this one another folder with --out"
    subject = _preprocessed(options, config, video, apart)
    print("\n".join([*_findings(options, config), _ready(config, subject)]))
    return 0


def _preprocessed(options: argparse.Namespace, config: Config, video: Path, apart: str) -> Subject:
    """The subject of a video, whose person is asked for consent."""
    from .preparation.pipeline import preprocess
    from .subject.consent import asked

    return preprocess(config, video, options.voice, apart, asked(video, options.i_have_consent))


def _findings(options: argparse.Namespace, config: Config) -> list[str]:
    """What the doctor warns of in the folder that was just finished, by the usual demands where --anyway set them aside."""
    from .diagnosis.doctor import examine_subject
    from .diagnosis.report import short_lines

    usual = replace(config, learnable=Config().learnable) if options.anyway else config
    return short_lines(examine_subject(usual, Path(config.data.root), options.voice).diagnosis)


def _ready(config: Config, subject: Subject) -> str:
    """What can be learned of a finished folder, and the next command."""
    name = shlex.quote(subject.name)
    own = Path(config.data.root) == Path("dataset") / subject.name
    place = "" if own else f" {shlex.quote(f'data.root={config.data.root}')}"
    return "\n".join([*_to_learn_from(config, subject), f"next: speech2lip train --name {name}{place}"])


def _to_learn_from(config: Config, subject: Subject) -> list[str]:
    """How much of a finished folder can be learned from, and whether that is little."""
    from .subject.layout import SubjectLayout

    clear = int(SubjectLayout(config.data.root).load_track(subject).clear.sum())
    lines = [f"{config.data.root}: {clear} of {subject.frames} frames ready for training"]
    seconds = clear / subject.fps
    if seconds < _LITTLE:
        lines.append(f"{seconds:.0f} s of this person are little: with a minute or more the mouth gets better")
    return lines


# ---------------------------------------------------------------- doctor


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--video", type=Path, help="a video of one person talking, or a subject's folder; may stand alone"
    )
    parser.add_argument("--voice", type=Path, help=_VOICE_HELP)
    parser.add_argument("--out", type=Path, help="folder of the report (default: dataset/NAME/doctor)")
    _add_name(parser, "the video's file name")
    _add_choices(parser)
    parser.add_argument("--anyway", action="store_true", help="end with status 0 also for a clip that cannot work")
    _add_config(parser)


def _doctor(options: argparse.Namespace) -> int:
    from .diagnosis.doctor import examine_subject, examine_video, is_subject
    from .diagnosis.report import check_place, lines_of, write_report

    video: Path | None = options.video
    if video is None:
        raise UserError("no video was given: speech2lip doctor me.mp4")
    known = is_subject(video)
    if known and options.face is not None:
        raise UserError(
            f"{video} is a finished subject, whose face is chosen: give the video to --video for another --face"
        )
    config = _config(options) if known else _subject_config(options, subject_name(video.stem), **_choices(options))
    out = options.out or (video if known else Path(config.data.root)) / "doctor"
    check_place(out)
    check_writable(out / "report.html")
    found = (
        examine_subject(config, video, options.voice) if known else examine_video(config, video, options.voice, _APART)
    )
    print("\n".join(lines_of(found.diagnosis)))
    page = write_report(found, out)
    print(f"report: {page}")
    hopeless = found.diagnosis.hopeless
    if hopeless and not options.anyway:
        worst = hopeless[0]
        raise UserError(
            f"{video} cannot work, because {worst.text}: {worst.remedy.rstrip('.')} (or go on with --anyway)"
        )
    return 0


# ---------------------------------------------------------------- train


def _add_train(parser: argparse.ArgumentParser) -> None:
    _add_name(parser, "the configuration's")
    parser.add_argument("--fresh", action="store_true", help="start over instead of continuing")
    _add_config(parser)


def _train(options: argparse.Namespace) -> int:
    from .training.trainer import fit

    _check_positional(options.settings)
    config = _subject_config(options, None)
    _check_named(options, config)
    _check_training(config, fresh=True, steps=("train",))
    model = fit(config, options.fresh)
    print(f"model: {model}\nnext: speech2lip render {_which(model, config)} --audio SPEECH --out result.mp4")
    return 0


def _which(model: Path, config: Config) -> str:
    """The option of `render` for a model that was just trained."""
    if model == Path("log", config.name, "model.pt"):
        return f"--name {shlex.quote(config.name)}"
    return f"--model {shlex.quote(str(model))}"


def _check_positional(settings: Sequence[str]) -> None:
    """Refuse the folder of a subject in the place of a setting."""
    for text in settings:
        if "=" not in text and Path(text).is_dir():
            name = shlex.quote(Path(text).resolve().name)
            raise UserError(f"{text} is a subject's folder: speech2lip train --name {name}")


def _check_named(options: argparse.Namespace, config: Config) -> None:
    """Where no subject was named, name those that there are."""
    if options.name is not None or config.data.root != Config().data.root or config.name != Config().name:
        return
    there = sorted(p.parent.name for p in Path("dataset").glob("*/subject.json"))
    if there and not Path(config.data.root, "subject.json").is_file():
        raise UserError(f"no subject was named: give --name; there are: {', '.join(there)}")


# ---------------------------------------------------------------- render


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", type=Path, help="checkpoint, log/NAME/model.pt")
    parser.add_argument("--name", help="name of the subject, instead of --model: log/NAME/model.pt")


def _model(options: argparse.Namespace) -> Path:
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


def _add_render(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
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
    _add_label(parser)
    parser.add_argument("settings", nargs="*", metavar="render.KEY=value", help="entries of section render to change")


_USUAL_LABEL = "AI-generated"


def _add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--label", nargs="?", const=_USUAL_LABEL, metavar="TEXT", help=(
        f"draw a visible mark into a corner of every frame (TEXT: {_USUAL_LABEL})"))  # fmt: skip


def _label(options: argparse.Namespace) -> str | None:
    """The text of --label. A setting that follows --label is none."""
    text: str | None = options.label
    if text is not None and text.partition("=")[0] in {name for name, _, _ in entries()}:
        options.settings.append(text)
        return _USUAL_LABEL
    return text


def _render(options: argparse.Namespace) -> int:
    model = _model(options)
    _check_render(options)
    if options.stream:
        return _render_live(options, model)
    if options.segments is not None:
        return _render_dubbed(options, model)
    from .media.sound import check_sound
    from .rendering.files import render_video
    from .rendering.output import check_output

    if str(options.audio) == "-":
        raise UserError("--audio - is standard input, which is heard with --stream alone: add --stream, or give a file")
    check_input(options.audio, "speech")
    check_sound(options.audio)
    check_output(options.out, options.audio, model)
    with _posed(options) as given:
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
    from .media.sound import check_sound
    from .rendering.dubbing import render_dubbed

    if options.audio is not None:
        check_input(options.audio, "speech")
        check_sound(options.audio)
    given = _render_settings(options)
    report = render_dubbed(model, options.segments, options.audio, options.out, options.data, options.device, given)
    print(f"{options.out}: {report}")
    return 0


def _render_settings(options: argparse.Namespace) -> dict[str, Any]:
    """Entries of section render that options and key=value change; the latter win."""
    from .rendering.posing import pose_settings

    by_option = {f"render.{name}": getattr(options, name) for name in ("silence", "articulation", "steady")}
    by_option["render.label"] = _label(options)
    if options.loop is not None:
        by_option["render.loop"] = _stretch(options.loop)
    if options.keep_length:
        by_option["render.keep_length"] = True
    by_option |= {} if options.pose is None else pose_settings(options.pose)
    given = {name: value for name, value in by_option.items() if value is not None}
    return given | dict(parse_setting(text) for text in options.settings)


def _stretch(text: str) -> tuple[int, int]:
    """ "100:349" -> (100, 349)."""
    first, colon, last = text.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal()):
        raise UserError(f"--loop is {text!r}, needed are the first and the last source frame, such as 100:349")
    return int(first), int(last)


@contextmanager
def _posed(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The settings of `render`, in which a video whose head is followed is a file of its motion."""
    from .rendering.posing import check_pose

    given = _render_settings(options)
    pose = str(given.get("render.pose", "source"))
    check_pose(pose)
    if pose in ("source", "hold"):
        yield given
        return
    from .preparation.motion import motion_file

    with motion_file(pose) as readable:
        yield given | {"render.pose": readable}


def _render_live(options: argparse.Namespace, model: Path) -> int:
    from .media.pcm import sound_of_growing_file, sound_of_stream
    from .rendering.live import render_live
    from .rendering.output import check_output

    check_output(options.out, model, *([] if str(options.audio) == "-" else [options.audio]), live=True)
    sound = sound_of_stream(0) if str(options.audio) == "-" else sound_of_growing_file(options.audio)
    print("note: a stream cannot be signed: this video gets no content credentials", file=sys.stderr)
    with _posed(options) as given:
        report = render_live(model, options.data, sound, str(options.out), options.device, options.start or 0, given)
    print(f"{options.out}: {report}", file=sys.stderr)
    return 130 if report.interrupted else 0


# ---------------------------------------------------------------- verify


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, nargs="?", help="a video or a picture")
    parser.add_argument(
        "--certificate", type=Path, metavar="FILE", help="of somebody else who may have signed it (PEM)"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument(
        "--my-certificate",
        action="store_true",
        help="print your own certificate, to be given to whoever checks your files",
    )


def _verify(options: argparse.Namespace) -> int:
    from .provenance.identity import own_signer
    from .provenance.verify import as_json, lines_of, verify

    if options.my_certificate:
        signer = own_signer()
        if signer is None:
            raise UserError("there is no certificate of yours yet: the first `speech2lip render` makes it")
        print(signer.chain.decode(), end="")
        return 0
    if options.file is None:
        raise UserError("no file was given: speech2lip verify result.mp4")
    verdict = verify(options.file, options.certificate)
    print(as_json(verdict) if options.json else "\n".join(lines_of(verdict)))
    return 0 if verdict.good else 1


# ---------------------------------------------------------------- listen


def _add_listen(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the one it was trained on)")
    parser.add_argument("--audio", type=Path, nargs="+", required=True, help="files with sound")
    parser.add_argument("--device", default="auto", help=DEVICES)


def _listen(options: argparse.Namespace) -> int:
    from .media.sound import check_sound
    from .rendering.listening import listen

    model = _model(options)
    for file in options.audio:
        check_input(file, "speech")
        check_sound(file)
    for impression in listen(model, options.audio, options.data, options.device):
        print(impression, flush=True)
    return 0


# ---------------------------------------------------------------- pose


def _add_pose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, help="a video of a head")
    parser.add_argument("--data", type=Path, help="a subject's folder, instead of --video")
    parser.add_argument("--name", help="name of a subject, instead of --data: dataset/NAME")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    _add_config(parser)


def _pose(options: argparse.Namespace) -> int:
    from .preparation.motion import motion_of_video
    from .rendering.posing import motion_of
    from .subject.motion import write_motion

    given = [value for value in (options.video, options.data, options.name) if value is not None]
    if len(given) != 1:
        raise UserError("give one of --video, --data and --name: whose motion shall be written")
    if options.out.suffix.lower() != ".json":
        raise UserError(f"--out {options.out} is no JSON file: give a name that ends in .json")
    check_writable(options.out)
    if options.video is not None:
        motion = motion_of_video(_config(options), options.video)
    else:
        named = None if options.name is None else load_settings(None, {"name": options.name}).name
        motion = motion_of(options.data if named is None else Path("dataset") / named)
    write_motion(options.out, motion)
    print(f"{options.out}: {len(motion)} frames\nnext: speech2lip render --model MODEL --audio SPEECH --out result.mp4 "
          f"--pose {shlex.quote(str(options.out))}")  # fmt: skip
    return 0


# ---------------------------------------------------------------- evaluate


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    _add_model(parser)
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the one it was trained on)")
    parser.add_argument("--protocol", choices=("self", "cross", "both"), default="both", help=(
        "frames to paint the test sound on: the test frames themselves, training frames, or both in turn (default)"))  # fmt: skip
    parser.add_argument("--audio", type=Path, help="other speech to measure the model with")
    parser.add_argument("--generated", type=Path, help="any generated video, instead of a model")
    parser.add_argument("--real", type=Path, help=(
        "the real video of the same frames, in which the same words are said"))  # fmt: skip
    parser.add_argument("--out", type=Path, help="folder for report.html, metrics.json and frames_*.csv (default: "
                        "`evaluation` beside the model, or GENERATED_evaluation)")  # fmt: skip
    parser.add_argument("--device", default="auto", help=DEVICES)


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluation.run import PROTOCOLS, check_packages, evaluate, evaluate_videos

    if sum(v is not None for v in (options.model, options.name, options.generated)) != 1:
        raise UserError("give either --model, or --name, or --generated and --real")
    check_packages()
    if options.generated is not None:
        if options.real is None:
            raise UserError("--generated needs --real, the real video of the same frames")
        for video in (options.generated, options.real):
            check_input(video, "a video")
        out = options.out or options.generated.with_name(f"{options.generated.stem}_evaluation")
        check_writable(out / "report.html")
        evaluate_videos(options.generated, options.real, out)
        return 0
    protocols = PROTOCOLS if options.protocol == "both" else (options.protocol,)
    model = _model(options)
    check_input(model, "a checkpoint: train one with `speech2lip train`, it is log/NAME/model.pt")
    if options.audio is not None:
        check_input(options.audio, "speech")
    out = options.out or model.parent / "evaluation"
    check_writable(out / "report.html")
    evaluate(model, options.data, out, protocols, options.device, options.audio)
    return 0


# ---------------------------------------------------------------- demo


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=Path("rendering_result/demo"), help="folder for the results")
    parser.add_argument("--minutes", type=float, help="training time (default: that of the preset demo)")
    parser.add_argument("--fresh", action="store_true", help="train from the beginning instead of continuing")
    _add_config(parser)
    parser.set_defaults(config="demo")


def _demo(options: argparse.Namespace) -> int:
    from .demo.run import run_demo
    from .rendering.output import check_output

    out = options.out
    check_output(out / "generated.mp4")
    run_demo(
        _config(
            options, name="demo", data__root=str(out / "subject"), train__minutes=options.minutes, train__output=str(out / "log")
        ), out, options.fresh,
    )  # fmt: skip
    return 0


# ---------------------------------------------------------------- config


def _add_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yaml", action="store_true", help="print a commented YAML file")
    parser.add_argument("--changed", action="store_true", help="print only what differs from the defaults")
    parser.add_argument("--config", help=f"YAML file, or a preset: {', '.join(preset_names())}")
    parser.add_argument(
        "settings", nargs="*", metavar="KEY | key=value", help="a key or section to show, or an entry to change"
    )


def _show(options: argparse.Namespace) -> int:
    from .config_text import as_table, as_yaml

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


# ---------------------------------------------------------------- prior

_MOST_STEPS = 10_000_000


def _add_prior(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "given",
        nargs="+",
        metavar="FOLDER | key=value",
        help="subjects' folders, the more people and words the better; entries to change",
    )
    parser.add_argument("--out", type=Path, required=True, help="file to write (.safetensors)")
    parser.add_argument("--steps", type=int, default=4000, help="of training (default: 4000)")
    parser.add_argument("--config", help="YAML file, or a preset")


def _prior(options: argparse.Namespace) -> int:
    from .training.prior import learn_prior

    settings = [text for text in options.given if "=" in text and not Path(text).exists()]
    folders = [Path(text) for text in options.given if text not in settings]
    if not 1 <= options.steps <= _MOST_STEPS:
        raise UserError(f"--steps {options.steps} is not between 1 and {_MOST_STEPS}")
    facts = learn_prior(folders, options.out, load_settings(options.config, {}, settings), options.steps)
    people = "1 person" if len(facts.people) == 1 else f"{len(facts.people)} people"
    print(f"{options.out}: learned from {facts.frames} frames of {people}")
    print(f"next: speech2lip train --name NAME {shlex.quote(f'model.prior={options.out}')}")
    return 0


# ---------------------------------------------------------------- import


def _add_import(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", choices=("checkpoint", "dataset", "config"), help="what the file is")
    parser.add_argument("path", type=Path, help="checkpoint (.pt), dataset folder, or YAML file of the authors")
    parser.add_argument(
        "--out",
        type=Path,
        help="what to write (default: log/NAME/model.pt, dataset/NAME_imported, configs/imported/NAME.yaml)",
    )
    parser.add_argument("--data", type=Path, help="checkpoint: the imported dataset (default: dataset/NAME_imported)")
    parser.add_argument("--name", help="name of the subject (default: from the file's name)")


def _import(options: argparse.Namespace) -> int:
    from .importing.checkpoint import import_checkpoint, imported_root
    from .importing.config import import_config
    from .importing.dataset import import_dataset

    path: Path = options.path
    if options.kind == "dataset":
        out = options.out or imported_root(path)
        subject = import_dataset(path, out, options.name or path.name.removesuffix("_face_crop_lip"))
        print(f"{out}: {subject.frames} frames of {subject.name}")
    elif options.kind == "checkpoint":
        name = options.name or path.stem.removeprefix("model_")
        out = options.out or Path("log") / name / "model.pt"
        import_checkpoint(path, options.data or imported_root(Path(name)), out)
        print(f"{out}: the published model, for `speech2lip render`")
    else:
        out = options.out or Path("configs/imported") / f"{path.stem}.yaml"
        unused = import_config(path, out)
        print(f"{out}: written" + (f"; without a meaning here: {', '.join(unused)}" if unused else ""))
    return 0


# ---------------------------------------------------------------- subjects

_SUBJECT_ACTIONS = {  # action: names that follow it
    "list": "", "rename": "OLD NEW", "export": "NAME", "import": "FILE", "remove": "NAME",
}  # fmt: skip


def _add_subjects(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=_SUBJECT_ACTIONS, default="list",
        help="list (default), rename OLD NEW, export NAME --out FILE, import FILE, remove NAME",
    )  # fmt: skip
    parser.add_argument("names", nargs="*", metavar="NAME | FILE", help="what the action needs")
    parser.add_argument("--out", type=Path, help="export: the archive to write (.zip)")
    parser.add_argument("--name", help="import: another name than the archive's")
    parser.add_argument("--yes", action="store_true", help="remove: do not ask")
    parser.add_argument("--root", type=Path, default=Path("dataset"), help="folder of the subjects (default: dataset)")
    parser.add_argument("--log", type=Path, default=Path("log"), help="folder of the models (default: log)")


def _subjects(options: argparse.Namespace) -> int:
    from .library.places import Places

    wanted = _SUBJECT_ACTIONS[options.action]
    if len(options.names) != len(wanted.split()):
        raise UserError(
            f"`speech2lip subjects {options.action}` needs {wanted or 'no names'}: {len(options.names)} names were given"
        )
    run = {
        "list": _list_subjects, "rename": _rename_subject, "export": _export_subject, "import": _import_subject,
        "remove": _remove_subject,
    }[options.action]  # fmt: skip
    run(options, Places(options.root, options.log))
    return 0


def _list_subjects(options: argparse.Namespace, places: Places) -> None:
    from .library.listing import describe, list_subjects

    found = list_subjects(places)
    print(
        "\n".join(map(describe, found))
        if found
        else f"no subjects in {options.root}: `speech2lip preprocess` makes one"
    )


def _rename_subject(options: argparse.Namespace, places: Places) -> None:
    from .library.changes import rename_subject

    old, new = options.names
    person = rename_subject(old, new, places)
    print(f"{places.of(old).folder} is {person.folder} now, with its models and results")


def _export_subject(options: argparse.Namespace, places: Places) -> None:
    from .library.exports import export_subject

    if options.out is None:
        raise UserError("`speech2lip subjects export` needs --out, the archive to write, such as --out NAME.zip")
    manifest = export_subject(options.names[0], options.out, places)
    size = sum(member.size for member in manifest.files.values())
    model = "with" if "model/model.pt" in manifest.files else "without"
    print(f"{options.out}: {len(manifest.files)} files of {manifest.name}, {size / 1e6:.1f} MB, {model} a model")


def _import_subject(options: argparse.Namespace, places: Places) -> None:
    from .library.imports import import_subject
    from .library.places import Places

    person = import_subject(Path(options.names[0]), places, options.name)
    name, usual = shlex.quote(person.name), places == Places()
    if person.model.is_file():
        step = f"speech2lip render --name {name} --audio SPEECH --out result.mp4"
        if not usual:
            step = f"speech2lip render --model {shlex.quote(str(person.model))} --audio SPEECH --out result.mp4"
    else:
        step = f"speech2lip train --name {name}" + ("" if usual else f" {shlex.quote(f'data.root={person.folder}')}")
    print(f"{person.folder}: imported\nnext: {step}")


def _remove_subject(options: argparse.Namespace, places: Places) -> None:
    from .library.changes import agree_to_removal, plan_removal, remove_subject

    agree_to_removal(plan_removal(options.names[0], places), options.yes)
    print(f"removed: {remove_subject(options.names[0], places)}")


# ---------------------------------------------------------------- weights


def _add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "fetch", "where"), default="list", help="default: list")
    parser.add_argument("name", nargs="?", help="name of a file, from the list")
    parser.add_argument("--yes", action="store_true", help="fetch: also a file for which no checksum is known")


def _weights(options: argparse.Namespace) -> int:
    from .weights.fetch import fetch
    from .weights.registry import FILES, describe, explain

    if options.action == "list":
        print("\n".join(describe(entry) for entry in FILES))
    elif options.name is None:
        raise UserError(f"`speech2lip weights {options.action}` needs a name: `speech2lip weights` lists them")
    elif options.action == "fetch":
        fetch(options.name, agreed=options.yes)
    else:
        print(explain(options.name))
    return 0


COMMANDS = {
    "run": Command(
        "do everything: preprocess, train and render",
        "speech2lip run --video me.mp4 --audio speech.wav --out result.mp4 --minutes 30", _add_run, _run,
    ),
    "preprocess": Command(
        "turn a video into a subject folder", "speech2lip preprocess --video me.mp4 --out dataset/me", _add_preprocess, _preprocess,
    ),
    "doctor": Command(
        "say whether a video will work, before anything slow", "speech2lip doctor me.mp4\n  speech2lip doctor dataset/me", _add_doctor, _doctor,
    ),
    "train": Command(
        "fit a model to a subject folder", "speech2lip train --name me train.minutes=30", _add_train, _train,
    ),
    "render": Command(
        "make the person say new audio",
        "speech2lip render --model log/me/model.pt --audio speech.wav --out result.mp4\n"
        "  speech2lip render --model log/me/model.pt --segments times.srt --audio german.wav --out dubbed.mp4\n"
        "  microphone | speech2lip render --model log/me/model.pt --stream --audio - --out - | player", _add_render, _render,
    ),
    "verify": Command(
        "say who made a video, how, and whether it was altered since", "speech2lip verify result.mp4", _add_verify, _verify,
    ),
    "listen": Command(
        "say how far sound lies from the speech that a model was trained on",
        "speech2lip listen --name me --audio speech.wav other.wav", _add_listen, _listen,
    ),
    "pose": Command(
        "write how a head moves, as JSON for `render --pose`", "speech2lip pose --name me --out me.json\n"
        "  speech2lip pose --video head.mp4 --out head.json", _add_pose, _pose,
    ),
    "evaluate": Command(
        "measure a model on its test split, or any generated video, and write a report",
        "speech2lip evaluate --model log/me/model.pt\n"
        "  speech2lip evaluate --model log/me/model.pt --audio speech.wav --out report\n"
        "  speech2lip evaluate --generated result.mp4 --real me_saying_the_same.mp4 --out report", _add_evaluate, _evaluate,
    ),
    "demo": Command(
        "run everything on the built-in synthetic speaker", "speech2lip demo --out demo_result", _add_demo, _demo,
    ),
    "config": Command(
        "show every setting with its default, range and meaning",
        "speech2lip config train\n  speech2lip config --yaml > me.yaml\n  speech2lip config --config faithful --changed", _add_show, _show,
    ),
    "prior": Command(
        "learn what several people's mouths have in common, for those of whom there is little video",
        "speech2lip prior dataset/ann dataset/bob --out people.safetensors", _add_prior, _prior,
    ),
    "import": Command(
        "turn the authors' own files into ours",
        "speech2lip import dataset dataset/may_face_crop_lip\n  speech2lip import checkpoint log/face_simple/may/model_may.pt "
        "--data dataset/may_imported\n  speech2lip import config may.yaml", _add_import, _import,
    ),
    "subjects": Command(
        "list the people who were learned; rename, export, import and remove them",
        "speech2lip subjects\n  speech2lip subjects rename anna ann\n  speech2lip subjects export ann --out ann.zip\n"
        "  speech2lip subjects import ann.zip --name anna\n  speech2lip subjects remove ann", _add_subjects, _subjects,
    ),
    "weights": Command(
        "list, fetch and explain optional files",
        "speech2lip weights\n  speech2lip weights fetch face-landmarker\n  speech2lip weights where bfm", _add_weights, _weights,
    ),
}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
