"""Speed beside the published cost, in one process, interleaved: ratios that a busy machine cannot bend.

    python benchmarks/speed.py            # some ten minutes on two cores
    python benchmarks/speed.py --quick    # a few minutes, coarse
    python benchmarks/speed.py --isa avx2 # as on a machine without AVX-512 and bfloat16

The published cost is that of the authors' networks at their May configuration (500x500 face,
120x80 lip, batch 1, float32): a training step with the four-sample ensemble, a rendered frame
with one sample, the U-Net on the whole face; no perceptual and no sync loss. Ours is measured
on a synthetic speaker of the same size: training steps as the trainer takes them with all its
losses, rendering by networks alone and from decoding to encoding. Prints the tables of
docs/performance.md and writes OUT/speed.json.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import numpy as np
import torch

from benchmarks.isa import add_isa, isa_facts, obey_isa
from speech2lip.config import Config, load_config
from speech2lip.demo.speaker import TRAINING_SENTENCES, make_speaker
from speech2lip.errors import run_guarded
from speech2lip.evaluation.report import machine_facts
from speech2lip.files import atomic_path
from speech2lip.media.encode import VideoWriter
from speech2lip.media.planes import Picture
from speech2lip.media.sound import SAMPLE_RATE, load_audio, save_wav
from speech2lip.model.checkpoint import load_checkpoint, save_checkpoint
from speech2lip.model.device import pick_device
from speech2lip.nets.published import PublishedFaces, PublishedNets, lip_mask
from speech2lip.preparation.pipeline import preprocess
from speech2lip.preparation.stages import stage_seconds
from speech2lip.rendering.files import render_video
from speech2lip.rendering.live import render_live
from speech2lip.rendering.predictor import Predictor
from speech2lip.subject.layout import SubjectLayout
from speech2lip.training.losses import masked_mse
from speech2lip.training.phases import Position
from speech2lip.training.trainer import Trainer

FACE, LIP = 500, (120, 80)  # the May configuration
SHORT = ("Papa moved the piano upstairs before the movers came.",)
PRESETS = ("fast", "tiny", "faithful")
Task = Callable[[], int]  # works, and returns how many samples or frames it made


class PublishedCost:
    """The authors' networks at their May configuration, fed with noise."""

    def __init__(self, ensemble: str, device: torch.device):
        self.device, self.net = device, PublishedNets(LIP, ensemble=ensemble).to(device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=1e-4)
        left, top = (FACE - LIP[0]) // 2, FACE * 2 // 3
        ticks = torch.linspace(-1, 1, FACE)
        grid = torch.stack(torch.meshgrid(ticks, ticks, indexing="xy"), -1)[None].to(device)
        canonical, observed = torch.rand(2, 1, 3, FACE, FACE, device=device)
        mask = lip_mask(FACE, FACE, LIP, left, top).to(device)
        self.faces = PublishedFaces(canonical, observed, mask, grid, left, top)
        self.window, self.frame = torch.randn(1, 16, 29, device=device), torch.randn(1, 20, device=device)
        self.target = torch.rand(1, 3, LIP[1], LIP[0], device=device)

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        lip = self.net.lip({"audio": self.net.encoder(self.window), "time": self.frame})
        return lip, self.net.fuse_whole(lip, self.faces).result

    def train(self) -> int:
        """One sample."""
        self.net.train()
        lip, face = self.forward()
        ones = torch.ones(1, 1, 1, 1, device=self.device)
        loss = masked_mse(lip, self.target, ones) + masked_mse(face, self.faces.observed, ones)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        _finish(self.device)
        return 1

    @torch.no_grad()
    def render(self) -> int:
        """One frame, networks alone."""
        self.net.eval()
        self.forward()
        _finish(self.device)
        return 1


class Ours:
    """One preset on the synthetic subject."""

    def __init__(self, config: Config, frames: int):
        self.config, self.trainer = config, Trainer(config, fresh=True)
        self.model_path = Path(config.train.output) / config.name / "model.pt"
        save_checkpoint(self.model_path, config, self.trainer.metadata, self.trainer.model, {})
        self.predictor = Predictor(
            load_checkpoint(self.model_path), SubjectLayout(config.data.root), config.train.device
        )
        index = self.trainer.context.index
        self.windows = index.windows[np.arange(frames) % len(index.windows)]
        sources = index.train[: config.render.batch]
        self.batch = self.trainer.context.data.batch(sources)
        picture = Picture(np.zeros((*index.subject.size[::-1], 3), np.uint8))
        self.observed = self.predictor.observe([picture] * len(sources), sources)

    def train(self) -> int:
        """One step with all losses."""
        self.trainer.phases[-1].trainee.step(Position(1, 1.0, 1.0, 1000))
        _finish(self.trainer.context.device)
        return self.config.train.batch

    @torch.no_grad()
    def networks(self) -> int:
        """One batch of frames, networks alone."""
        model, batch = self.predictor.model, self.batch
        embedding, codes = model.encode_audio(batch.windows, batch.frame)
        self.predictor.finish(*self.observed, embedding, codes)
        _finish(self.predictor.device)
        return len(batch.windows)

    def whole(self) -> int:
        """Decode, render, paste back, encode."""
        target = self.model_path.with_name("speed.mp4")
        with VideoWriter(target, 25.0, crf=self.config.render.crf, preset=self.config.render.preset) as video:
            for frame in self.predictor.render(self.windows):
                video.write(frame.written)
        return len(self.windows)


