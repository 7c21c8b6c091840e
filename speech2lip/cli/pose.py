"""`speech2lip pose`: a head's motion as JSON."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from ..config import load_settings
from ..errors import UserError
from ..files import check_writable
from .common import Command, add_config, config_of


def _add_pose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--video", type=Path, help="a video of a head")
    parser.add_argument("--data", type=Path, help="a subject's folder, instead of --video")
    parser.add_argument("--name", help="name of a subject, instead of --data: dataset/NAME")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    add_config(parser)


def _pose(options: argparse.Namespace) -> int:
    from ..preparation.motion import motion_of_video
    from ..rendering.posing import motion_of
    from ..subject.motion import write_motion

    given = [value for value in (options.video, options.data, options.name) if value is not None]
    if len(given) != 1:
        raise UserError("give one of --video, --data and --name: whose motion shall be written")
    if options.out.suffix.lower() != ".json":
        raise UserError(f"--out {options.out} is no JSON file: give a name that ends in .json")
    check_writable(options.out)
    if options.video is not None:
        motion = motion_of_video(config_of(options), options.video)
    else:
        named = None if options.name is None else load_settings(None, {"name": options.name}).name
        motion = motion_of(options.data if named is None else Path("dataset") / named)
    write_motion(options.out, motion)
    print(f"{options.out}: {len(motion)} frames\nnext: speech2lip render --model MODEL --audio SPEECH --out result.mp4 "
          f"--pose {shlex.quote(str(options.out))}")  # fmt: skip
    return 0


COMMAND = Command(
    "write how a head moves, as JSON for `render --pose`", "speech2lip pose --name me --out me.json\n"
    "  speech2lip pose --video head.mp4 --out head.json", _add_pose, _pose,
)  # fmt: skip
