"""Render frames: the test split, or new audio features (the published entry point).

Writes `OUTPUT_DIR/postfusion/%05d.jpg`, for the test split also `OUTPUT_DIR/audio_test.wav`, and ends
with a report of how good it is in `OUTPUT_DIR/evaluation`.
"""

import argparse
import sys
from pathlib import Path

from speech2lip.threads import settle_threads

settle_threads()

from speech2lip.config import Config, load_config, signing_settings
from speech2lip.errors import run_guarded
from speech2lip.evaluation.run import check_packages, evaluate
from speech2lip.rendering.files import render_images
from speech2lip.subject.layout import SubjectLayout


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python inference.py configs/face_simple_configs/may/may.yaml --use_new_audio",
    )  # fmt: skip
    parser.add_argument("config", help="YAML configuration of the subject")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="entries to change")
    parser.add_argument("--model_path", type=Path, help="checkpoint (default: TRAIN.OUTPUT/NAME/model.pt)")
    parser.add_argument("--output_dir", type=Path, help="default: RENDER.OUTPUT/NAME")
    parser.add_argument(
        "--use_new_audio", action="store_true", help="drive by audio_test/audio.npy of the subject's folder"
    )
    parser.add_argument("--no_report", action="store_true", help="render only")
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: render(load_config(options.config, options.settings), options))


def render(config: Config, options: argparse.Namespace) -> int:
    if not options.no_report:
        check_packages()
    model = options.model_path or Path(config.train.output) / config.name / "model.pt"
    target, root = options.output_dir or Path(config.render.output) / config.name, Path(config.data.root)
    folder, layout = target / "postfusion", SubjectLayout(root)
    audio = layout.test_features if options.use_new_audio else None
    settings = signing_settings(config) | {"render.label": config.render.label}
    count = render_images(model, root, folder, audio, config.train.device, settings)
    print(f"{folder}: {count} frames")
    if not options.no_report:
        report(model, root, target / "evaluation", config.train.device, layout.test_audio if audio else None)
    return 0


def report(model: Path, root: Path, out: Path, device: str, sound: Path | None) -> None:
    """Measure the model on its test split, or with the new sound."""
    if sound is not None and not sound.is_file():
        print(f"no report: {sound}, the sound behind the features, is not there")
        return
    evaluate(model, root, out, device=device, audio=sound)


if __name__ == "__main__":
    sys.exit(main())
