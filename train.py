"""Train a subject: `python train.py CONFIG [key=value ...] [--fresh]` (the published entry point)."""

import argparse
import sys

from speech2lip.threads import settle_threads

settle_threads()

from speech2lip.config import load_config
from speech2lip.errors import run_guarded
from speech2lip.training.trainer import fit


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python train.py configs/face_simple_configs/may/may.yaml train.minutes=40"
    )
    parser.add_argument("config", help="YAML configuration")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="entries to change")
    parser.add_argument("--fresh", action="store_true", help="start over instead of continuing")
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: train(options))


def train(options: argparse.Namespace) -> int:
    print(f"model: {fit(load_config(options.config, options.settings), options.fresh)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
