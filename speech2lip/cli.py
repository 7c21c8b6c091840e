"""`speech2lip <command>`: the user's commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from . import __version__
from .config import Config, default_config, load_config
from .errors import UserError, run_guarded

_RAW = argparse.RawDescriptionHelpFormatter


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (2 for unusable input, 130 when interrupted)."""
    options = _parser().parse_args(arguments)
    return run_guarded(lambda: options.run(options))


def entry() -> None:
    """The console script."""
    sys.exit(main())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="speech2lip", formatter_class=_RAW, description="Learn a person's mouth from a video; make them say any audio.",
        epilog="example:\n  speech2lip run --video me.mp4 --audio speech.wav --out result.mp4 --minutes 30",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands)
    _add_preprocess(commands)
    _add_train(commands)
    _add_render(commands)
    _add_evaluate(commands)
    _add_demo(commands)
    _add_import(commands)
    _add_weights(commands)
    return parser


def _command(commands, name: str, text: str, example: str, run: Callable[[argparse.Namespace], int]):  # type: ignore[no-untyped-def]
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=_RAW,
    )
    parser.set_defaults(run=run)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, help="YAML configuration (default: built-in defaults)")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="configuration entries to change")


def _config(options: argparse.Namespace, *more: str) -> Config:
    settings = [*more, *options.settings]
    for setting in settings:
        if "=" not in setting:
            raise UserError(f"{setting!r} is not a setting: write key=value, for example train.batch=4")
    return load_config(options.config, settings) if options.config else default_config(settings)


def _add_run(commands) -> None:  # type: ignore[no-untyped-def]
    example = "speech2lip run --video me.mp4 --audio speech.wav --out result.mp4 --minutes 30"
    parser = _command(commands, "run", "do everything: preprocess, train and render", example, _run)
    parser.add_argument("--video", type=Path, required=True, help="a video of one person talking")
    parser.add_argument("--audio", type=Path, required=True, help="what the person shall say")
    parser.add_argument("--out", type=Path, required=True, help="the video to write")
    parser.add_argument("--minutes", type=float, default=30.0, help="training time (default 30)")
    parser.add_argument("--name", help="name of the subject (default: the video's file name)")
    _add_config(parser)


def _run(options: argparse.Namespace) -> int:
    name = options.name or options.video.stem
    given = {s.split("=")[0] for s in options.settings}
    more = [f"name={name}"] if "name" not in given else []
    more += [f"data.root=dataset/{name}"] if "data.root" not in given else []
    config = _config(options, *more, f"train.minutes={options.minutes}")
    _check_audio(options.audio)
    _check_output(options.out)
    from .preparation.pipeline import preprocess
    from .rendering.files import render_video
    from .training.trainer import Trainer

    preprocess(config, options.video)
    if not Trainer(config).run():
        raise KeyboardInterrupt
    count = render_video(_model_path(config), Path(config.data.root), options.audio, options.out, config.train.device)
    print(f"{options.out}: {count} frames\nhow good it is: speech2lip evaluate --model {_model_path(config)}")
    return 0


def _check_audio(path: Path) -> None:
    """Fail before hours of training, not after."""
    from .media.sound import stream_audio

    pieces = stream_audio(path, 1.0)
    samples = len(next(pieces))
    pieces.close()
    if samples < 800:
        raise UserError(f"{path} is shorter than 0.05 s: give audio with speech")


def _check_output(path: Path) -> None:
    from .files import atomic_path

    try:
        with atomic_path(path):
            raise InterruptedError
    except InterruptedError:
        pass


def _model_path(config: Config) -> Path:
    return Path(config.train.output) / config.name / "model.pt"


def _add_preprocess(commands) -> None:  # type: ignore[no-untyped-def]
    example = "speech2lip preprocess --video me.mp4 --out dataset/me"
    parser = _command(commands, "preprocess", "turn a video into a subject folder", example, _preprocess)
    parser.add_argument("--video", type=Path, help="video, or folder of frames (default: data.video)")
    parser.add_argument("--audio", type=Path, help="sound to use instead of the video's own")
    parser.add_argument("--out", type=Path, help="the subject's folder (default: data.root)")
    parser.add_argument("--name", help="name of the subject (default: the folder's name)")
    _add_config(parser)


