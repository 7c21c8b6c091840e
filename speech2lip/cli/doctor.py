"""`speech2lip doctor`: whether a video will work."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import UserError
from ..files import check_writable
from ..names import subject_name
from .common import APART, VOICE_HELP, Command, add_choices, add_config, add_name, choices, config_of, subject_config


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--video", type=Path, help="a video of one person talking, or a subject's folder; may stand alone"
    )
    parser.add_argument("--voice", type=Path, help=VOICE_HELP)
    parser.add_argument("--out", type=Path, help="folder of the report (default: dataset/NAME/doctor)")
    add_name(parser, "the video's file name")
    add_choices(parser)
    parser.add_argument("--anyway", action="store_true", help="end with status 0 also for a clip that cannot work")
    add_config(parser)


def _doctor(options: argparse.Namespace) -> int:
    from ..diagnosis.doctor import examine_subject, examine_video, is_subject
    from ..diagnosis.report import check_place, lines_of, write_report
    from ..diagnosis.second_look import with_second_look

    video: Path | None = options.video
    if video is None:
        raise UserError("no video was given: speech2lip doctor me.mp4")
    known = is_subject(video)
    if known and options.face is not None:
        raise UserError(
            f"{video} is a finished subject, whose face is chosen: give the video to --video for another --face"
        )
    config = config_of(options) if known else subject_config(options, subject_name(video.stem), **choices(options))
    out = options.out or (video if known else Path(config.data.root)) / "doctor"
    check_place(out)
    check_writable(out / "report.html")
    found = (
        examine_subject(config, video, options.voice) if known else examine_video(config, video, options.voice, APART)
    )
    found = with_second_look(found, config) if is_subject(found.layout.root) else found
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


COMMAND = Command(
    "say whether a video will work, before anything slow", "speech2lip doctor me.mp4\n  speech2lip doctor dataset/me", _add_doctor, _doctor,
)  # fmt: skip
