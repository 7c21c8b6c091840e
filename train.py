"""Train a subject: `python train.py CONFIG [key=value ...] [--fresh]` (the published entry point)."""

import argparse
import sys
from pathlib import Path

from speech2lip.cli import train
from speech2lip.config import load_config
from speech2lip.errors import run_guarded


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python train.py configs/face_simple_configs/may/may.yaml train.minutes=40"
    )
    parser.add_argument("config", type=Path, help="YAML configuration")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="entries to change")
    parser.add_argument("--fresh", action="store_true", help="start over instead of continuing")
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: train(load_config(options.config, options.settings), options.fresh))


if __name__ == "__main__":
    sys.exit(main())
