"""Where the time of a rendered frame goes: every piece of the road alone, then all of it.

    python benchmarks/frame.py log/me/model.pt                    # a hundred frames
    python benchmarks/frame.py log/me/model.pt --frames 300 --batch 1

Prints the table of docs/performance.md: for every piece the processor time (all threads) and the time on the clock, in
milliseconds per frame, and what the pieces make together when they run at once. Pieces take turns, so that all see the same machine.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from speech2lip.threads import settle_threads

settle_threads()

import numpy as np
import torch

from benchmarks.isa import add_isa, isa_facts, obey_isa
from speech2lip.config import parse_setting
from speech2lip.errors import run_guarded
from speech2lip.evaluation.report import machine_facts
from speech2lip.media.encode import VideoWriter
from speech2lip.media.planes import Picture
from speech2lip.rendering.paste import Rendered
from speech2lip.rendering.predictor import Predictor
from speech2lip.rendering.walk import pictures_in_order, runs_of

ROUNDS = 3


class Road:
    """The pieces of rendering on the first frames of a subject, each fed with what the one before it gave."""

    def __init__(self, predictor: Predictor, frames: int, batch: int, folder: Path):
        self.predictor, self.folder = predictor, folder
        subject = predictor.subject
        self.order = np.arange(min(frames, subject.frames))
        self.parts = np.array_split(self.order, max(1, len(self.order) // batch))
        self.windows = predictor.features(predictor.layout.audio)
        self.pictures = self.decode()
        self.spoken = self.hear()
        self.observed = self.observe()
        self.painted = self.paint()
        self.rendered = self.paste()

    def decode(self) -> list[Picture]:
        return list(pictures_in_order(self.predictor.footage, runs_of(self.order)))

    def hear(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return [self.predictor.codes(self.windows[part], part) for part in self.parts]

    def observe(self) -> list[Any]:
        for k, picture in enumerate(self.pictures):  # whose RGB is not made yet
            rgb, planes, size, colour = picture.stored
            self.pictures[k] = Picture(rgb, planes, size=size, colour=colour)
        return [self.predictor.observe([self.pictures[k] for k in part], part) for part in self.parts]

    def paint(self) -> list[Any]:
        pairs = zip(self.observed, self.spoken, strict=True)
        return [self.predictor.finish(*observed, *spoken) for observed, spoken in pairs]

    def paste(self) -> list[Rendered]:
        out = []
        for part, painted in zip(self.parts, self.painted, strict=True):
            out += self.predictor.pasted([self.pictures[k] for k in part], part, painted)
        return out

    def encode(self) -> None:
        self._write(self.rendered)

    def everything(self) -> None:
        self._write(self.predictor.render(self.windows[self.order]))

    def _write(self, frames: Any) -> None:
        render = self.predictor.config.render
        settings: dict[str, Any] = {"crf": render.crf, "preset": render.preset, "colour": self.predictor.colour}
        with VideoWriter(self.folder / "frames.mp4", self.predictor.subject.fps, **settings) as video:
            for frame in frames:
                video.write(frame.written)


def measured(pieces: dict[str, Callable[[], Any]], frames: int) -> dict[str, tuple[float, float]]:
    """Milliseconds per frame of processor and clock, by piece: the medians of rounds."""
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in pieces}
    for _ in range(ROUNDS):
        for name, work in pieces.items():
            processor, clock = time.process_time(), time.perf_counter()
            work()
            spent = time.process_time() - processor, time.perf_counter() - clock
            seen[name].append((1000 * spent[0] / frames, 1000 * spent[1] / frames))
    return {name: tuple(np.median(rows, 0)) for name, rows in seen.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a trained model")
    parser.add_argument("settings", nargs="*", help="keys of section `render`, as render.crf=20")
    parser.add_argument("--subject", type=Path, help="its subject's folder (default: the one that it was trained on)")
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--batch", type=int, help="frames at once (default: render.batch)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    add_isa(parser)
    options = parser.parse_intermixed_args()
    obey_isa(options.isa)
    return run_guarded(lambda: run(options))


def run(options: argparse.Namespace) -> int:
    settings = dict(parse_setting(text) for text in options.settings)
    with (
        Predictor.reading(options.model, options.subject, options.device, settings) as predictor,
        tempfile.TemporaryDirectory() as folder,
    ):
        road = Road(predictor, options.frames, options.batch or predictor.config.render.batch, Path(folder))
        pieces = {
            "decoding": road.decode, "from sound to shape codes": road.hear, "cutting out": road.observe,
            "drawing and finishing": road.paint, "pasting back": road.paste, "encoding": road.encode,
            "all, at once": road.everything,
        }  # fmt: skip
        print(table(measured(pieces, len(road.order)), predictor))
    return 0


def table(rows: dict[str, tuple[float, float]], predictor: Predictor) -> str:
    subject = predictor.subject
    facts = machine_facts(str(predictor.device)) | isa_facts() | {
        "threads": str(torch.get_num_threads()),
        "frame": f"{subject.size[0]}x{subject.size[1]}", "lips": f"{subject.lip_size[0]}x{subject.lip_size[1]}",
    }  # fmt: skip
    lines = [", ".join(f"{k}: {v}" for k, v in facts.items()), ""]
    lines += ["| milliseconds per frame | processor | clock |", "|---|---|---|"]
    lines += [f"| {name} | {processor:.1f} | {clock:.1f} |" for name, (processor, clock) in rows.items()]
    return "\n".join([*lines, "", f"{1000 / rows['all, at once'][1]:.1f} frames per second"])


if __name__ == "__main__":
    sys.exit(main())