def _finish(device: torch.device) -> None:
    """Wait for work that a GPU still does."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def rates(tasks: dict[str, Task], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Samples per second of every task and round; tasks take turns, so that all see the same machine."""
    for task in tasks.values():
        task()
    out: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            start, made = time.perf_counter(), 0
            while made == 0 or time.perf_counter() - start < seconds:
                made += task()
            out[name].append(made / (time.perf_counter() - start))
    return out


# ---------------------------------------------------------------- the run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few rounds and frames")
    parser.add_argument("--clip", type=Path, help="video to measure ours on (default: a synthetic speaker, 500x500)")
    parser.add_argument("--out", type=Path, default=Path("rendering_result/speed"), help="folder for everything")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--memory-of", nargs=2, metavar=("TASK", "SECONDS"), help="only print the peak memory of a short training (train 0), or of rendering OUT/sound_SECONDS.wav (render "
                        "SECONDS), with the subject in OUT/subject")  # fmt: skip
    add_isa(parser)
    options = parser.parse_args()
    obey_isa(options.isa)
    return run_guarded(lambda: memory_task(options) if options.memory_of else run(options))


def run(options: argparse.Namespace) -> int:
    clip = options.clip or synthetic(options.out, SHORT if options.quick else TRAINING_SENTENCES[:8])
    seconds = preprocess_afresh(options, clip)
    device = pick_device(options.device)
    published = PublishedCost("corners", device), PublishedCost("center", device)
    ours = {name: Ours(preset(name, options), 50 if options.quick else 200) for name in PRESETS}
    rounds, length = (2, 0.5) if options.quick else (5, 6.0)
    groups = {
        "training, samples": {"published": published[0].train} | {n: o.train for n, o in ours.items()},
        "rendering, networks alone": {"published": published[1].render} | {n: o.networks for n, o in ours.items()},
        "rendering, end to end": {n: o.whole for n, o in ours.items()},
    }  # fmt: skip
    memory = [] if options.quick else [("train", 0), ("render", 10), ("render", 600)]
    measured = {title: rates(tasks, rounds, length) for title, tasks in groups.items()}
    facts = {
        "machine": machine_facts(str(device)) | isa_facts() | {"threads": str(torch.get_num_threads())}, "rates": measured,
        "preprocessing": seconds, "bytes_per_frame": bytes_per_frame(SubjectLayout(options.out / "subject")),
        "peak_memory_mb": {f"{task} {length} s" if length else task: peak_memory(task, length, options) for task, length in memory},
        "live": {name: live(ours[name], 4.0 if options.quick else 20.0) for name in PRESETS[:2]},
    }  # fmt: skip
    with atomic_path(options.out / "speed.json") as path:
        path.write_text(json.dumps(facts, indent=1))
    print(report(facts))
    return 0


def synthetic(out: Path, sentences: tuple[str, ...]) -> Path:
    """Video of the synthetic speaker at the published size, made once."""
    clip = out / f"speaker_{len(sentences)}.mp4"
    if not clip.is_file():
        make_speaker(out, sentences, FACE, name=clip.stem)
    return clip


def preset(name: str, options: argparse.Namespace, *more: str) -> Config:
    settings = [f"name={name}", f"data.root={options.out / 'subject'}", f"train.output={options.out / 'log'}"]
    return load_config(name, [*settings, f"train.device={options.device}", *more])


def preprocess_afresh(options: argparse.Namespace, clip: Path) -> dict[str, float]:
    """Frames per second of every stage, nothing kept from before."""
    layout = SubjectLayout(options.out / "subject")
    layout.stages.unlink(missing_ok=True)
    subject = preprocess(preset("fast", options), clip)
    seconds: dict[str, float] = stage_seconds(layout.stages)
    out = {name: subject.frames / max(value, 1e-3) for name, value in seconds.items()}
    return out | {"all": subject.frames / sum(seconds.values())}


