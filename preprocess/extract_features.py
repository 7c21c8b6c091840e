"""Audio features of one file: `AUDIO.wav` -> `AUDIO.npy` beside it, by the configured backend."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.audio.features import extract_windows, make_backend, save_features
from speech2lip.config import load_config
from speech2lip.errors import run_guarded
from speech2lip.media.sound import stream_audio
from speech2lip.preparation.source import frame_rate


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", help="YAML configuration of the subject")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="entries to change")
    parser.add_argument("--audio", type=Path, required=True, help="any file with sound")
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: extract(options))


def extract(options: argparse.Namespace) -> int:
    config = load_config(options.config, options.settings)
    backend = make_backend(config.audio)
    windows = extract_windows(stream_audio(options.audio), frame_rate(config.data.fps, 0), backend, options.audio)[:]
    target = options.audio.with_suffix(".npy")
    save_features(target, windows, backend.params())
    print(f"{target}: {len(windows)} windows of {backend.window} x {backend.channels} ({backend.params()['backend']})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
