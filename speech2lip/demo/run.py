"""The demo: the whole product on the synthetic speaker, with its ground truth as judge."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from ..config import Config, signing_settings
from ..evaluation.recording import Recorder
from ..evaluation.run import check_packages, evaluate
from ..evaluation.view import view_of
from ..extras import needs
from ..files import atomic_path
from ..media.decode import read_frames
from ..media.images import write_image
from ..metrics.basic import best_lag, correlation
from ..preparation.pipeline import preprocess
from ..provenance.signing import check_signing
from ..rendering.files import join_side_by_side, render_video
from ..subject.consent import synthetic
from ..subject.layout import SubjectLayout
from ..training.trainer import fit
from ..weights.wanted import check_weights
from .speaker import HELD_OUT_SENTENCE, TRAINING_SENTENCES, make_speaker


class _Plan:
    """What will happen and how long it takes on two cores, said at once and at each step."""

    def __init__(self, steps: dict[str, float]):
        self._steps, self._begin, self._number = steps, time.monotonic(), 0
        total = sum(steps.values()) / 60
        print(f"The demo takes about {max(1, round(total))} minutes on two cores, in {len(steps)} steps:")
        for number, (name, seconds) in enumerate(steps.items(), 1):
            print(f"  {number}. {name} (about {_duration(seconds)})")

    def next(self) -> None:
        """Say which step begins."""
        self._number += 1
        spent = _duration(time.monotonic() - self._begin)
        print(f"\n[{self._number}/{len(self._steps)}, after {spent}] {list(self._steps)[self._number - 1]}", flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"


def run_demo(config: Config, out: Path, fresh: bool = False) -> dict[str, float]:
    """Synthesise, preprocess, train, render a held-out sentence and judge it; returns the figures.

    The last line printed is the path of the generated video.
    """
    needs("demo", "espeakng_loader")
    check_packages()
    check_weights(config)
    check_signing(config.render)
    training = 60 * config.train.minutes or 0.15 * config.train.steps
    plan = _Plan(
        {
            "draw a synthetic speaker": 30, "find the face, track the head": 25, "learn the mouth": training,
            "let the speaker say a new sentence": 10, "measure how good it is, write a report": 50,
        }
    )  # fmt: skip
    plan.next()
    speaker, held_out = _clips(out)
    plan.next()
    preprocess(config, speaker, remedy="choose another folder with --out", consent=synthetic)
    plan.next()
    model = fit(config, fresh)
    plan.next()
    result, both = out / "generated.mp4", out / "real_and_generated.mp4"
    voice, signing = held_out.with_suffix(".wav"), signing_settings(config)
    count = render_video(model, voice, result, device=config.train.device, settings=signing)
    layout = SubjectLayout(config.data.root)
    fps = layout.load_subject().fps
    join_side_by_side(held_out, result, both, fps, voice, config.render)
    plan.next()
    evaluate(model, Path(config.data.root), out / "evaluation", device=config.train.device)
    figures = judge(result, held_out, layout, fps)
    preview(held_out, result, fps, out / "preview.jpg")
    with atomic_path(out / "figures.json") as path:
        path.write_text(json.dumps(figures, indent=1))
    print(f"\nheld-out sentence, {count} frames: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))
    print(f"figures: {out / 'figures.json'}\nreal beside generated: {both}\nvideo of the new sentence:\n{result}")
    return figures


def _clips(out: Path) -> tuple[Path, Path]:
    """The training clip and the held-out clip; kept when they are there already."""
    paths = out / "speaker.mp4", out / "held_out.mp4"
    if not (out / "speaker_truth.npz").is_file():
        make_speaker(out, TRAINING_SENTENCES, name="speaker")
    if not (out / "held_out_truth.npz").is_file():
        make_speaker(out, (HELD_OUT_SENTENCE,), seed=7, name="held_out")
    return paths


def preview(real: Path, generated: Path, fps: float, target: Path, moments: int = 5) -> None:
    """A picture of `moments` moments, spread over the most open mouths: real above generated."""
    with np.load(real.with_name(f"{real.stem}_truth.npz"), allow_pickle=False) as truth:
        opening = truth["mouth"][:, 0]
    parts = np.array_split(np.arange(len(opening)), moments)
    wanted = [int(p[opening[p].argmax() if k % 2 == 0 else opening[p].argmin()]) for k, p in enumerate(parts)]
    rows = [[f for i, f in enumerate(read_frames(path, fps)) if i in wanted] for path in (real, generated)]
    write_image(target, np.vstack([np.hstack(row) for row in rows]), 92)


def judge(result: Path, held_out: Path, layout: SubjectLayout, fps: float) -> dict[str, float]:
    """Generated mouth opening against the truth of the sentence (the real head was never shown)."""
    crop = layout.load_subject().crop
    recorder = Recorder()
    for frame in read_frames(result, fps):
        recorder.add(view_of(frame, crop))
    series = recorder.finish()
    with np.load(held_out.with_name(f"{held_out.stem}_truth.npz"), allow_pickle=False) as truth:
        opening = truth["mouth"][:, 0]
    count = min(len(opening), len(series.opening))
    seen = np.isfinite(series.opening[:count])
    generated, true = series.opening[:count][seen], opening[:count][seen]
    lag, _ = best_lag(generated, true)
    return {
        "opening_r": correlation(generated, true), "offset_frames": float(lag), "face_found": series.found,
        "frames_generated": float(len(series.opening)), "frames_true": float(len(opening)),
    }  # fmt: skip
