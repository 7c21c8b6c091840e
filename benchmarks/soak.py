"""Live rendering for a simulated day: sound arrives as fast as it is consumed; is every hour like the first?

    python benchmarks/soak.py --hours 24          # as long as it takes; Ctrl-C reports what was done so far
    python benchmarks/soak.py --hours 0.05 --writer none
    python benchmarks/soak.py --hours 24 --session

A tiny model of the synthetic speaker (trained here in a minute, or given with --model) paints frames for speech that
repeats. Memory and processor time per frame are taken a hundred times; a table shows every tenth. OUT/soak.json has all. --writer none leaves the encoder out.
--session soaks a conversation instead (docs/live.md): every ten seconds something is said, once a minute it is interrupted, and the face
idles in between.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import numpy as np

from speech2lip.config import default_config
from speech2lip.demo.speaker import TRAINING_SENTENCES, make_speaker
from speech2lip.errors import run_guarded
from speech2lip.files import atomic_path
from speech2lip.live.session import open_session
from speech2lip.media.facts import Colour
from speech2lip.media.sound import SAMPLE_RATE, load_audio
from speech2lip.preparation.pipeline import preprocess
from speech2lip.rendering import live
from speech2lip.training.trainer import fit

PIECE = SAMPLE_RATE // 25
TINY = (
    "train.steps=40", "train.minutes=0", "train.batch=2", "model.lip.width=32", "model.lip.layers=2", "model.lip.skip_after=0",
    "model.blend.widths=[8,8,8]", "audio.backend=mel", "face.max_crop=192", "train.articulate=1",
)  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """hours of sound so far; memory in MB; processor milliseconds per frame since the sample before."""

    hours: float
    memory: float
    per_frame: float


def memory_now() -> float:
    """Resident megabytes of this process; its largest where the system does not say."""
    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Pulse:
    """`seconds` of sound that take a sample after `warm` seconds, and then a hundred more."""

    def __init__(self, speech: np.ndarray, seconds: float, warm: float = 20.0):
        self.speech, self.seconds, self.warm = speech, seconds, warm
        self.samples: list[Sample] = []
        self._since = (0.0, 0.0)  # seconds of sound, processor seconds

    def __iter__(self) -> Iterator[np.ndarray]:
        pieces = len(self.speech) // PIECE
        marks = np.linspace(self.warm, self.seconds, 101).tolist()
        for number in range(round(self.seconds * 25) + 1):
            if marks and number / 25 >= marks[0]:
                marks.pop(0)
                self._take(number / 25)
            at = number % pieces * PIECE
            yield self.speech[at : at + PIECE]

    def _take(self, heard: float) -> None:
        before, spent = self._since
        now = time.process_time()
        self._since = (heard, now)
        per_frame = (now - spent) / max((heard - before) * 25, 1) * 1000
        self.samples.append(Sample(heard / 3600, memory_now(), per_frame))


class NoWriter:
    """Takes the place of the encoder."""

    def __init__(self, out: str, fps: float, colour: Colour):
        pass

    def __enter__(self) -> NoWriter:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def write(self, frame: np.ndarray, kept: object = None) -> None:
        pass

    def hear(self, samples: np.ndarray) -> None:
        pass

    def hurry(self) -> None:
        pass


def tiny_model(folder: Path) -> Path:
    """A small model of the synthetic speaker, made when it is not there."""
    config = default_config([*TINY, "name=soak", f"data.root={folder / 'subject'}", f"train.output={folder / 'log'}"])
    if not (folder / "speaker.mp4").is_file():
        make_speaker(folder, TRAINING_SENTENCES[:2], size=256)
    preprocess(config, folder / "speaker.mp4")
    return fit(config)


def soak(model: Path, speech: np.ndarray, seconds: float, writer: str = "live") -> tuple[live.LiveReport, list[Sample]]:
    """Render `seconds` of sound; the samples are taken over tenths of it."""
    pulse = Pulse(speech, seconds)
    kept = live.LiveWriter
    if writer == "none":
        live.LiveWriter = NoWriter  # type: ignore[misc,assignment]
    try:
        report = live.render_live(model, None, iter(pulse), "-", "cpu")
    finally:
        live.LiveWriter = kept  # type: ignore[misc]
    return report, pulse.samples


def converse(model: Path, speech: np.ndarray, seconds: float) -> tuple[int, list[Sample]]:
    """Let a session pass `seconds`; frames, and the samples as of `soak`."""
    moments = Pulse(speech, seconds)
    frames = 0
    with open_session(model, device="cpu") as session:
        for number, _ in enumerate(moments):
            at = number / 25
            if at % 10 == 0:
                start = int(at) % max(len(speech) // SAMPLE_RATE - 4, 1) * SAMPLE_RATE
                session.say(speech[start : start + 4 * SAMPLE_RATE])
            if at % 60 == 31:
                session.interrupt()
            frames += sum(1 for shown in session.advance(1 / 25) if shown.image.size)
    return frames, moments.samples


def tenths(samples: list[Sample]) -> list[Sample]:
    """At most eleven samples, from the first to the last, with the mean time per frame since the one before."""
    at = np.unique(np.linspace(0, len(samples) - 1, 11).astype(int)) if samples else []
    parts = [samples[a + 1 : b + 1] for a, b in itertools.pairwise(at)]
    means = [float(np.mean([s.per_frame for s in part])) for part in parts]
    return samples[:1] + [Sample(p[-1].hours, p[-1].memory, m) for p, m in zip(parts, means, strict=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0, help="of sound (default 24)")
    parser.add_argument("--model", type=Path, help="checkpoint (default: a tiny one is trained)")
    parser.add_argument("--audio", type=Path, help="speech that repeats (default: the tiny model's own)")
    parser.add_argument("--session", action="store_true", help="a conversation, which writes nothing")
    parser.add_argument("--writer", choices=("live", "none"), default="live", help="encode the frames, or not")
    parser.add_argument("--out", type=Path, default=Path("rendering_result/soak"), help="folder")
    options = parser.parse_args()
    return run_guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    options.out.mkdir(parents=True, exist_ok=True)
    model = options.model or tiny_model(options.out)
    speech = load_audio(options.audio or options.out / "speaker.wav")
    shown = os.dup(1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # where the video goes
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it otherwise
    started = time.monotonic()
    if options.session:
        frames, samples = converse(model, speech, options.hours * 3600)
        said = f"{frames} frames of a conversation"
    else:
        report, samples = soak(model, speech, options.hours * 3600, options.writer)
        frames, said = report.frames, str(report)
    seconds = time.monotonic() - started
    os.dup2(shown, 1)
    print(f"{said}\n\n| hours | memory (MB) | processor time per frame (ms) |\n|---|---|---|")
    for sample in tenths(samples):
        print(f"| {sample.hours:.3f} | {sample.memory:.1f} | {sample.per_frame:.2f} |")
    done = frames / 25 / 3600
    print(f"\n{done:.2f} hours of sound in {seconds / 3600:.2f} hours")
    with atomic_path(options.out / "soak.json") as path:
        rows = [asdict(sample) for sample in samples]
        path.write_text(json.dumps({"hours": done, "frames": frames, "samples": rows}, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