def bytes_per_frame(layout: SubjectLayout) -> float:
    """What preprocessing left on disk, beside the source."""
    subject = layout.load_subject()
    source = layout.source_path(subject).resolve()
    files = (p for p in layout.root.rglob("*") if p.is_file() and p.resolve() != source)
    return sum(p.stat().st_size for p in files) / subject.frames


def memory_task(options: argparse.Namespace) -> int:
    """In a process of its own: a training of 40 steps, all phases, or so many seconds of video; prints the peak in MB."""
    task, seconds = options.memory_of
    if task == "train":
        config = preset("fast", options, "train.steps=40", f"train.output={options.out / 'short'}")
        if not Trainer(config, fresh=True).run():
            raise KeyboardInterrupt
    else:
        config = preset("fast", options)
        model = Path(config.train.output) / config.name / "model.pt"
        sound = options.out / f"sound_{seconds}.wav"
        render_video(model, sound, options.out / "long.mp4", device=options.device)
    print(f"peak {own_peak():.0f}")
    return 0


def own_peak() -> float:
    """Largest memory of this process so far, MB.

    On Linux, getrusage also counts the parent before exec; the memory map's own high-water mark does not.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024  # type: ignore[index]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def peak_memory(task: str, seconds: int, options: argparse.Namespace) -> float:
    if task == "render":
        voice = load_audio(options.out / "subject" / "audio" / "audio.wav")
        sound = np.tile(voice, seconds * SAMPLE_RATE // len(voice) + 1)[: seconds * SAMPLE_RATE]
        save_wav(options.out / f"sound_{seconds}.wav", sound)
    command = [sys.executable, __file__, "--memory-of", task, str(seconds)]
    command += ["--out", str(options.out), "--device", options.device]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"measuring the memory of {task} failed: {run.stderr[-400:]}")
    return float(run.stdout.rsplit("peak ", 1)[1])


def live(ours: Ours, seconds: float) -> dict[str, float]:
    """Latency (ms) and the rate that could be kept up when sound arrives in real time."""
    voice = load_audio(Path(ours.config.data.root) / "audio" / "audio.wav")[: round(seconds * SAMPLE_RATE)]

    def arriving() -> Iterator[np.ndarray]:
        begin = time.monotonic()
        for end in range(640, len(voice) + 1, 640):
            time.sleep(max(0.0, begin + end / SAMPLE_RATE - time.monotonic()))
            yield voice[end - 640 : end]

    out = str(ours.model_path.with_name("live.mkv"))
    report = render_live(ours.model_path, Path(ours.config.data.root), arriving(), out, ours.config.train.device)
    middle, most = np.percentile(report.latency, [50, 95]) * 1000
    return {"median_ms": float(middle), "most_ms": float(most), "sustained": report.frames / report.busy}


# ---------------------------------------------------------------- tables


def report(facts: dict[str, Any]) -> str:
    """Markdown: rates with their spread and ratio to the published cost, then the rest."""
    lines = [", ".join(f"{k}: {v}" for k, v in facts["machine"].items()), ""]
    lines += [
        " | ".join(["| per second", "published", *PRESETS, *(f"{name} / published" for name in PRESETS)]) + " |",
        "|---" * (2 + 2 * len(PRESETS)) + "|",
    ]
    for title, measured in facts["rates"].items():
        cells = [spread(measured.get(name)) for name in ("published", *PRESETS)]
        ratios = [ratio(measured, name) for name in PRESETS]
        lines.append(f"| {title} | " + " | ".join([*cells, *ratios]) + " |")
    lines += ["", "| preprocessing, frames per second | |", "|---|---|"]
    lines += [f"| {name} | {value:.0f} |" for name, value in facts["preprocessing"].items()]
    lines += ["", f"on disk: {facts['bytes_per_frame'] / 1000:.0f} KB per frame"]
    lines += [f"peak memory: {task} {value:.0f} MB" for task, value in facts["peak_memory_mb"].items()]
    lines += [
        f"live, {name}: latency {heard['median_ms']:.0f} ms (95 % within {heard['most_ms']:.0f} ms), "
        f"{heard['sustained']:.0f} frames per second could be kept up"
        for name, heard in facts["live"].items()
    ]
    return "\n".join(lines)


def spread(values: Sequence[float] | None) -> str:
    """Median, and the range of the rounds."""
    if not values:
        return "–"
    return f"{statistics.median(values):.3g} ({min(values):.3g} to {max(values):.3g})"


def ratio(measured: dict[str, list[float]], name: str) -> str:
    """Median of the rounds' ratios."""
    if "published" not in measured:
        return "–"
    return f"{statistics.median(a / b for a, b in zip(measured[name], measured['published'], strict=True)):.1f}x"


if __name__ == "__main__":
    sys.exit(main())
