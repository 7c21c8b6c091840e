"""The structure of the package: who may import whom, and what runs without heavy packages."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_imports_point_one_way_and_make_no_loop():
    """The contracts of pyproject.toml, which docs/architecture.md explains."""
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == EXIT_STATUS_SUCCESS


def test_training_starts_where_only_its_own_packages_are():
    """On a GPU machine: torch, numpy, PyYAML, tqdm and OpenCV, nothing else."""
    missing = [
        "av",
        "mediapipe",
        "espeakng_loader",
        "imageio_ffmpeg",
        "scipy",
        "tensorboard",
        "skimage",
        "c2pa",
        "cryptography",
    ]
    _import_without(missing, "speech2lip.training.trainer, speech2lip.rendering.predictor")


def test_no_extra_is_needed_to_preprocess_train_and_render():
    """What only reports, the demo, curves and published backends need is imported when they are used."""
    extras = [
        "skimage",
        "matplotlib",
        "jinja2",
        "espeakng_loader",
        "tensorboard",
        "tensorflow",
        "transformers",
        "pocketsphinx",
    ]
    gone = ["moonshine_voice", "flatbuffers"]
    rooms = "speech2lip.cli, speech2lip.api, speech2lip.preparation.pipeline, speech2lip.training.trainer"
    _import_without(
        extras + gone, f"{rooms}, speech2lip.rendering.files, speech2lip.rendering.live, speech2lip.audio.features"
    )


def _import_without(missing: list[str], modules: str) -> None:
    code = f"import sys; sys.modules.update(dict.fromkeys({missing})); import {modules}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