def _preprocess(options: argparse.Namespace) -> int:
    more = [f"data.root={options.out}"] if options.out else []
    more += [f"name={options.name or options.out.name}"] if options.name or options.out else []
    config = _config(options, *more)
    video = options.video or (Path(config.data.video) if config.data.video else None)
    if video is None:
        raise UserError("no video was given: use --video, or set data.video in the configuration")
    from .preparation.pipeline import preprocess

    subject = preprocess(config, video, options.audio)
    print(f"{config.data.root}: {subject.frames} frames of {subject.name} ready for training")
    return 0


def _add_train(commands) -> None:  # type: ignore[no-untyped-def]
    example = "speech2lip train --config configs/default.yaml name=me data.root=dataset/me train.minutes=30"
    parser = _command(commands, "train", "fit a model to a subject folder", example, _train)
    parser.add_argument("--fresh", action="store_true", help="start over instead of continuing")
    _add_config(parser)


def _train(options: argparse.Namespace) -> int:
    return train(_config(options), options.fresh)


def train(config: Config, fresh: bool = False) -> int:
    """Train, and say where the model lies; status 130 when a signal ended it."""
    from .training.trainer import Trainer

    trainer = Trainer(config, fresh)
    if trainer.run():
        print(f"model: {_model_path(config)}")
        return 0
    print(f"stopped by signal {trainer.stop}; state saved in {trainer.folder}, run the same command to continue")
    return 130


def _add_render(commands) -> None:  # type: ignore[no-untyped-def]
    example = (
        "speech2lip render --model log/me/model.pt --data dataset/me --audio speech.wav --out result.mp4\n"
        "  microphone | speech2lip render --model log/me/model.pt --stream --audio - --out - | player"
    )
    parser = _command(commands, "render", "make the person say new audio", example, _render)
    parser.add_argument("--model", type=Path, required=True, help="checkpoint, log/NAME/model.pt")
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the one it was trained on)")
    parser.add_argument("--audio", type=Path, required=True, help="what the person shall say")
    parser.add_argument("--out", type=Path, required=True, help="the video to write")
    parser.add_argument("--start", type=int, default=0, help="source frame to start on (default 0)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--stream", action="store_true", help=(
        "render while the audio arrives: AUDIO is - (16 kHz, 16-bit mono PCM on standard input) or a growing WAV file, "
        "OUT is .mkv, .ts, .mp4 or - (Matroska on standard output)"))  # fmt: skip


def _render(options: argparse.Namespace) -> int:
    from .model.checkpoint import load_checkpoint

    root = options.data or Path(load_checkpoint(options.model).config.data.root)
    if options.stream:
        return _render_live(options, root)
    from .rendering.files import render_video

    _check_audio(options.audio)
    _check_output(options.out)
    count = render_video(options.model, root, options.audio, options.out, options.device, options.start)
    print(f"{options.out}: {count} frames")
    return 0


def _render_live(options: argparse.Namespace, root: Path) -> int:
    from .media.pcm import sound_of_growing_file, sound_of_stream
    from .rendering.live import render_live

    sound = sound_of_stream(0) if str(options.audio) == "-" else sound_of_growing_file(options.audio)
    report = render_live(options.model, root, sound, str(options.out), options.device, options.start)
    print(f"{options.out}: {report}", file=sys.stderr)
    return 0


def _add_evaluate(commands) -> None:  # type: ignore[no-untyped-def]
    example = (
        "speech2lip evaluate --model log/me/model.pt\n"
        "  speech2lip evaluate --model log/me/model.pt --audio speech.wav --out report\n"
        "  speech2lip evaluate --generated result.mp4 --real me.mp4 --out report"
    )
    text = "measure a model on its test split, or any generated video, and write a report"
    parser = _command(commands, "evaluate", text, example, _evaluate)
    parser.add_argument("--model", type=Path, help="checkpoint, log/NAME/model.pt")
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the one it was trained on)")
    parser.add_argument("--protocol", choices=("self", "cross", "both"), default="both", help=(
        "frames to paint the test sound on: the test frames themselves, training frames, or both in turn (default)"))  # fmt: skip
    parser.add_argument("--audio", type=Path, help="other speech to measure the model with")
    parser.add_argument("--generated", type=Path, help="any generated video, instead of a model")
    parser.add_argument("--real", type=Path, help="the real video of the same frames")
    parser.add_argument("--out", type=Path, help="folder for report.html, metrics.json and frames_*.csv (default: "
                        "`evaluation` beside the model, or GENERATED_evaluation)")  # fmt: skip
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")


