"""Shared fixtures: a short synthetic clip, its preprocessed subject and a quickly trained model."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from speech2lip.config import Config, default_config
from speech2lip.demo.speaker import TRAINING_SENTENCES, make_speaker
from speech2lip.preparation.pipeline import preprocess
from speech2lip.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]
CLIP_SENTENCES = TRAINING_SENTENCES[:3]


def _shared(name: str) -> Path:
    """A folder of real material beside the repository; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared" / name
    if not folder.is_dir():
        pytest.skip(f"no real material at ../shared/{name}")
    return folder


@pytest.fixture(scope="session", autouse=True)
def _interruptible() -> None:
    """Shells start what runs in the background without Ctrl-C, and what it starts inherits that."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_key(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The key that signs rendered files is not the user's."""
    os.environ["XDG_DATA_HOME"] = str(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def clips() -> Path:
    return _shared("clips")


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with speaker.mp4 (about 15 s), speaker.wav and speaker_truth.npz."""
    folder = tmp_path_factory.mktemp("clip")
    make_speaker(folder, CLIP_SENTENCES, progress=False)
    return folder


@pytest.fixture(scope="session")
def truth(clip: Path) -> dict[str, np.ndarray]:
    with np.load(clip / "speaker_truth.npz") as data:
        return dict(data)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    root = tmp_path_factory.mktemp("work")
    return default_config(
        [
            "name=speaker", f"data.root={root / 'subject'}", f"train.output={root / 'log'}", "train.steps=160", "train.batch=4",
            "model.lip.width=64", "model.lip.layers=4", "model.lip.skip_after=1", "model.blend.widths=[8,8,8]",
            "data.test_fraction=0.2", "train.validate_every=0.5", "train.log_every=10", "sync.expert=own",
            "sync.share=0.05", "sync.start=0.7", "train.speech_share=0.4", "loss.shape=5",
        ]
    )  # fmt: skip


@pytest.fixture(scope="session")
def subject_config(config: Config, clip: Path) -> Config:
    """The configuration, with its subject folder filled from the synthetic clip."""
    preprocess(config, clip / "speaker.mp4")
    return config


@pytest.fixture(scope="session")
def model_path(subject_config: Config) -> Path:
    """A checkpoint after few steps: enough to run everything, not to look good."""
    assert Trainer(subject_config).run()
    return Path(subject_config.train.output) / subject_config.name / "model.pt"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository's files, so that nothing lands among the user's subjects.

    Its scripts run in this environment as it is: installing the copy would replace the checkout there.
    """
    monkeypatch.setenv("SPEECH2LIP_INSTALL", "no")
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for part in ("speech2lip", "configs", "scripts", "preprocess"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("train.py", "inference.py", "requirements.txt", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / file, tmp_path)
    return tmp_path
