"""`speech2lip evaluate`: figures and a report."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..config import DEVICES
from ..errors import UserError
from ..files import check_input, check_writable
from .common import Command, add_model, model_of


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
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
    from ..evaluation.run import PROTOCOLS, check_packages, evaluate, evaluate_videos

    if sum(v is not None for v in (options.model, options.name, options.generated)) != 1:
        raise UserError("give either --model, or --name, or --generated and --real")
    check_packages()
    if options.generated is not None:
        if options.real is None:
            raise UserError("--generated needs --real, the real video of the same frames")
        for video in (options.generated, options.real):
            check_input(video, "a video", folders=True)
        out = options.out or options.generated.with_name(f"{options.generated.stem}_evaluation")
        check_writable(out / "report.html")
        evaluate_videos(options.generated, options.real, out)
        return 0
    protocols = PROTOCOLS if options.protocol == "both" else (options.protocol,)
    model = model_of(options)
    check_input(model, "a checkpoint: train one with `speech2lip train`, it is log/NAME/model.pt")
    if options.audio is not None:
        check_input(options.audio, "speech")
    out = options.out or model.parent / "evaluation"
    check_writable(out / "report.html")
    evaluate(model, options.data, out, protocols, options.device, options.audio)
    return 0


COMMAND = Command(
    "measure a model on its test split, or any generated video, and write a report",
    "speech2lip evaluate --model log/me/model.pt\n"
    "  speech2lip evaluate --model log/me/model.pt --audio speech.wav --out report\n"
    "  speech2lip evaluate --generated result.mp4 --real me_saying_the_same.mp4 --out report", _add_evaluate, _evaluate,
)  # fmt: skip