def _evaluate(options: argparse.Namespace) -> int:
    from .evaluation.run import PROTOCOLS, evaluate, evaluate_videos

    if (options.model is None) == (options.generated is None):
        raise UserError("give either --model, or --generated and --real")
    if options.generated is not None:
        if options.real is None:
            raise UserError("--generated needs --real, the real video of the same frames")
        out = options.out or options.generated.with_name(f"{options.generated.stem}_evaluation")
        evaluate_videos(options.generated, options.real, out)
        return 0
    from .model.checkpoint import load_checkpoint

    if options.audio is not None:
        _check_audio(options.audio)
    root = options.data or Path(load_checkpoint(options.model).config.data.root)
    protocols = PROTOCOLS if options.protocol == "both" else (options.protocol,)
    out = options.out or options.model.parent / "evaluation"
    evaluate(options.model, root, out, protocols, options.device, options.audio)
    return 0


def _add_demo(commands) -> None:  # type: ignore[no-untyped-def]
    example = "speech2lip demo --out demo_result --minutes 5"
    parser = _command(commands, "demo", "run everything on the built-in synthetic speaker", example, _demo)
    parser.add_argument("--out", type=Path, default=Path("rendering_result/demo"), help="folder for the results")
    parser.add_argument("--minutes", type=float, default=5.0, help="training time (default 5)")
    _add_config(parser)


def _demo(options: argparse.Namespace) -> int:
    from .demo.run import run_demo

    config = _config(options, "name=demo", f"data.root={options.out / 'subject'}", f"train.minutes={options.minutes}",
                     f"train.output={options.out / 'log'}")  # fmt: skip
    run_demo(config, options.out)
    return 0


def _add_import(commands) -> None:  # type: ignore[no-untyped-def]
    example = (
        "speech2lip import dataset dataset/may_face_crop_lip\n  speech2lip import checkpoint log/face_simple/may/model_may.pt "
        "--data dataset/may_imported\n  speech2lip import config may.yaml"
    )
    parser = _command(commands, "import", "turn the authors' own files into ours", example, _import)
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
    from .importing import checkpoint, config

    path: Path = options.path
    if options.kind == "dataset":
        from .importing.dataset import import_dataset

        out = options.out or checkpoint.imported_root(path)
        subject = import_dataset(path, out, options.name or path.name.removesuffix("_face_crop_lip"))
        print(f"{out}: {subject.frames} frames of {subject.name}")
    elif options.kind == "checkpoint":
        name = options.name or path.stem.removeprefix("model_")
        out = options.out or Path("log") / name / "model.pt"
        checkpoint.import_checkpoint(path, options.data or checkpoint.imported_root(Path(name)), out)
        print(f"{out}: the published model, for `speech2lip render`")
    else:
        out = options.out or Path("configs/imported") / f"{path.stem}.yaml"
        unused = config.import_config(path, out)
        print(f"{out}: written" + (f"; without a meaning here: {', '.join(unused)}" if unused else ""))
    return 0


def _add_weights(commands) -> None:  # type: ignore[no-untyped-def]
    example = "speech2lip weights\n  speech2lip weights fetch face-landmarker\n  speech2lip weights where bfm"
    parser = _command(commands, "weights", "list, fetch and explain optional files", example, _weights)
    parser.add_argument("action", nargs="?", choices=("list", "fetch", "where"), default="list", help="default: list")
    parser.add_argument("name", nargs="?", help="name of a file, from the list")


def _weights(options: argparse.Namespace) -> int:
    from .weights import fetch, registry

    if options.action == "list":
        for entry in registry.FILES:
            size = f"{entry.size / 2**20:.1f} MB" if entry.size else "size unknown"
            print(
                f"{entry.name:<16} {registry.check(entry)}\n    for: {entry.purpose}\n    licence: {entry.licence}; {size}"
            )
            print(f"    checksum: {entry.checksum or 'none known'}\n    path: {entry.file}")
        return 0
    if options.name is None:
        raise UserError(f"`speech2lip weights {options.action}` needs a name: `speech2lip weights` lists them")
    if options.action == "fetch":
        fetch.fetch(options.name)
    else:
        print(registry.explain(options.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
