"""Preprocess the subject that a configuration names."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.config import load_config
from speech2lip.errors import UserError, run_guarded
from speech2lip.preparation.pipeline import preprocess
from speech2lip.subject.consent import asked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="YAML configuration of the subject")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="entries to change")
    parser.add_argument("--video", type=Path, help="video or folder of frames (default: data.video)")
    parser.add_argument(
        "--voice",
        "--audio",
        type=Path,
        help="the clip's own speech (default: the video's sound, or audio/audio.wav of the folder)",
    )
    parser.add_argument("--i-have-consent", action="store_true", help="the person in the video agreed")
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    config = load_config(options.config, options.settings)
    video = options.video or Path(config.data.video)
    if not config.data.video and not options.video:
        raise UserError(f"{options.config} has no data.video: set it, or give --video")
    subject = preprocess(config, video, options.voice, consent=asked(video, options.i_have_consent))
    print(f"{config.data.root}: {subject.frames} frames of {subject.name} ready for training")
    return 0


if __name__ == "__main__":
    sys.exit(main())
