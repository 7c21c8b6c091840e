"""What speech tells of the mouth's shape: audio features compared without any picture.

    python benchmarks/speech.py CLIP                                      # mel, moonshine, both
    python benchmarks/speech.py CLIP --backends mel phones --seeds 2
    python benchmarks/speech.py CLIP --voices OTHER.mp4 ANOTHER.mp4       # and driven by other people

For each backend the speech encoder is trained on the clip's training frames and asked for the
mouth's opening and width: of the training frames, each third by an encoder that was trained on
the others; of the test frames; and of other people's speech, beside their own mouths'
opening as FaceMesh sees it. r is correlation, art. the ratio of standard deviations.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import numpy as np
import torch

from speech2lip.audio.features import extract_windows, make_backend, save_features
from speech2lip.config import Config, default_config
from speech2lip.detection.detect import FaceMesh
from speech2lip.errors import UserError, run_guarded
from speech2lip.facemesh import CORNER_LEFT, CORNER_RIGHT, MOUTH, interocular, mouth_opening, opening_of_points
from speech2lip.media.decode import read_frames
from speech2lip.media.probe import probe
from speech2lip.media.sound import load_audio
from speech2lip.metrics.basic import correlation
from speech2lip.nets.speech2lip import Speech2Lip
from speech2lip.preparation.pipeline import preprocess
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.phases import Phase, Position
from speech2lip.training.speech import Calibration, SpeechTraining
from speech2lip.training.trainer import make_context, make_model

_COLUMNS = ("r", "width r", "art.")
_CORNERS = [int(np.flatnonzero(corner == MOUTH)[0]) for corner in (CORNER_LEFT, CORNER_RIGHT)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, help="video of one person talking")
    parser.add_argument(
        "--backends", nargs="+", default=["mel", "moonshine", "mel+moonshine"], help="audio.backend to compare"
    )
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each, averaged (default 1)")
    parser.add_argument("--voices", nargs="+", type=Path, default=[], help="videos of other people talking")
    parser.add_argument("--out", type=Path, help="folder for everything (default: rendering_result/speech/CLIP)")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings of all trainings")
    options = parser.parse_intermixed_args()
    return run_guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    for clip in (options.clip, *options.voices):
        if not clip.is_file():
            raise UserError(f"{clip} does not exist: give a video of one person talking")
    out = options.out or Path("rendering_result/speech") / options.clip.stem
    config = default_config([*options.settings, f"name={options.clip.stem}", f"data.root={out / 'subject'}"])
    preprocess(config, options.clip)
    others = {clip: openings_of(clip) for clip in options.voices}
    titles = [f"{part}: {column}" for part in ("held out", "test") for column in _COLUMNS]
    print("| backend | " + " | ".join([*titles, *(f"{clip.name}: r" for clip in others)]) + " |")
    print("|---" * (1 + len(titles) + len(others)) + "|", flush=True)
    for backend in options.backends:
        figures = np.mean([measure(backend, seed, options, out, others) for seed in range(options.seeds)], 0)
        print(f"| {backend} | " + " | ".join(f"{value:.3f}" for value in figures) + " |", flush=True)
    return 0


def measure(
    backend: str, seed: int, options: argparse.Namespace, out: Path, others: dict[Path, np.ndarray]
) -> list[float]:
    """Figures of one backend and one seed, in the order of the table's columns."""
    with subject_with(backend, out) as root:
        settings = [*options.settings, f"audio.backend={backend}", f"data.root={root}", f"train.seed={seed}"]
        # No pictures: all steps are the encoder's, which stops after train.speech_epochs.
        settings += ["train.steps=1000000", "train.speech_share=1", f"train.output={root / 'log'}"]
        config = default_config(settings)
        context = make_context(config)
        model = make_model(context)
        assert isinstance(model, Speech2Lip)
        calibration = Calibration(context, model)
        for phase in calibration.phases():
            run_alone(phase, config)
        held_out, frames = calibration.codes()
        figures = figures_of(model, held_out, context.data.mouth[frames])
        speech = SpeechTraining(context, model, context.index.train)
        run_alone(Phase("speech", speech, 1.0, speech.most), config)
        model.eval()
        test = torch.from_numpy(context.index.test)
        figures += figures_of(model, spoken(model, context.data.windows(test)), context.data.mouth[test])
        features = make_backend(config.audio)
        for clip, real in others.items():
            windows = extract_windows([load_audio(clip)], probe(clip).fps, features, clip)[:][: len(real)]
            made = opening_of_points(model.basis.decode(spoken(model, torch.from_numpy(windows))).numpy())
            seen = np.isfinite(real[: len(made)])
            figures.append(correlation(made[seen], real[: len(made)][seen]))
    return figures


def run_alone(phase: Phase, config: Config) -> None:
    """All steps of one phase."""
    phase.trainee.begin()
    step = 0
    while (done := phase.spent(config.train, step, 0.0)) < 1:
        step += 1
        phase.trainee.step(Position(step, done, 0.0, 0))
    phase.trainee.end()


@torch.no_grad()
def spoken(model: Speech2Lip, windows: torch.Tensor) -> torch.Tensor:
    """Shape codes [N, K] of audio windows [N, rows, channels]."""
    parts = [model.encode_audio(part, torch.arange(len(part)))[1] for part in windows.split(256)]
    return torch.cat(parts)


def figures_of(model: Speech2Lip, codes: torch.Tensor, mouth: torch.Tensor) -> list[float]:
    """Of predicted codes [N, K] beside measured landmarks [N, points, 2]."""
    made, real = model.basis.decode(codes).numpy(), mouth.numpy()
    openings = [opening_of_points(m) for m in (made, real)]
    widths = [np.linalg.norm(m[:, _CORNERS[0]] - m[:, _CORNERS[1]], axis=1) for m in (made, real)]
    return [correlation(*openings), correlation(*widths), float(openings[0].std() / openings[1].std())]


@contextmanager
def subject_with(backend: str, out: Path) -> Iterator[Path]:
    """A copy of the preprocessed subject that has this backend's features; its pictures are links."""
    source, root = SubjectLayout(out / "subject"), out / f"subject_{backend}"
    shutil.rmtree(root, ignore_errors=True)
    (root / "audio").mkdir(parents=True)
    for entry in source.root.iterdir():
        if entry.name not in ("audio", source.subject.name):
            (root / entry.name).symlink_to(entry.resolve())
    subject = source.load_subject()
    features = make_backend(default_config([f"audio.backend={backend}"]).audio)
    windows = extract_windows([load_audio(source.audio)], subject.fps, features, source.audio)[:]
    layout = SubjectLayout(root)
    save_features(layout.features, windows, features.params())
    layout.save_subject(replace(subject, audio=features.params(), source=str(source.source_path(subject).resolve())))
    yield root
    shutil.rmtree(root)


def openings_of(clip: Path) -> np.ndarray:
    """The mouth's opening [T] in every frame of a video, over the distance between the eyes; nan without a face."""
    mesh = FaceMesh()
    landmarks = [mesh(frame) for frame in read_frames(clip, probe(clip).fps)]
    return np.array([np.nan if p is None else float(mouth_opening(p) / interocular(p)) for p in landmarks])


if __name__ == "__main__":
    sys.exit(main())
