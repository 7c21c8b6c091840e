"""`python -m tests.kills --moments 25`: kills (SIGKILL) at random moments of every stage; the same command, run again,
must give what an uninterrupted run gives: the same files, and bit-identical weights.

One process imports everything, and forks: a command starts within milliseconds.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import speech2lip.evaluation.run
import speech2lip.preparation.pipeline
import speech2lip.rendering.files
import speech2lip.training.trainer  # noqa: F401 (all are loaded before the forks)
from speech2lip.cli import main as command
from speech2lip.demo.speaker import TRAINING_SENTENCES, make_speaker
from speech2lip.files import remove_leftovers
from speech2lip.provenance.boxes import top_boxes
from speech2lip.subject.layout import SubjectLayout

SETTINGS = (
    "face.max_crop=96", "face.lip_max_width=48", "audio.backend=mel", "bundle.keyframes=16", "bundle.iterations=2", "photometric.rounds=1",
    "data.test_fraction=0.2", "train.batch=2", "train.amp=false", "train.device=cpu", "train.save_every_minutes=0.01",
    "train.validation_frames=4", "train.validate_every=0.5", "train.speech_batch=16", "model.lip.width=32", "model.lip.layers=3",
    "model.lip.skip_after=1", "model.lip.audio_width=32", "model.blend.widths=[8,8]",
)  # fmt: skip
STAGES = ("people", "frames", "track", "audio", "canonical", "speech", "training", "rendering", "evaluation")
_OURS = (".lock", "stages.json")  # what may differ: who was here, and seconds


@dataclass(frozen=True)
class Scene:
    """A command in a folder. begin: puts the folder into its state before; result: what must come out."""

    arguments: Sequence[str]
    begin: Callable[[], None]
    result: Callable[[], dict[str, object]]


def scenes(root: Path) -> dict[str, Scene]:
    """One for every stage, below `root`, where all that they need is made first."""
    make_speaker(root, TRAINING_SENTENCES[:2], progress=False)
    remove_leftovers.cache_clear()  # a fork would take over that this folder has been looked at
    clip, wav, subject = root / "speaker.mp4", root / "speaker.wav", root / "subject"
    prepare = ["preprocess", "--video", str(clip), "--out", str(subject), *SETTINGS]
    _to_the_end(prepare)
    whole = root / "whole"
    shutil.copytree(subject, whole)
    train = ["train", "name=me", f"data.root={whole}", f"train.output={root / 'log'}", "sync.expert=none", *SETTINGS]
    _to_the_end([*train, "train.steps=20"])
    model = root / "model.pt"
    shutil.copy(root / "log" / "me" / "model.pt", model)
    out, report = root / "out.mp4", root / "report"
    log = root / "log" / "me"
    found = {
        stage: Scene(prepare, lambda stage=stage: _rewind(whole, subject, stage), lambda: _files(subject))
        for stage in STAGES[:4]
    }
    for stage, share in (("speech", 0.8), ("training", 0.1)):
        arguments = [*train, "train.steps=60", f"train.speech_share={share}"]
        found[stage] = Scene(
            arguments, lambda: shutil.rmtree(log, ignore_errors=True), lambda: _weights(log / "model.pt")
        )
    render = ["render", "--model", str(model), "--audio", str(wav), "--out", str(out), "--device", "cpu"]
    found["rendering"] = Scene(
        render,
        lambda: out.unlink(missing_ok=True),
        lambda: {"out": _signed(out), **_names(root)},
    )
    evaluate = ["evaluate", "--model", str(model), "--protocol", "self", "--out", str(report), "--device", "cpu"]
    found["evaluation"] = Scene(
        evaluate,
        lambda: shutil.rmtree(report, ignore_errors=True),
        lambda: {p.name: p.read_bytes() for p in report.glob("*.csv")},
    )
    return found


def kill(scene: Scene, moments: int, rng: random.Random) -> tuple[int, int]:
    """(kills that fell while it ran, runs whose result differs from the uninterrupted one)."""
    scene.begin()
    start = time.monotonic()
    _to_the_end(scene.arguments)
    seconds, wanted = time.monotonic() - start, scene.result()
    fell = different = 0
    for _ in range(moments):
        scene.begin()
        child = _started(scene.arguments)
        time.sleep(rng.uniform(0, seconds))
        os.kill(child, signal.SIGKILL)
        fell += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        try:
            _to_the_end(scene.arguments)
            different += scene.result() != wanted
        except RuntimeError as error:
            print(error)
            different += 1
    return fell, different


def _rewind(whole: Path, subject: Path, stage: str) -> None:
    """A subject whose stages before `stage` are finished, and nothing else."""
    shutil.rmtree(subject)
    shutil.copytree(whole, subject)
    layout = SubjectLayout(subject)
    marks = json.loads(layout.stages.read_text())
    names = list(marks)
    layout.stages.write_text(json.dumps({k: marks[k] for k in names[: names.index(stage)]}))
    layout.subject.unlink()


def _files(folder: Path) -> dict[str, object]:
    return {
        str(p.relative_to(folder)): _timeless(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in _OURS
    }


def _timeless(path: Path) -> object:
    """What a file says, without when the source was copied."""
    if path.name != "source.json":
        return path.read_bytes()
    return {k: v for k, v in json.loads(path.read_text()).items() if k != "kept_stamp"}


def _signed(video: Path) -> bytes:
    """A signed MP4 without its credentials, which are never the same twice, and which must be sound."""
    _to_the_end(["verify", str(video)])  # in a fork, as all that uses the library's threads
    data = bytearray(video.read_bytes())
    for box in top_boxes(video):
        if box.kind == b"uuid":
            data[box.start : box.start + box.size] = bytes(box.size)
    return bytes(data)


def _names(folder: Path) -> dict[str, object]:
    """Nothing temporary is left behind."""
    return {p.name: True for p in folder.iterdir()}


def _weights(model: Path) -> dict[str, object]:
    state = torch.load(model, weights_only=True)["state"]
    return {name: value.numpy().tobytes() for name, value in state.items()}


def _started(arguments: Sequence[str]) -> int:
    child = os.fork()
    if child:
        return child
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    if "SHOW" not in os.environ:
        os.dup2(null, 2)
    status = 1
    try:
        status = command(list(arguments))
    finally:
        os._exit(status)


def _to_the_end(arguments: Sequence[str]) -> None:
    status = os.waitstatus_to_exitcode(os.waitpid(_started(arguments), 0)[1])
    if status != 0:
        raise RuntimeError(f"`{' '.join(arguments)}` ended with {status}")


def run(moments: int, stages: Sequence[str] = STAGES, seed: int = 0) -> int:
    """Print the counts of each stage; returns how many runs differ."""
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_DATA_HOME"] = f"{folder}/data"  # where the key that signs is made
        known = scenes(Path(folder))
        for stage in stages:
            fell, different = kill(known[stage], moments, random.Random(f"{seed} {stage}"))
            print(
                f"{stage:<12} {moments} moments, {fell} kills while it ran, {different} results that differ", flush=True
            )
            wrong += different
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=25, help="of every stage")
    parser.add_argument("--stages", nargs="*", choices=STAGES, default=STAGES)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    return 1 if run(options.moments, options.stages, options.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
