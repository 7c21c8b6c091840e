"""What render.silence and render.steady do to the predicted mouth, and what disturbed speech does to it; nothing is painted.

    python benchmarks/silence.py log/me/model.pt                          # the test part of the clip
    python benchmarks/silence.py log/me/model.pt --audio speech.wav --plot silence.png

The test part: opening r, articulation (ratio of standard deviations) and mean error, in % of the interocular distance, of each
setting beside the real mouth. Pauses: speech (--audio, or the clip's own), three seconds in which nobody speaks, speech
again, alone and with made-up music or white noise so many dB below the speech; what the mouth does in the middle two
seconds, z: its opening less that of the person at rest, in standard deviations of that. Disturbances: of the test part's sound; how
well the model's two ears agree (as a share of that on the clean sound) and opening r. All openings are of predicted landmarks.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import numpy as np
import torch

from speech2lip.audio.backend import FeatureBackend
from speech2lip.audio.features import backend_from_params, extract_windows
from speech2lip.audio.rows import FeatureWindows
from speech2lip.audio.voice_activity import SpeechPresence, speech_probability
from speech2lip.config import SILENCES, with_changes
from speech2lip.errors import run_guarded
from speech2lip.facemesh import opening_of_points
from speech2lip.media.sound import SAMPLE_RATE, load_audio
from speech2lip.metrics.basic import correlation
from speech2lip.model.checkpoint import load_checkpoint
from speech2lip.model.familiarity import agreement
from speech2lip.model.rest import resting_frames
from speech2lip.nets.speech2lip import Speech2Lip
from speech2lip.rendering.predictor import Predictor
from speech2lip.rendering.silence import HeardSpeech
from speech2lip.subject.index import parse_subject
from speech2lip.subject.layout import SubjectLayout

SPOKEN, PAUSE = 4.0, 3.0  # seconds
_SHOWN = 5.0  # seconds of a plot of the test part
_STEADY = (0.0, 0.25, 0.5, 0.75, 1.0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="checkpoint; its subject's folder must be where it was")
    parser.add_argument("--data", type=Path, help="the subject's folder (default: the model's own)")
    parser.add_argument("--audio", type=Path, help="speech around the pauses (default: the clip's own)")
    parser.add_argument("--plot", type=Path, help="draw the opening over time, under music 10 dB below the speech")
    parser.add_argument(
        "--plot-steady", type=Path, help="draw the test part's opening with render.steady and render.articulation"
    )
    parser.add_argument(
        "--plot-voice", type=Path, help="draw how well the mouth is predicted over how well both ears agree"
    )
    options = parser.parse_args()
    warnings.filterwarnings("ignore", "Mean of empty slice|invalid value")  # clips without pauses
    return run_guarded(lambda: run(options))


def hear(wav: np.ndarray, fps: float, backend: FeatureBackend) -> HeardSpeech:
    """Windows of a made-up sound, 16 kHz mono [N], and where in it somebody speaks."""
    windows = extract_windows([wav], fps, backend, Path("made-up sound"))
    heard = SpeechPresence()
    heard.push(speech_probability([wav]))
    return HeardSpeech(windows, heard.at(np.arange(len(windows)) / fps))


class Bench:
    """A model, its subject, and predictors by setting."""

    def __init__(self, options: argparse.Namespace):
        self.checkpoint = load_checkpoint(options.model)
        self.layout = SubjectLayout(options.data or self.checkpoint.config.data.root)
        self.index = parse_subject(self.layout, self.checkpoint.config.data.test_fraction)
        self.fps, self.mouth = self.index.subject.fps, self.index.track.mouth
        self.opening = opening_of_points(self.mouth)
        self.off = self.predictor(silence="off")
        self.presence = self.off.own_speech(self.index.windows[:]).presence
        self.backend = backend_from_params(self.index.subject.audio)

    @property
    def model(self) -> Speech2Lip:
        assert isinstance(self.off.model, Speech2Lip)
        return self.off.model

    def predictor(self, **settings: object) -> Predictor:
        config = with_changes(self.checkpoint.config, "render", {f"render.{k}": v for k, v in settings.items()})
        return Predictor(replace(self.checkpoint, config=config), self.layout, "cpu")

    def hear(self, wav: np.ndarray) -> HeardSpeech:
        return hear(wav, self.fps, self.backend)

    def landmarks(self, heard: HeardSpeech, live: bool = False, **settings: object) -> np.ndarray:
        """Predicted mouths [N, points, 2]."""
        predictor = self.predictor(**settings)
        found = predictor.codes(heard, np.zeros(len(heard), int))
        codes = predictor.delivery(causal=live)(*found, torch.from_numpy(heard.presence))[1]
        return self.model.basis.decode(codes).numpy()


def run(options: argparse.Namespace) -> int:
    bench = Bench(options)
    on_test(bench, options.plot_steady)
    clip = load_audio(bench.layout.audio)
    spoken = load_audio(options.audio) if options.audio else clip
    pauses(bench, spoken[: round(SPOKEN * SAMPLE_RATE)], options.plot)
    disturbances(bench, clip, options.plot_voice)
    return 0


def on_test(bench: Bench, plot: Path | None) -> None:
    test = bench.index.test
    heard = HeardSpeech(bench.index.windows[test], bench.presence[test])
    real = bench.opening[test]
    shake = second_difference(bench.mouth[test]).mean()
    print(f"\ntest part: {len(test)} frames, {np.mean(heard.presence < 1):.0%} of them not wholly speech\n")
    print("| setting | opening r | articulation | error | jitter over real | lag, ms |\n|---|---|---|---|---|---|")
    plain = opening_of_points(bench.landmarks(heard))
    rows = [(f"silence={s}", {"silence": s}, False) for s in SILENCES]
    rows += [
        (f"steady={s:g}{', live' if live else ''}", {"steady": s}, live) for s in _STEADY[1:] for live in (False, True)
    ]
    for title, settings, live in rows:
        points = bench.landmarks(heard, live, **settings)
        made = opening_of_points(points)
        error = 100 * np.abs(made - real).mean() / iod(bench)
        print(
            f"| {title} | {correlation(made, real):.3f} | {made.std() / real.std():.2f} | {error:.2f} | "
            f"{second_difference(points).mean() / shake:.2f} | {1000 * lag(made, plain) / bench.fps:.0f} |"
        )
    if plot is not None:
        stronger = opening_of_points(bench.landmarks(heard, articulation=1.5))
        steady = opening_of_points(bench.landmarks(heard, steady=1.0))
        shown = {"as predicted": plain, "--articulation 1.5": stronger, "--steady 1": steady}
        draw_lines(plot, {name: opening[: round(_SHOWN * bench.fps)] for name, opening in shown.items()}, bench.fps)


def pauses(bench: Bench, spoken: np.ndarray, plot: Path | None) -> None:
    rest = resting_frames(bench.mouth, bench.index.train, bench.presence)
    quiet = bool((bench.presence[rest] == 0).all())
    at_rest, real = bench.opening[rest], second_difference(bench.mouth)
    inside = np.flatnonzero((bench.presence[:-2] == 0) & (bench.presence[1:-1] == 0) & (bench.presence[2:] == 0))
    shake = real[inside].mean() if len(inside) else float("nan")
    kind = "in which nobody speaks" if quiet else "most closed, for want of pauses"
    print(
        f"\nthe person at rest: {len(rest)} frames, {kind}; opening {at_rest.mean():.2f} +- {at_rest.std():.2f} pixels, ",
        end="",
    )
    print(
        f"of all training frames {bench.opening[bench.index.train].mean():.2f} +- {bench.opening[bench.index.train].std():.2f}\n"
    )
    columns = " | ".join(f"{s}: opening (z) | {s}: motion over real" for s in SILENCES)
    print(f"| in the pause | {columns} |\n|---" + "|---" * 2 * len(SILENCES) + "|")
    middle = slice(round((SPOKEN + 0.6) * bench.fps), round((SPOKEN + 2.6) * bench.fps))
    for title, wav in pauses_with(spoken):
        heard, cells, shown = bench.hear(wav), [], {}
        for silence in SILENCES:
            points = bench.landmarks(heard, silence=silence)
            shown[silence] = opening_of_points(points)
            opening = shown[silence][middle].mean()
            z = (opening - at_rest.mean()) / at_rest.std() if quiet else float("nan")
            cells.append(f"{opening:.2f} ({z:+.2f}) | {second_difference(points)[middle].mean() / shake:.2f}")
        print(f"| {title} | {' | '.join(cells)} |", flush=True)
        if plot is not None and title == "music, 10 dB below":
            draw(plot, shown, bench.fps, float(at_rest.mean()))


def pauses_with(spoken: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    wav = np.concatenate([spoken, np.zeros(round(PAUSE * SAMPLE_RATE), np.float32), spoken])
    level = float(np.sqrt((spoken**2).mean()))
    yield "silence", wav
    for decibels in (20, 10, 0):
        yield f"music, {decibels} dB below", wav + disturbance(music(len(wav)), level, decibels)
    yield "noise, 20 dB below", wav + disturbance(noise(len(wav)), level, 20)


def disturbances(bench: Bench, clip: np.ndarray, plot: Path | None) -> None:
    test = bench.index.test
    first, count = test[0], test[-1] + 1 - test[0]
    wav = clip[round(first / bench.fps * SAMPLE_RATE) :][: round(count / bench.fps * SAMPLE_RATE)]
    presence = bench.presence[first : first + count]
    speech = np.flatnonzero((presence == 1) & bench.index.track.clear[first : first + count])
    level, real, clean = float(np.sqrt((wav**2).mean())), bench.opening[first : first + count][speech], float("nan")
    print("\n| test part's sound | agreement | share of clean | opening r in speech |\n|---|---|---|---|")
    sounds = [("clean", wav)]
    sounds += [(f"noise, {d} dB below", wav + disturbance(noise(len(wav)), level, d)) for d in (20, 10, 5, 0)]
    sounds += [(f"music, {d} dB below", wav + disturbance(music(len(wav)), level, d)) for d in (10, 0)]
    sounds += [("telephone band", telephone(wav)), ("reverberation", reverberation(wav))]
    points: dict[str, tuple[float, float]] = {}
    for title, sound in sounds:
        windows: FeatureWindows = extract_windows([sound], bench.fps, bench.backend, Path("made-up sound"))
        usable = speech[speech < len(windows)]
        found = agreement(bench.model, windows, usable)
        clean = found if title == "clean" else clean
        codes = bench.off.codes(windows, np.zeros(len(windows), int))[1]
        made = opening_of_points(bench.model.basis.decode(codes).numpy())[usable]
        r = correlation(made, real[: len(usable)])
        points[title] = found / clean, r
        print(f"| {title} | {found:.2f} | {found / clean:.2f} | {r:.2f} |", flush=True)
    if plot is not None:
        draw_points(plot, points)


# ---------------------------------------------------------------- sounds


def music(count: int, seed: int = 0) -> np.ndarray:
    """Plucked chords and drums, at a root mean square of 1."""
    rng, out = np.random.default_rng(seed), np.zeros(count)
    beat, held = SAMPLE_RATE // 4, SAMPLE_RATE * 3 // 4
    for number, at in enumerate(range(0, count, beat)):
        t = np.arange(min(held, count - at))
        for pitch in rng.choice([220, 261.6, 329.6, 392, 440, 523.3], 2):
            strings = sum(np.sin(2 * np.pi * pitch * h * t / SAMPLE_RATE) / h for h in range(1, 6))
            out[at : at + len(t)] += np.exp(-t / 5000) * strings
        if number % 2 == 0:
            out[at : at + len(t)] += 2 * rng.normal(size=len(t)) * np.exp(-t / 400)
    return np.asarray(out / np.sqrt((out**2).mean()))


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=count)


def disturbance(sound: np.ndarray, level: float, decibels: float) -> np.ndarray:
    return np.asarray(sound * level * 10 ** (-decibels / 20), np.float32)


def telephone(wav: np.ndarray) -> np.ndarray:
    from scipy.signal import butter, sosfilt

    return np.asarray(sosfilt(butter(4, [300, 3400], "band", fs=SAMPLE_RATE, output="sos"), wav), np.float32)


def reverberation(wav: np.ndarray) -> np.ndarray:
    """A hall: half a second of decaying noise after the sound itself."""
    from scipy.signal import fftconvolve

    t = np.arange(SAMPLE_RATE // 2)
    hall = np.random.default_rng(2).normal(size=len(t)) * np.exp(-t / 2000)
    hall[0] = 3
    return np.asarray(fftconvolve(wav, hall / np.sqrt((hall**2).sum()))[: len(wav)], np.float32)


# ---------------------------------------------------------------- measures


def second_difference(points: np.ndarray) -> np.ndarray:
    """[N - 2] of landmarks [N, points, 2], in pixels."""
    return np.asarray(np.abs(np.diff(points, 2, axis=0)).mean((1, 2)))


def iod(bench: Bench) -> float:
    """Distance between the outer eye corners in the canonical frame, in pixels."""
    from speech2lip.facemesh import interocular

    found = np.load(bench.layout.landmarks)["landmarks"][bench.index.subject.canonical_frame]
    return float(interocular(found))


def lag(made: np.ndarray, plain: np.ndarray, most: int = 4) -> float:
    """Frames by which one curve follows another, to a fraction: the peak of a parabola through the correlations."""
    lags = np.arange(-most, most + 1)
    r = [correlation(made[most + k : len(made) - most + k], plain[most:-most]) for k in lags]
    k = min(max(int(np.argmax(r)), 1), len(r) - 2)
    return float(lags[k] + 0.5 * (r[k - 1] - r[k + 1]) / (r[k - 1] - 2 * r[k] + r[k + 1]))


def draw(path: Path, shown: dict[str, np.ndarray], fps: float, rest: float) -> None:
    def more(axes: Any) -> None:
        axes.axvspan(SPOKEN, SPOKEN + PAUSE, color="0.9", zorder=0)
        axes.axhline(rest, color="0.4", linewidth=0.8, linestyle=":", label="the person at rest")
        axes.set(xlabel="seconds; nobody speaks where it is grey", xlim=(2, SPOKEN + PAUSE + 2))

    draw_lines(path, dict(reversed(shown.items())), fps, more)


def draw_lines(
    path: Path, shown: dict[str, np.ndarray], fps: float, more: Callable[[Any], None] = lambda axes: None
) -> None:
    """The mouth's opening over time, by name."""
    figure, axes = _axes()
    for name, opening in shown.items():
        axes.plot(np.arange(len(opening)) / fps, opening, label=name, linewidth=1.3)
    axes.set(xlabel="seconds", ylabel="mouth opening, pixels")
    more(axes)
    axes.legend(loc="upper right", fontsize=8, ncols=2)
    figure.tight_layout()
    figure.savefig(path)


def draw_points(path: Path, points: dict[str, tuple[float, float]]) -> None:
    """Share of the clean agreement, and opening r, by what was done to the sound."""
    figure, axes = _axes()
    for number, (name, (share, r)) in enumerate(sorted(points.items(), key=lambda item: item[1][1])):
        axes.plot(share, r, "o", color="#1668c7")
        side, place = (("right", (-5, -10)), ("left", (5, -10)), ("left", (5, 3)))[number % 3]  # neighbours apart
        axes.annotate(name, (share, r), xytext=place, textcoords="offset points", fontsize=8, ha=side)
    axes.axvspan(0.65, 0.85, color="0.94", zorder=0, label="somewhat far; left of it far, right of it near")
    (low, high), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    axes.set(
        xlabel="agreement of both ways of hearing, as a share of that on the clean sound",
        ylabel="opening r",
        xlim=(low - 0.06, high + 0.08),
        ylim=(bottom - 0.02, top + 0.02),
    )
    axes.legend(loc="lower right", fontsize=8)
    figure.tight_layout()
    figure.savefig(path)


def _axes() -> tuple[Any, Any]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot.subplots(figsize=(8, 2.8), dpi=100)


if __name__ == "__main__":
    sys.exit(main())
