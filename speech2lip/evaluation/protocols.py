"""What is rendered, and what it is measured against.

self    the test split's sound on the test frames themselves, as in the paper; the real chin
        and cheeks around the lips help
cross   the same sound on frames of the training part, compared by mouth shapes alone with
        the real test frames: nothing of the right mouth can leak
new     other sound on the whole clip; nobody filmed the right mouth, so only what needs none
pair    any generated video beside the real one of the same frames
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from ..errors import UserError
from ..media.decode import read_frames
from ..media.sound import SAMPLE_RATE, load_audio
from ..metrics.lse import measure_sync
from ..model.checkpoint import Checkpoint
from ..nets.pretrained.lpips import Lpips
from ..nets.pretrained.syncnet import SyncNet
from ..progress import track as progress
from ..rendering.paste import Rendered
from ..rendering.predictor import LipImages, Predictor
from ..rendering.silence import Windows
from ..subject.index import SubjectIndex, parse_subject
from ..subject.layout import SubjectLayout, source_selection
from ..weights import registry
from ..weights.loaders import load_lpips, load_syncnet
from .controls import mean_lips, nearest_frames, nearest_seen, real_lips
from .recording import Recorder, Recording
from .summary import Scene, make_scene, summarise
from .view import view_of

_SYNC, _LPIPS = "LSE-C, LSE-D, SyncNet offset", "LPIPS"
ROWS = ("real", "base", "generated", "repasted", "nearest", "frozen")  # of a table, in this order
LEAST = 10  # frames below which nothing is measured


@dataclass(frozen=True)
class PretrainedMetrics:
    """Networks whose weights a user brings; None where they are missing, and `missing` says why."""

    syncnet: SyncNet | None
    lpips: Lpips | None
    missing: dict[str, str]


def load_pretrained_metrics(fps: float) -> PretrainedMetrics:
    """What is there for a video of `fps` frames per second."""
    missing = {}
    for names, entries in ((_SYNC, ("syncnet",)), (_LPIPS, ("alexnet", "lpips"))):
        absent = [e for e in entries if registry.check(registry.find(e)) == registry.MISSING]
        if absent:
            files = " and ".join(registry.find(e).path for e in absent)
            ways = ", ".join(f"`speech2lip weights where {e}`" for e in absent)
            missing[names] = f"needs {files} ({ways})"
    if _SYNC not in missing and fps != 25:
        missing[_SYNC] = f"SyncNet knows 25 frames per second, this video has {fps:g}"
    return PretrainedMetrics(
        load_syncnet() if _SYNC not in missing else None, load_lpips() if _LPIPS not in missing else None, missing
    )


@dataclass(frozen=True)
class Measured:
    """What a protocol recorded, before it is summed up; fields as those of `Result`."""

    name: str
    recordings: dict[str, Recording]
    truth: str | None
    base: str
    wav: np.ndarray
    source: np.ndarray


@contextmanager
def shared_cores() -> Iterator[None]:
    """While it lasts, PyTorch has half of the cores; the measures, which run beside it, have the others.

    More threads than cores wait for each other at every layer, which costs more than all measures.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, min(threads, (os.cpu_count() or 1) // 2)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@dataclass(frozen=True)
class Result:
    """One protocol, measured: recordings and figures by row, in the order of the table.

    truth: name of the row whose mouth is right, None where there is none; base: the row of
    frames painted on, unchanged; wav: the sound, 16 kHz, from the first frame on; kept:
    folder of frames by row; source: [T] source frame of each frame.
    """

    name: str
    recordings: dict[str, Recording]
    rows: dict[str, dict[str, float]]
    truth: str | None
    base: str
    scene: Scene
    wav: np.ndarray
    kept: Path
    source: np.ndarray
    missing: dict[str, str]


def evaluate_self(checkpoint: Checkpoint, layout: SubjectLayout, kept: Path, device: str = "auto") -> Result:
    """The test split's sound on the test frames."""
    bench = _ModelUnderTest(checkpoint, layout, device, kept / "self")
    first, last = bench.test_range()
    wav = bench.sound[round(first * SAMPLE_RATE / bench.fps) :]
    windows = bench.predictor.own_speech(bench.index.windows[first:last], first)
    recordings, source = bench.paint(windows, first, None, bench.controls(first, last), faithful=True)
    recordings["real"] = recordings.pop("base")
    return bench.result("self", recordings, "real", "real", wav, source)


def evaluate_cross(
    checkpoint: Checkpoint, layout: SubjectLayout, kept: Path, device: str = "auto", real: Recording | None = None
) -> Result:
    """The test split's sound on training frames. real: the test frames, where they were measured already."""
    bench = _ModelUnderTest(checkpoint, layout, device, kept / "cross")
    first, last = bench.test_range()
    wav = bench.sound[round(first * SAMPLE_RATE / bench.fps) :]
    loop = (0, int(bench.index.train[-1]) + 1)
    windows = bench.predictor.own_speech(bench.index.windows[first:last], first)
    recordings, source = bench.paint(windows, 0, loop, bench.controls(first, last), faithful=False)
    recordings["real"] = real or bench.watch(first, last)
    return bench.result("cross", recordings, "real", "base", wav, source)


def evaluate_new(
    checkpoint: Checkpoint, layout: SubjectLayout, audio: Path, kept: Path, device: str = "auto", start: int = 0
) -> Result:
    """Sound from a file on the whole clip."""
    bench = _ModelUnderTest(checkpoint, layout, device, kept / "new")
    recordings, source = bench.paint(bench.predictor.features(audio), start, None, {}, faithful=False)
    return bench.result("new", recordings, None, "base", load_audio(audio), source)


def _outside(frame: Rendered) -> float:
    """Largest difference of levels from the frame painted on where the mask is 0."""
    change = cv2.absdiff(frame.image, frame.original)
    return float(change[frame.full_mask == 0].max(initial=0))


class _ModelUnderTest:
    """A model on its subject, ready to be measured."""

    def __init__(self, checkpoint: Checkpoint, layout: SubjectLayout, device: str, kept: Path):
        self.kept, self.layout = kept, layout
        self.index: SubjectIndex = parse_subject(layout, checkpoint.config.data.test_fraction)
        self.predictor = Predictor(checkpoint, layout, device)
        self.fps, self.crop = self.index.subject.fps, self.index.subject.crop
        self.sound = load_audio(layout.audio)
        self.pretrained = load_pretrained_metrics(self.fps)

    def test_range(self) -> tuple[int, int]:
        test = self.index.test
        if len(test) < LEAST:
            raise UserError(
                f"{self.layout.root} has {len(test)} test frames, needed are {LEAST}: use a larger data.test_fraction"
            )
        return int(test[0]), int(test[-1]) + 1

    def controls(self, first: int, last: int) -> dict[str, LipImages]:
        """What is pasted instead of the model's lips, by row, for the sound of the frames [first, last)."""
        index = self.index
        frames = nearest_seen(np.arange(first, last), index.track.clear)
        nearest = nearest_frames(index.track.mouth, index.train, frames)
        return {
            "repasted": real_lips(self.layout, index.track.exposure, frames),
            "nearest": real_lips(self.layout, index.track.exposure, nearest),
            "frozen": mean_lips(self.predictor.model, self.predictor.subject.lip_size),
        }

    def paint(
        self, windows: Windows, first: int, loop: tuple[int, int] | None, controls: dict[str, LipImages],
        faithful: bool,
    ) -> tuple[dict[str, Recording], np.ndarray]:  # fmt: skip
        """Recordings `generated`, `base` and those of the controls, and the source frame of every frame [T].

        faithful: the frame painted on shows what the result should show.
        """
        out: dict[str, Recording] = {}
        sources: list[int] = []
        for name, lips in {"generated": None, **controls}.items():
            sources.clear()
            rendered = self.predictor.render(windows, first, loop, lips)
            made, base = self._recorder(name), self._recorder("base") if name == "generated" else None
            for frame in progress(rendered, f"measuring {name}", len(windows)):
                image, real = view_of(frame.image, self.crop), view_of(frame.original, self.crop)
                mask = view_of(frame.full_mask, self.crop)
                cut = bool(sources) and not self._same_shot(sources[-1], frame.source)
                made.add(image, mask, real if faithful else None, cut=cut, outside=_outside(frame))
                if base is not None:
                    base.add(real, mask, real if faithful else None, cut=cut)
                sources.append(frame.source)
            out[name] = made.finish()
            if base is not None:
                out["base"] = base.finish()
        return out, np.array(sources)

    def watch(self, first: int, last: int) -> Recording:
        """The real frames [first, last), unchanged."""
        recorder = self._recorder("real")
        subject = self.index.subject
        source = self.layout.source_path(subject)
        frames = read_frames(source, self.fps, start=first, select=source_selection(subject))
        with closing(frames):
            for number in range(first, last):
                cut = number > first and not self._same_shot(number - 1, number)
                recorder.add(view_of(next(frames), self.crop), cut=cut)
        return recorder.finish()

    def result(
        self, name: str, recordings: dict[str, Recording], truth: str | None, base: str, wav: np.ndarray, source: np.ndarray
    ) -> Result:  # fmt: skip
        return finish(Measured(name, recordings, truth, base, wav, source), self.fps, self.kept, self.pretrained)

    def _recorder(self, name: str) -> Recorder:
        return Recorder(self.kept / name, self.pretrained.syncnet is not None, self.pretrained.lpips)

    def _same_shot(self, a: int, b: int) -> bool:
        return any(start <= a < end and start <= b < end for start, end in self.index.subject.shots)


def finish(measured: Measured, fps: float, kept: Path, pretrained: PretrainedMetrics) -> Result:
    """Figures of all rows; kept: folder of frames by row."""
    recordings, truth, base, wav = measured.recordings, measured.truth, measured.base, measured.wav
    scene = make_scene(wav, fps, len(measured.source))
    right = recordings[truth] if truth is not None else None
    order: list[str] = [row for row in ROWS if row in recordings]
    rows: dict[str, dict[str, float]] = {}
    for row in order:
        own = recordings[row]
        alone = row == "real" and base != "real"  # real test frames lie under no other row
        against = own if alone else recordings[base]
        rows[row] = summarise(own, against, right, scene)
        if pretrained.syncnet is not None and own.faces is not None and len(own.faces) > 5 and len(wav):
            found = measure_sync(pretrained.syncnet, own.faces, wav)
            rows[row] |= {"lse_c": found.confidence, "lse_d": found.distance, "lse_offset": float(found.offset)}
    ordered = {row: recordings[row] for row in order}
    return Result(measured.name, ordered, rows, truth, base, scene, wav, kept, measured.source, pretrained.missing)
